package io.github.cflight.connect.s3.partition;

import io.github.cflight.connect.s3.S3SinkConfig;
import org.apache.kafka.connect.sink.SinkRecord;

/** A folder for every partition of the topic. */
public final class DefaultPartitioner implements Partitioner {
    @Override
    public void configure(S3SinkConfig config) {
        // It needs nothing.
    }

    @Override
    public String folder(SinkRecord record, long now) {
        return "partition=" + record.kafkaPartition();
    }
}
