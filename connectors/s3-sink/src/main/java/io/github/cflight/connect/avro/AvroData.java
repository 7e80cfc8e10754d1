package io.github.cflight.connect.avro;

import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;

/**
 * Translates between Connect's data and Avro's, with the conventions of the Confluent converter: what one of the two
 * cannot say is kept in properties of the schema whose names begin with {@code connect.}
 */
public final class AvroData {
    /**
     * How schemas are translated.
     *
     * @param enhanced whether enums and fixed types that came from Avro become such again
     * @param metadata whether Avro schemas keep the names, versions, docs and parameters of Connect's
     * @param optionalMapKeys whether a map with optional string keys becomes an Avro map
     * @param cacheSize how many schemas are kept at hand, in each direction
     */
    public record Options(boolean enhanced, boolean metadata, boolean optionalMapKeys, int cacheSize) {}

    private final SchemaToAvro toAvro;
    private final SchemaFromAvro fromAvro;
    private final ValueToAvro valueToAvro;
    private final ValueFromAvro valueFromAvro;
    private final Map<Schema, org.apache.avro.Schema> avroSchemas;
    private final Map<Versioned, Schema> connectSchemas;

    public AvroData(Options options) {
        toAvro = new SchemaToAvro(options);
        fromAvro = new SchemaFromAvro(options);
        valueToAvro = new ValueToAvro();
        valueFromAvro = new ValueFromAvro();
        avroSchemas = new Cache<>(options.cacheSize());
        connectSchemas = new Cache<>(options.cacheSize());
    }

    /**
     * Returns the Avro schema for values of a Connect schema.
     *
     * @param schema the schema, or null for values without one
     */
    public org.apache.avro.Schema fromConnect(Schema schema) {
        return schema == null ? Names.ANYTHING : avroSchemas.computeIfAbsent(schema, toAvro::translate);
    }

    /**
     * Returns a value in Avro's classes.
     *
     * @param schema its Connect schema, or null
     * @param value the value
     */
    public Object fromConnect(Schema schema, Object value) {
        org.apache.avro.Schema avro = fromConnect(schema);
        return schema == null ? Anything.fromConnect(value) : valueToAvro.translate(schema, avro, value);
    }

    /**
     * Returns a value in Connect's classes with its schema.
     *
     * @param schema the Avro schema with which it was read
     * @param value the value, of Avro's generic classes
     * @param version the schema's number in the registry, or null
     */
    public SchemaAndValue toConnect(org.apache.avro.Schema schema, Object value, Integer version) {
        if (schema.equals(Names.ANYTHING)) {
            return new SchemaAndValue(null, Anything.toConnect(value));
        }
        Schema connect = connectSchemas.computeIfAbsent(new Versioned(schema, version),
                key -> fromAvro.translate(key.schema(), key.version()));
        return new SchemaAndValue(connect, valueFromAvro.translate(connect, schema, value));
    }

    private record Versioned(org.apache.avro.Schema schema, Integer version) {}

    private static final class Cache<K, V> extends LinkedHashMap<K, V> {
        private static final long serialVersionUID = 1L;
        private final int size;

        Cache(int size) {
            super(16, 0.75f, true);
            this.size = size;
        }

        @Override
        protected boolean removeEldestEntry(Map.Entry<K, V> eldest) {
            return size() > size;
        }
    }
}
