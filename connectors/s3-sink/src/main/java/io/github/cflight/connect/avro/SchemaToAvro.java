package io.github.cflight.connect.avro;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.JsonProperties;
import org.apache.avro.LogicalTypes;
import org.apache.avro.Schema;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;

/** The Avro schemas of Connect schemas. */
final class SchemaToAvro {
    private final AvroData.Options options;

    SchemaToAvro(AvroData.Options options) {
        this.options = options;
    }

    Schema translate(org.apache.kafka.connect.data.Schema schema) {
        return new Translation().translate(schema, true);
    }

    /** One schema with all that it holds, in which a name stands for one type only. */
    private final class Translation {
        private final Map<String, Schema> named = new HashMap<>();

        Schema translate(org.apache.kafka.connect.data.Schema schema, boolean mayBeOptional) {
            if (isUnion(schema)) {
                return union(schema, mayBeOptional && schema.isOptional());
            }
            Schema plain = plain(schema);
            if (!mayBeOptional || !schema.isOptional()) {
                return plain;
            }
            Schema none = Schema.create(Schema.Type.NULL);
            // A union's default belongs to its first type.
            return schema.defaultValue() == null ? Schema.createUnion(none, plain) : Schema.createUnion(plain, none);
        }

        private Schema union(org.apache.kafka.connect.data.Schema schema, boolean optional) {
            List<Schema> types = new ArrayList<>();
            if (optional) {
                types.add(Schema.create(Schema.Type.NULL));
            }
            schema.fields().forEach(field -> types.add(translate(field.schema(), false)));
            return Schema.createUnion(types);
        }

        private Schema plain(org.apache.kafka.connect.data.Schema schema) {
            return switch (schema.type()) {
                case INT8, INT16 -> {
                    Schema small = Schema.create(Schema.Type.INT);
                    small.addProp(Names.CONNECT_TYPE, schema.type().getName());
                    yield annotated(small, schema);
                }
                case INT32 -> annotated(Schema.create(Schema.Type.INT), schema);
                case INT64 -> annotated(Schema.create(Schema.Type.LONG), schema);
                case FLOAT32 -> annotated(Schema.create(Schema.Type.FLOAT), schema);
                case FLOAT64 -> annotated(Schema.create(Schema.Type.DOUBLE), schema);
                case BOOLEAN -> annotated(Schema.create(Schema.Type.BOOLEAN), schema);
                case STRING -> string(schema);
                case BYTES -> bytes(schema);
                case ARRAY -> annotated(Schema.createArray(translate(schema.valueSchema(), true)), schema);
                case MAP -> map(schema);
                case STRUCT -> record(schema);
            };
        }

        private Schema string(org.apache.kafka.connect.data.Schema schema) {
            String name = parameter(schema, Names.ENUM);
            if (!options.enhanced() || name == null) {
                return annotated(Schema.create(Schema.Type.STRING), schema);
            }
            if (named.containsKey(name)) {
                return named.get(name);
            }
            List<String> symbols = new ArrayList<>();
            schema.parameters().forEach((key, symbol) -> {
                if (key.startsWith(Names.ENUM + ".")) {
                    symbols.add(symbol);
                }
            });
            String doc = options.metadata() ? schema.doc() : null;
            Schema type = Schema.createEnum(simpleName(name), doc, namespace(name), symbols);
            named.put(name, type);
            return annotated(type, schema);
        }

        private Schema bytes(org.apache.kafka.connect.data.Schema schema) {
            if (Decimal.LOGICAL_NAME.equals(schema.name())) {
                Schema decimal = Schema.create(Schema.Type.BYTES);
                String precision = parameter(schema, Names.DECIMAL_PRECISION);
                decimal.addProp("scale", Integer.parseInt(schema.parameters().get(Decimal.SCALE_FIELD)));
                decimal.addProp("precision",
                        precision == null ? Names.DEFAULT_DECIMAL_PRECISION : Integer.parseInt(precision));
                return annotated(decimal, schema);
            }
            String size = parameter(schema, Names.FIXED_SIZE);
            if (!options.enhanced() || size == null || schema.name() == null) {
                return annotated(Schema.create(Schema.Type.BYTES), schema);
            }
            String name = schema.name();
            if (named.containsKey(name)) {
                return named.get(name);
            }
            String doc = options.metadata() ? schema.doc() : null;
            Schema fixed = Schema.createFixed(simpleName(name), doc, namespace(name), Integer.parseInt(size));
            named.put(name, fixed);
            return annotated(fixed, schema);
        }

        private Schema map(org.apache.kafka.connect.data.Schema schema) {
            org.apache.kafka.connect.data.Schema keys = schema.keySchema();
            boolean plainKeys = keys.type() == org.apache.kafka.connect.data.Schema.Type.STRING
                    && (!keys.isOptional() || options.optionalMapKeys());
            if (plainKeys) {
                return annotated(Schema.createMap(translate(schema.valueSchema(), true)), schema);
            }
            String name = schema.name();
            Schema entry = name == null
                    ? Schema.createRecord(Names.MAP_ENTRY, null, Names.NAMESPACE, false)
                    : Schema.createRecord(simpleName(name), null, namespace(name), false);
            if (name != null) {
                entry.addProp(Names.CONNECT_INTERNAL_TYPE, Names.MAP_ENTRY);
            }
            entry.setFields(List.of(
                    field(Names.KEY, keys),
                    field(Names.VALUE, schema.valueSchema())));
            return annotated(Schema.createArray(entry), schema);
        }

