package io.github.cflight.connect.s3.format;

import io.github.cflight.connect.avro.AvroData;
import io.github.cflight.connect.s3.S3SinkConfig;
import java.io.IOException;
import org.apache.avro.file.CodecFactory;
import org.apache.avro.file.DataFileWriter;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.kafka.connect.data.Schema;

/** Avro object container files. */
public final class AvroFormat implements Format {
    private AvroData data;
    private CodecFactory codec;

    @Override
    public void configure(S3SinkConfig config) {
        data = new AvroData(new AvroData.Options(
                config.getBoolean("enhanced.avro.schema.support"),
                config.getBoolean("connect.meta.data"),
                config.getBoolean("allow.optional.map.keys"),
                config.getInt("schemas.cache.config")));
        codec = CodecFactory.fromString(config.getString("avro.codec"));
    }

    @Override
    public String extension() {
        return ".avro";
    }

    @Override
    public Object encode(Schema schema, Object value) {
        return new Datum(data.fromConnect(schema, value));
    }

    @Override
    public RecordWriter open(FileOutput out, Schema schema, byte[] seed) throws IOException {
        DataFileWriter<Object> writer = new DataFileWriter<>(new GenericDatumWriter<>());
        writer.setCodec(codec);
        writer.create(data.fromConnect(schema), out, seed);
        return new RecordWriter() {
            @Override
            public void append(Object encoded) throws IOException {
                writer.append(((Datum) encoded).value());
            }

            @Override
            public void close() throws IOException {
                writer.close();
            }
        };
    }

    /** A value as Avro's classes have it, null among them. */
    private record Datum(Object value) {}
}
