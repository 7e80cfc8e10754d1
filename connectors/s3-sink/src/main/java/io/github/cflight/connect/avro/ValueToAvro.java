package io.github.cflight.connect.avro;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.errors.DataException;

/** Connect's values in Avro's classes. */
final class ValueToAvro {
    /**
     * Translates a value.
     *
     * @param schema its Connect schema
     * @param avro the Avro schema that was made from that one
     * @param value the value
     */
    Object translate(org.apache.kafka.connect.data.Schema schema, Schema avro, Object value) {
        if (value == null) {
            if (schema.defaultValue() != null && !schema.isOptional()) {
                return translate(schema, avro, schema.defaultValue());
            }
            if (!schema.isOptional()) {
                throw new DataException("A value of type " + schema.type() + " is missing where none may");
            }
            return null;
        }
        try {
            return notNull(schema, avro, value);
        } catch (ClassCastException e) {
            throw new DataException("A value of type " + value.getClass().getName() + " does not fit the schema type "
                    + schema.type(), e);
        }
    }

    private Object notNull(org.apache.kafka.connect.data.Schema schema, Schema avro, Object value) {
        if (SchemaToAvro.isUnion(schema)) {
            return member(schema, avro, (Struct) value);
        }
        Schema type = withoutNull(avro);
        Object raw = withoutLogicalType(schema, value);
        return switch (schema.type()) {
            case INT8, INT16 -> ((Number) raw).intValue();
            case INT32 -> (Integer) raw;
            case INT64 -> (Long) raw;
            case FLOAT32 -> (Float) raw;
            case FLOAT64 -> (Double) raw;
            case BOOLEAN -> (Boolean) raw;
            case STRING -> type.getType() == Schema.Type.ENUM
                    ? new GenericData.EnumSymbol(type, (String) raw) : (String) raw;
            case BYTES -> bytes(type, raw);
            case ARRAY -> array(schema, type, (Collection<?>) raw);
            case MAP -> map(schema, type, (Map<?, ?>) raw);
            case STRUCT -> record(schema, type, (Struct) raw);
        };
    }

    private Object member(org.apache.kafka.connect.data.Schema schema, Schema avro, Struct union) {
        List<Schema> types = avro.getTypes().stream().filter(type -> type.getType() != Schema.Type.NULL).toList();
        for (Field field : schema.fields()) {
            Object found = union.get(field);
            if (found != null) {
                return notNull(field.schema(), types.get(field.index()), found);
            }
        }
        return null;
    }

    private static Object bytes(Schema type, Object raw) {
        ByteBuffer buffer = raw instanceof byte[] array ? ByteBuffer.wrap(array) : (ByteBuffer) raw;
        if (type.getType() != Schema.Type.FIXED) {
            return buffer;
        }
        byte[] copy = new byte[buffer.remaining()];
        buffer.duplicate().get(copy);
        return new GenericData.Fixed(type, copy);
    }

    private Object array(org.apache.kafka.connect.data.Schema schema, Schema type, Collection<?> items) {
        List<Object> array = new ArrayList<>(items.size());
        items.forEach(item -> array.add(translate(schema.valueSchema(), type.getElementType(), item)));
        return array;
    }

    private Object map(org.apache.kafka.connect.data.Schema schema, Schema type, Map<?, ?> entries) {
        if (type.getType() == Schema.Type.MAP) {
            Map<String, Object> map = new LinkedHashMap<>();
            entries.forEach((key, value) ->
                    map.put((String) key, translate(schema.valueSchema(), type.getValueType(), value)));
            return map;
        }
        Schema entryType = type.getElementType();
        List<Object> list = new ArrayList<>(entries.size());
        entries.forEach((key, value) -> {
            GenericData.Record entry = new GenericData.Record(entryType);
            entry.put(Names.KEY, translate(schema.keySchema(), entryType.getField(Names.KEY).schema(), key));
            entry.put(Names.VALUE, translate(schema.valueSchema(), entryType.getField(Names.VALUE).schema(), value));
            list.add(entry);
        });
        return list;
    }

    private Object record(org.apache.kafka.connect.data.Schema schema, Schema type, Struct struct) {
        GenericData.Record record = new GenericData.Record(type);
        for (Field field : schema.fields()) {
            record.put(field.index(),
                    translate(field.schema(), type.getFields().get(field.index()).schema(), struct.get(field)));
        }
        return record;
    }

    private static Schema withoutNull(Schema avro) {
        if (avro.getType() != Schema.Type.UNION) {
            return avro;
        }
        for (Schema type : avro.getTypes()) {
            if (type.getType() != Schema.Type.NULL) {
                return type;
            }
        }
        return avro;
    }

    /** Returns a decimal, date or time as the bytes or number that it is stored as; other values as they are. */
    static Object withoutLogicalType(org.apache.kafka.connect.data.Schema schema, Object value) {
        if (schema.name() == null) {
            return value;
        }
        return switch (schema.name()) {
            case Decimal.LOGICAL_NAME -> Decimal.fromLogical(schema, (BigDecimal) value);
            case Date.LOGICAL_NAME -> Date.fromLogical(schema, (java.util.Date) value);
            case Time.LOGICAL_NAME -> Time.fromLogical(schema, (java.util.Date) value);
            case Timestamp.LOGICAL_NAME -> Timestamp.fromLogical(schema, (java.util.Date) value);
            default -> value;
        };
    }
}