        private Schema record(org.apache.kafka.connect.data.Schema schema) {
            String fullName = schema.name() == null ? Names.NAMESPACE + "." + Names.DEFAULT_RECORD : schema.name();
            if (schema.name() != null && named.containsKey(fullName)) {
                return named.get(fullName);
            }
            String doc = options.metadata() ? schema.doc() : null;
            Schema record = Schema.createRecord(simpleName(fullName), doc, namespace(fullName), false);
            named.put(fullName, record);
            List<Schema.Field> fields = new ArrayList<>();
            schema.fields().forEach(field -> fields.add(field(field.name(), field.schema())));
            record.setFields(fields);
            return annotated(record, schema);
        }

        private Schema.Field field(String name, org.apache.kafka.connect.data.Schema schema) {
            Schema type = translate(schema, true);
            Object byDefault = null;
            if (schema.defaultValue() != null) {
                byDefault = json(schema, schema.defaultValue());
            } else if (schema.isOptional()) {
                byDefault = JsonProperties.NULL_VALUE;
            }
            return new Schema.Field(name, type, options.metadata() ? schema.doc() : null, byDefault);
        }

        private Schema annotated(Schema avro, org.apache.kafka.connect.data.Schema schema) {
            if (options.metadata()) {
                annotate(avro, schema);
            }
            addLogicalType(avro, schema);
            return avro;
        }
    }

    private static void annotate(Schema avro, org.apache.kafka.connect.data.Schema schema) {
        if (schema.doc() != null) {
            avro.addProp(Names.CONNECT_DOC, schema.doc());
        }
        if (schema.version() != null) {
            avro.addProp(Names.CONNECT_VERSION, schema.version());
        }
        if (schema.parameters() != null && !schema.parameters().isEmpty()) {
            avro.addProp(Names.CONNECT_PARAMETERS, new LinkedHashMap<>(schema.parameters()));
        }
        if (schema.defaultValue() != null) {
            avro.addProp(Names.CONNECT_DEFAULT, json(schema, schema.defaultValue()));
        }
        if (schema.name() != null) {
            avro.addProp(Names.CONNECT_NAME, schema.name());
        }
    }

    private static void addLogicalType(Schema avro, org.apache.kafka.connect.data.Schema schema) {
        if (schema.name() == null) {
            return;
        }
        switch (schema.name()) {
            case Decimal.LOGICAL_NAME -> avro.addProp("logicalType", "decimal");
            case Date.LOGICAL_NAME -> LogicalTypes.date().addToSchema(avro);
            case Time.LOGICAL_NAME -> LogicalTypes.timeMillis().addToSchema(avro);
            case Timestamp.LOGICAL_NAME -> LogicalTypes.timestampMillis().addToSchema(avro);
            default -> { }
        }
    }

    /** Returns a default value as the objects that Avro turns into JSON. */
    private static Object json(org.apache.kafka.connect.data.Schema schema, Object value) {
        if (value == null) {
            return JsonProperties.NULL_VALUE;
        }
        Object raw = ValueToAvro.withoutLogicalType(schema, value);
        if (raw instanceof byte[] bytes) {
            return new String(bytes, StandardCharsets.ISO_8859_1);
        }
        if (raw instanceof ByteBuffer buffer) {
            return StandardCharsets.ISO_8859_1.decode(buffer.duplicate()).toString();
        }
        if (raw instanceof Byte || raw instanceof Short) {
            return ((Number) raw).intValue();
        }
        if (raw instanceof List<?> list) {
            return list.stream().map(item -> json(schema.valueSchema(), item)).toList();
        }
        if (raw instanceof Map<?, ?> map) {
            Map<String, Object> object = new LinkedHashMap<>();
            map.forEach((key, item) -> object.put(String.valueOf(key), json(schema.valueSchema(), item)));
            return object;
        }
        if (raw instanceof Struct struct) {
            Map<String, Object> object = new LinkedHashMap<>();
            for (Field field : schema.fields()) {
                object.put(field.name(), json(field.schema(), struct.get(field)));
            }
            return object;
        }
        return raw;
    }

    static boolean isUnion(org.apache.kafka.connect.data.Schema schema) {
        return schema.type() == org.apache.kafka.connect.data.Schema.Type.STRUCT && Names.UNION.equals(schema.name());
    }

    private static String parameter(org.apache.kafka.connect.data.Schema schema, String name) {
        return schema.parameters() == null ? null : schema.parameters().get(name);
    }

    private static String simpleName(String fullName) {
        return fullName.substring(fullName.lastIndexOf('.') + 1);
    }

    private static String namespace(String fullName) {
        int dot = fullName.lastIndexOf('.');
        return dot < 0 ? null : fullName.substring(0, dot);
    }
}
