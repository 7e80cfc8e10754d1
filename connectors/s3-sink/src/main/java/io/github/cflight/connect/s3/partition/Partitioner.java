package io.github.cflight.connect.s3.partition;

import io.github.cflight.connect.s3.S3SinkConfig;
import org.apache.kafka.connect.sink.SinkRecord;

/** What folder a record belongs to. */
public interface Partitioner {
    /** Takes over what it needs of the sink's configuration; called once, before everything else. */
    void configure(S3SinkConfig config);

    /**
     * Returns the folder, below that of the topic.
     *
     * @param record the record
     * @param now the wall clock, ms since 1970
     * @throws PartitionException where the record does not have what the folder is made of
     */
    String folder(SinkRecord record, long now);
}
