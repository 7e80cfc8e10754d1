package io.github.cflight.connect.s3.partition;

import java.util.Map;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;

/** Fields of a record's value by their path, whose names are separated by dots. */
final class Fields {
    private Fields() {}

    /**
     * Returns the value of a field, null where an outer one is null.
     *
     * @throws DataException where there is no such field
     */
    static Object get(Object value, String path) {
        Object found = value;
        // A name may hold dots itself: the whole path goes first.
        if (has(value, path)) {
            return member(value, path);
        }
        for (String name : path.split("\\.")) {
            if (found == null) {
                return null;
            }
            if (!has(found, name)) {
                throw new DataException("There is no field " + path + " in the value");
            }
            found = member(found, name);
        }
        return found;
    }

    private static boolean has(Object value, String name) {
        if (value instanceof Struct struct) {
            return struct.schema().field(name) != null;
        }
        return value instanceof Map<?, ?> map && map.containsKey(name);
    }

    private static Object member(Object value, String name) {
        return value instanceof Struct struct ? struct.get(name) : ((Map<?, ?>) value).get(name);
    }
}
