package io.github.cflight.connect.avro;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.connect.errors.DataException;

/** Values without a schema: a record with a field for every type, of which one is set. */
final class Anything {
    private static final Schema ENTRY = Names.ANYTHING.getField("map").schema().getTypes().get(1).getElementType();

    private Anything() {}

    static GenericRecord fromConnect(Object value) {
        GenericRecord record = new GenericData.Record(Names.ANYTHING);
        if (value == null) {
            return record;
        }
        if (value instanceof Boolean) {
            record.put("boolean", value);
        } else if (value instanceof byte[] bytes) {
            record.put("bytes", ByteBuffer.wrap(bytes));
        } else if (value instanceof ByteBuffer) {
            record.put("bytes", value);
        } else if (value instanceof Double) {
            record.put("double", value);
        } else if (value instanceof Float) {
            record.put("float", value);
        } else if (value instanceof Byte || value instanceof Short || value instanceof Integer) {
            record.put("int", ((Number) value).intValue());
        } else if (value instanceof Long) {
            record.put("long", value);
        } else if (value instanceof String) {
            record.put("string", value);
        } else if (value instanceof List<?> list) {
            record.put("array", list.stream().map(Anything::fromConnect).toList());
        } else if (value instanceof Map<?, ?> map) {
            record.put("map", map.entrySet().stream().map(Anything::entry).toList());
        } else {
            throw new DataException("A value of type " + value.getClass().getName() + " without a schema"
                    + " cannot be written as Avro");
        }
        return record;
    }

    static Object toConnect(Object value) {
        GenericRecord record = (GenericRecord) value;
        for (Schema.Field field : Names.ANYTHING.getFields()) {
            Object found = record.get(field.pos());
            if (found != null) {
                return toConnect(field.name(), found);
            }
        }
        return null;
    }

    private static Object toConnect(String type, Object value) {
        return switch (type) {
            case "string" -> value.toString();
            case "array" -> {
                List<Object> list = new ArrayList<>();
                ((List<?>) value).forEach(item -> list.add(toConnect(item)));
                yield list;
            }
            case "map" -> {
                Map<Object, Object> map = new HashMap<>();
                for (Object item : (List<?>) value) {
                    GenericRecord entry = (GenericRecord) item;
                    map.put(toConnect(entry.get(Names.KEY)), toConnect(entry.get(Names.VALUE)));
                }
                yield map;
            }
            default -> value;
        };
    }

    private static GenericRecord entry(Map.Entry<?, ?> entry) {
        GenericRecord record = new GenericData.Record(ENTRY);
        record.put(Names.KEY, fromConnect(entry.getKey()));
        record.put(Names.VALUE, fromConnect(entry.getValue()));
        return record;
    }
}
