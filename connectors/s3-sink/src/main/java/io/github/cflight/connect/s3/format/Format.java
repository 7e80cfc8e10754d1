package io.github.cflight.connect.s3.format;

import io.github.cflight.connect.s3.S3SinkConfig;
import java.io.IOException;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.DataException;

/** How records are put into a file. */
public interface Format {
    /** Takes over what it needs of the sink's configuration; called once, before everything else. */
    void configure(S3SinkConfig config);

    /** Returns the end of the keys of objects in this format, with its dot. */
    String extension();

    /**
     * Turns one value into what {@link RecordWriter#append} takes, so that an unfit value is found before a file is
     * touched.
     *
     * @param schema the value's schema, or null
     * @param value the value
     * @throws DataException where the format cannot hold the value
     */
    Object encode(Schema schema, Object value);

    /**
     * Begins a file.
     *
     * @param out where its bytes go
     * @param schema the schema of its values, or null
     * @param seed 16 bytes from which everything is made that would otherwise be random, so that a file that is
     *     written again has the same bytes
     */
    RecordWriter open(FileOutput out, Schema schema, byte[] seed) throws IOException;
}
