package io.github.cflight.connect.s3.format;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.cflight.connect.s3.S3SinkConfig;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.json.JsonConverter;

/** One JSON value a line. */
public final class JsonFormat implements Format {
    private final ObjectMapper mapper = new ObjectMapper();
    private final JsonConverter converter = new JsonConverter();
    private Gzip gzip;

    @Override
    public void configure(S3SinkConfig config) {
        gzip = new Gzip(config);
        Map<String, Object> settings = Map.of(
                "schemas.enable", false,
                "schemas.cache.size", config.getInt("schemas.cache.config"),
                "decimal.format", config.getString("json.decimal.format"));
        converter.configure(settings, false);
    }

    @Override
    public String extension() {
        return ".json" + gzip.extension();
    }

    @Override
    public Object encode(Schema schema, Object value) {
        if (schema != null) {
            return converter.fromConnectData("", schema, value);
        }
        try {
            return mapper.writeValueAsBytes(value);
        } catch (JsonProcessingException e) {
            throw new DataException("The value cannot be written as JSON: " + e.getOriginalMessage(), e);
        }
    }

    @Override
    public RecordWriter open(FileOutput out, Schema schema, byte[] seed) throws IOException {
        OutputStream stream = gzip.around(out);
        return new RecordWriter() {
            @Override
            public void append(Object encoded) throws IOException {
                stream.write((byte[]) encoded);
                stream.write('\n');
            }

            @Override
            public void close() throws IOException {
                stream.close();
            }
        };
    }
}
