package io.github.cflight.connect.s3;

import io.github.cflight.connect.s3.format.Format;
import io.github.cflight.connect.s3.partition.Partitioner;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Values;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.sink.SinkRecord;

/**
 * How files are written and named.
 *
 * @param keys the names of objects
 * @param partitioner the folders of records
 * @param compatibility what a change of schema does
 * @param formats how values are written, and keys and headers if they are to be
 * @param flushSize the records that are in the open files when they are closed
 * @param maxOpenFiles how many folders of a topic partition may have an open file
 * @param tombstoneFolder the folder for the keys of records without a value
 * @param tags to be set on objects; null for no tags at all
 * @param tagsMatter whether it counts as a failure when they cannot be set
 */
record Layout(ObjectKeys keys, Partitioner partitioner, SchemaCompatibility compatibility, Map<Kind, Format> formats,
        int flushSize, int maxOpenFiles, String tombstoneFolder, Map<String, String> tags, boolean tagsMatter) {
    private static final Schema HEADER = SchemaBuilder.struct().name("Header")
            .field("key", Schema.STRING_SCHEMA)
            .field("value", Schema.OPTIONAL_STRING_SCHEMA)
            .build();
    private static final Schema HEADERS = SchemaBuilder.struct().name("Headers")
            .field("headers", SchemaBuilder.array(HEADER).build())
            .build();

    /** What an object holds of the records. */
    enum Kind {
        VALUES(""),
        KEYS(".keys"),
        HEADERS(".headers");

        private final String infix;

        Kind(String infix) {
            this.infix = infix;
        }

        /** Returns what stands before the format's extension in the object's key. */
        String infix() {
            return infix;
        }
    }

    /**
     * A part of a record, ready to be appended.
     *
     * @param schema its schema, or null
     * @param value what its format made of it
     */
    record Encoded(Schema schema, Object value) {}

    static Layout of(S3SinkConfig config, Partitioner partitioner) {
        Map<Kind, Format> formats = new EnumMap<>(Kind.class);
        formats.put(Kind.VALUES, config.instance(S3SinkConfig.FORMAT, Format.class));
        if (config.getBoolean(S3SinkConfig.STORE_KEYS)) {
            formats.put(Kind.KEYS, config.instance(S3SinkConfig.KEYS_FORMAT, Format.class));
        }
        if (config.getBoolean("store.kafka.headers")) {
            formats.put(Kind.HEADERS, config.instance(S3SinkConfig.HEADERS_FORMAT, Format.class));
        }
        formats.values().forEach(format -> format.configure(config));
        return new Layout(
                ObjectKeys.of(config),
                partitioner,
                SchemaCompatibility.named(config.getString("schema.compatibility")),
                formats,
                config.flushSize(),
                config.maxOpenFiles(),
                config.getString("tombstone.encoded.partition"),
                config.getBoolean("s3.object.tagging") ? tags(config) : null,
                config.getString("s3.object.behavior.on.tagging.error").equals("fail"));
    }

    Format format(Kind kind) {
        return formats.get(kind);
    }

    /**
     * Encodes all of a record that is stored.
     *
     * @param record the record
     * @param fileSchema the schema that its value is converted to
     * @throws DataException where a part cannot be stored
     */
    Map<Kind, Encoded> encode(SinkRecord record, Schema fileSchema) {
        Map<Kind, Encoded> parts = new EnumMap<>(Kind.class);
        formats.forEach((kind, format) -> {
            switch (kind) {
                case VALUES -> {
                    if (record.value() != null) {
                        Object value = compatibility.convert(record.valueSchema(), record.value(), fileSchema);
                        parts.put(kind, new Encoded(fileSchema, format.encode(fileSchema, value)));
                    }
                }
                case KEYS -> parts.put(kind, new Encoded(record.keySchema(), encodeKey(format, record)));
                case HEADERS -> parts.put(kind, new Encoded(HEADERS, encodeHeaders(format, record)));
                default -> throw new IllegalStateException(kind.name());
            }
        });
        return parts;
    }

    private static Object encodeKey(Format format, SinkRecord record) {
        if (record.key() == null) {
            throw new DataException("Key cannot be null for SinkRecord: " + position(record));
        }
        return format.encode(record.keySchema(), record.key());
    }

    private static Object encodeHeaders(Format format, SinkRecord record) {
        if (record.headers() == null || record.headers().isEmpty()) {
            throw new DataException("Headers cannot be null for SinkRecord: " + position(record));
        }
        List<Struct> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(new Struct(HEADER)
                    .put("key", header.key())
                    .put("value", Values.convertToString(header.schema(), header.value())));
        }
        return format.encode(HEADERS, new Struct(HEADERS).put("headers", headers));
    }

    private static String position(SinkRecord record) {
        return record.originalTopic() + "-" + record.originalKafkaPartition() + "@" + record.originalKafkaOffset();
    }

    private static Map<String, String> tags(S3SinkConfig config) {
        Map<String, String> tags = new LinkedHashMap<>();
        for (String pair : config.getList("s3.object.tagging.key.value.pairs")) {
            int colon = pair.indexOf(':');
            if (colon <= 0) {
                throw new ConfigException("s3.object.tagging.key.value.pairs", pair, "It is not key:value");
            }
            tags.put(pair.substring(0, colon).trim(), pair.substring(colon + 1).trim());
        }
        return tags;
    }
}
