package io.github.cflight.connect.avro;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.IndexedRecord;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;

/** Avro's values in Connect's classes. */
final class ValueFromAvro {
    /**
     * Translates a value.
     *
     * @param schema the Connect schema that was made from the Avro schema
     * @param avro that Avro schema
     * @param value the value, of Avro's generic classes, or null
     */
    Object translate(org.apache.kafka.connect.data.Schema schema, Schema avro, Object value) {
        if (value == null) {
            return null;
        }
        if (avro.getType() == Schema.Type.UNION) {
            Schema type = avro.getTypes().get(GenericData.get().resolveUnion(avro, value));
            return SchemaToAvro.isUnion(schema) ? member(schema, avro, type, value) : translate(schema, type, value);
        }
        Object raw = switch (schema.type()) {
            case INT8 -> ((Number) value).byteValue();
            case INT16 -> ((Number) value).shortValue();
            case INT32, INT64, FLOAT32, FLOAT64, BOOLEAN -> value;
            case STRING -> value.toString();
            case BYTES -> bytes(value);
            case ARRAY -> array(schema, avro, (Collection<?>) value);
            case MAP -> map(schema, avro, value);
            case STRUCT -> struct(schema, avro, (IndexedRecord) value);
        };
        return withLogicalType(schema, raw);
    }

    private Struct member(org.apache.kafka.connect.data.Schema schema, Schema union, Schema type, Object value) {
        // The fields stand in the order of the union's types other than null.
        int index = 0;
        for (Schema candidate : union.getTypes()) {
            if (candidate == type) {
                break;
            }
            if (candidate.getType() != Schema.Type.NULL) {
                index++;
            }
        }
        Field field = schema.fields().get(index);
        return new Struct(schema).put(field, translate(field.schema(), type, value));
    }

    private static byte[] bytes(Object value) {
        if (value instanceof GenericFixed fixed) {
            return fixed.bytes();
        }
        ByteBuffer buffer = ((ByteBuffer) value).duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    private Object array(org.apache.kafka.connect.data.Schema schema, Schema avro, Collection<?> items) {
        List<Object> array = new ArrayList<>(items.size());
        items.forEach(item -> array.add(translate(schema.valueSchema(), avro.getElementType(), item)));
        return array;
    }

    private Object map(org.apache.kafka.connect.data.Schema schema, Schema avro, Object value) {
        Map<Object, Object> map = new HashMap<>();
        if (value instanceof Map<?, ?> entries) {
            entries.forEach((key, item) ->
                    map.put(key.toString(), translate(schema.valueSchema(), avro.getValueType(), item)));
            return map;
        }
        Schema entryType = avro.getElementType();
        int keyAt = entryType.getField(Names.KEY).pos();
        int valueAt = entryType.getField(Names.VALUE).pos();
        for (Object item : (Collection<?>) value) {
            IndexedRecord entry = (IndexedRecord) item;
            map.put(translate(schema.keySchema(), entryType.getFields().get(keyAt).schema(), entry.get(keyAt)),
                    translate(schema.valueSchema(), entryType.getFields().get(valueAt).schema(), entry.get(valueAt)));
        }
        return map;
    }

    private Struct struct(org.apache.kafka.connect.data.Schema schema, Schema avro, IndexedRecord record) {
        Struct struct = new Struct(schema);
        for (Schema.Field field : avro.getFields()) {
            Field target = schema.field(field.name());
            struct.put(target, translate(target.schema(), field.schema(), record.get(field.pos())));
        }
        return struct;
    }

    private static Object withLogicalType(org.apache.kafka.connect.data.Schema schema, Object raw) {
        if (schema.name() == null) {
            return raw;
        }
        return switch (schema.name()) {
            case Decimal.LOGICAL_NAME -> Decimal.toLogical(schema, (byte[]) raw);
            case Date.LOGICAL_NAME -> Date.toLogical(schema, (Integer) raw);
            case Time.LOGICAL_NAME -> Time.toLogical(schema, (Integer) raw);
            case Timestamp.LOGICAL_NAME -> Timestamp.toLogical(schema, (Long) raw);
            default -> raw;
        };
    }
}
