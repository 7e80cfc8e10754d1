package io.github.cflight.connect.s3.format;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.cflight.connect.s3.Configs;
import io.github.cflight.connect.s3.S3SinkConfig;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.zip.GZIPInputStream;
import org.apache.avro.file.DataFileStream;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.DataException;
import org.junit.jupiter.api.Test;

class FormatsTest {
    private static final byte[] SEED = new byte[16];

    @Test
    void bytesAreFollowedByTheSeparator() throws IOException {
        byte[][] values = {"a".getBytes(StandardCharsets.UTF_8), {}, {0, -1}};
        assertArrayEquals(new byte[] {'a', '\n', '\n', 0, -1, '\n'},
                file(new ByteArrayFormat(), Configs.config(), null, (Object[]) values));
        assertArrayEquals(new byte[] {'a', 0, -1},
                file(new ByteArrayFormat(), Configs.config("format.bytearray.separator", ""), null, (Object[]) values));
    }

    @Test
    void gzipGoesAroundTheWholeFile() throws IOException {
        S3SinkConfig config = Configs.config("s3.compression.type", "gzip", "s3.compression.level", "9");
        ByteArrayFormat format = new ByteArrayFormat();
        byte[] file = file(format, config, null, new byte[100_000], new byte[100_000]);
        assertEquals(".bin.gz", format.extension());
        try (GZIPInputStream in = new GZIPInputStream(new ByteArrayInputStream(file))) {
            assertEquals(200_002, in.readAllBytes().length);
        }
    }

    @Test
    void onlyBytesAreBytes() {
        ByteArrayFormat format = new ByteArrayFormat();
        assertThrows(DataException.class, () -> format.encode(Schema.STRING_SCHEMA, "text"));
        assertThrows(DataException.class, () -> format.encode(null, Map.of()));
    }

    @Test
    void jsonIsALineARecord() throws IOException {
        assertEquals("{\"a\":[1,null]}\n\"\\uD83D\\uDE00\"\n", new String(file(new JsonFormat(), Configs.config(), null,
                Map.of("a", Arrays.asList(1, null)), "\uD83D\uDE00"), StandardCharsets.UTF_8));
    }

    @Test
    void decimalsAreBase64OrNumbers() throws IOException {
        Schema schema = Decimal.schema(2);
        BigDecimal price = new BigDecimal("12.34");
        assertEquals("\"BNI=\"\n", text(Configs.config(), schema, price));
        assertEquals("12.34\n", text(Configs.config("json.decimal.format", "NUMERIC"), schema, price));
    }

    @Test
    void anAvroFileThatIsWrittenAgainHasTheSameBytes() throws IOException {
        S3SinkConfig config = Configs.config("avro.codec", "deflate");
        byte[] file = file(new AvroFormat(), config, Schema.OPTIONAL_STRING_SCHEMA, "alpha", null);
        assertArrayEquals(file, file(new AvroFormat(), config, Schema.OPTIONAL_STRING_SCHEMA, "alpha", null));
        try (DataFileStream<Object> in =
                new DataFileStream<>(new ByteArrayInputStream(file), new GenericDatumReader<>())) {
            assertEquals("deflate", in.getMetaString("avro.codec"));
            assertEquals("[\"null\",\"string\"]", in.getMetaString("avro.schema"));
            assertEquals("alpha", in.next().toString());
        }
    }

    @Test
    void everyCodecWorks() throws IOException {
        for (String codec : new String[] {"null", "deflate", "snappy", "bzip2"}) {
            byte[] file = file(new AvroFormat(), Configs.config("avro.codec", codec), Schema.STRING_SCHEMA, "x".repeat(999));
            try (DataFileStream<Object> in =
                    new DataFileStream<>(new ByteArrayInputStream(file), new GenericDatumReader<>())) {
                assertEquals(999, in.next().toString().length());
            }
        }
    }

    private static String text(S3SinkConfig config, Schema schema, Object value) throws IOException {
        return new String(file(new JsonFormat(), config, schema, value), StandardCharsets.UTF_8);
    }

    private static byte[] file(Format format, S3SinkConfig config, Schema schema, Object... values) throws IOException {
        format.configure(config);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        FileOutput out = new FileOutput() {
            @Override
            public void write(int b) {
                bytes.write(b);
            }

            @Override
            public void write(byte[] from, int offset, int length) {
                bytes.write(from, offset, length);
            }

            @Override
            public void writeConstant(byte[] all) {
                bytes.writeBytes(all);
            }
        };
        try (RecordWriter writer = format.open(out, schema, SEED)) {
            for (Object value : values) {
                writer.append(format.encode(schema, value));
            }
        }
        return bytes.toByteArray();
    }
}
