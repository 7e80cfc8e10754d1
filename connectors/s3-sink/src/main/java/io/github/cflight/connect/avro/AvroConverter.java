package io.github.cflight.connect.avro;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.storage.Converter;

/**
 * Avro behind a zero byte and the four bytes of its schema's id in a registry with Confluent's REST API. It takes the
 * properties of the Confluent converter.
 */
public final class AvroConverter implements Converter {
    private static final byte MAGIC = 0;
    private static final int HEADER = 1 + Integer.BYTES;

    private static final ConfigDef DEFINITION = new ConfigDef()
            .define("schema.registry.url", Type.LIST, ConfigDef.NO_DEFAULT_VALUE, Importance.HIGH,
                    "The registry's addresses, separated by commas.")
            .define("basic.auth.credentials.source", Type.STRING, "URL", ConfigDef.ValidString.in("URL", "USER_INFO"),
                    Importance.MEDIUM, "Where the user and password for the registry stand.")
            .define("basic.auth.user.info", Type.PASSWORD, new Password(""), Importance.MEDIUM,
                    "user:password for the registry, with basic.auth.credentials.source=USER_INFO.")
            .define("schema.registry.basic.auth.user.info", Type.PASSWORD, new Password(""), Importance.LOW,
                    "The same as basic.auth.user.info.")
            .define("auto.register.schemas", Type.BOOLEAN, true, Importance.MEDIUM,
                    "Whether the schemas of written values are added to the registry.")
            .define("schemas.cache.config", Type.INT, 1000, Importance.LOW, "How many schemas are kept at hand.")
            .define("enhanced.avro.schema.support", Type.BOOLEAN, false, Importance.LOW,
                    "Whether enums and fixed types are written as such, and the types of a union have full names.")
            .define("connect.meta.data", Type.BOOLEAN, true, Importance.LOW,
                    "Whether a Connect schema's name, version, documentation and parameters are written.")
            .define("allow.optional.map.keys", Type.BOOLEAN, false, Importance.LOW,
                    "Whether a map with optional string keys is written as an Avro map.");

    private final Map<Integer, org.apache.avro.Schema> schemas = new HashMap<>();
    private final Map<Use, Integer> versions = new HashMap<>();
    private final Map<Registered, Integer> ids = new HashMap<>();
    private final GenericDatumReader<Object> reader = new GenericDatumReader<>();

    private SchemaRegistry registry;
    private AvroData data;
    private boolean register;
    private String suffix;
    private int cacheSize;

    @Override
    public void configure(Map<String, ?> properties, boolean isKey) {
        AbstractConfig config = new AbstractConfig(DEFINITION, properties, false);
        cacheSize = config.getInt("schemas.cache.config");
        registry = new SchemaRegistry(config.getList("schema.registry.url"), userInfo(config));
        register = config.getBoolean("auto.register.schemas");
        suffix = isKey ? "-key" : "-value";
        data = new AvroData(new AvroData.Options(
                config.getBoolean("enhanced.avro.schema.support"),
                config.getBoolean("connect.meta.data"),
                config.getBoolean("allow.optional.map.keys"),
                cacheSize));
    }

    @Override
    public ConfigDef config() {
        return DEFINITION;
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] bytes) {
        if (bytes == null) {
            return SchemaAndValue.NULL;
        }
        try {
            return read(topic, bytes);
        } catch (SerializationException e) {
            throw new DataException("Failed to deserialize data for topic " + topic + " to Avro: ", e);
        }
    }

    @Override
    public byte[] fromConnectData(String topic, Schema schema, Object value) {
        if (schema == null && value == null) {
            return null;
        }
        try {
            return write(topic, data.fromConnect(schema), data.fromConnect(schema, value));
        } catch (SerializationException e) {
            throw new DataException("Failed to serialize Avro data from topic " + topic + ": ", e);
        }
    }

    private SchemaAndValue read(String topic, byte[] bytes) {
        if (bytes.length < HEADER || bytes[0] != MAGIC) {
            throw new SerializationException("Unknown magic byte!");
        }
        int id = ByteBuffer.wrap(bytes, 1, Integer.BYTES).getInt();
        org.apache.avro.Schema schema = schema(id);
        Integer version = version(id, topic + suffix);
        try {
            reader.setSchema(schema);
            reader.setExpected(schema);
            var decoder = DecoderFactory.get().binaryDecoder(bytes, HEADER, bytes.length - HEADER, null);
            return data.toConnect(schema, reader.read(null, decoder), version);
        } catch (IOException | AvroRuntimeException | IndexOutOfBoundsException e) {
            throw new SerializationException("Error deserializing Avro message for id " + id, e);
        }
    }

    private byte[] write(String topic, org.apache.avro.Schema schema, Object value) {
        int id = ids.computeIfAbsent(new Registered(topic + suffix, schema),
                key -> registry.id(key.subject(), key.schema(), register));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(MAGIC);
        out.writeBytes(ByteBuffer.allocate(Integer.BYTES).putInt(id).array());
        try {
            BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(out, null);
            new GenericDatumWriter<>(schema).write(value, encoder);
            encoder.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (AvroRuntimeException | ClassCastException e) {
            throw new SerializationException("Error serializing Avro message", e);
        }
        trim(ids);
        return out.toByteArray();
    }

    private org.apache.avro.Schema schema(int id) {
        org.apache.avro.Schema known = schemas.get(id);
        if (known != null) {
            return known;
        }
        org.apache.avro.Schema schema;
        try {
            schema = registry.schema(id);
        } catch (SerializationException | AvroRuntimeException e) {
            throw new SerializationException("Error retrieving Avro value schema for id " + id, e);
        }
        trim(schemas);
        schemas.put(id, schema);
        return schema;
    }

    private Integer version(int id, String subject) {
        Use use = new Use(id, subject);
        if (!versions.containsKey(use)) {
            trim(versions);
            versions.put(use, registry.version(id, subject));
        }
        return versions.get(use);
    }

    /** Forgets all when there is too much: it is asked for again, and rarely. */
    private void trim(Map<?, ?> cache) {
        if (cache.size() >= cacheSize) {
            cache.clear();
        }
    }

    private static String userInfo(AbstractConfig config) {
        if (config.getString("basic.auth.credentials.source").equals("URL")) {
            String first = config.getList("schema.registry.url").get(0);
            return URI.create(first).getUserInfo();
        }
        String info = config.getPassword("basic.auth.user.info").value();
        return info.isEmpty() ? config.getPassword("schema.registry.basic.auth.user.info").value() : info;
    }

    private record Use(int id, String subject) {}

    private record Registered(String subject, org.apache.avro.Schema schema) {}
}
