package io.github.cflight.connect.s3.format;

import io.github.cflight.connect.s3.S3SinkConfig;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.DataException;

/** The records' bytes as they are, each followed by a separator. */
public final class ByteArrayFormat implements Format {
    private Gzip gzip;
    private String extension;
    private byte[] separator;

    @Override
    public void configure(S3SinkConfig config) {
        gzip = new Gzip(config);
        extension = config.getString("format.bytearray.extension");
        separator = config.separator();
    }

    @Override
    public String extension() {
        return extension + gzip.extension();
    }

    @Override
    public Object encode(Schema schema, Object value) {
        if (schema != null && schema.type() != Schema.Type.BYTES) {
            throw new DataException("Invalid schema type for ByteArrayFormat: " + schema.type());
        }
        if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            return bytes;
        }
        if (value instanceof byte[]) {
            return value;
        }
        throw new DataException("ByteArrayFormat is not compatible with values of type "
                + (value == null ? "null" : value.getClass().getName()));
    }

    @Override
    public RecordWriter open(FileOutput out, Schema schema, byte[] seed) throws IOException {
        OutputStream stream = gzip.around(out);
        return new RecordWriter() {
            @Override
            public void append(Object encoded) throws IOException {
                byte[] bytes = (byte[]) encoded;
                if (stream == out) {
                    out.writeConstant(bytes);
                } else {
                    stream.write(bytes);
                }
                stream.write(separator);
            }

            @Override
            public void close() throws IOException {
                stream.close();
            }
        };
    }
}
