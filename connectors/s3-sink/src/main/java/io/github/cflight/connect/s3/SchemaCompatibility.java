package io.github.cflight.connect.s3;

import java.util.Locale;
import java.util.Objects;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaProjector;
import org.apache.kafka.connect.errors.SchemaProjectorException;

/** What a change of the values' schema does to the open files. */
enum SchemaCompatibility {
    /** Every change closes them. */
    NONE,
    /** A newer version closes them; records of an older one are converted. */
    BACKWARD,
    /** An older version closes them; records of a newer one are converted. */
    FORWARD,
    /** As BACKWARD. */
    FULL;

    /** Returns the one of a name in any case; NONE for an unknown one, as the Confluent sink has it. */
    static SchemaCompatibility named(String name) {
        for (SchemaCompatibility compatibility : values()) {
            if (compatibility.name().equals(name.toUpperCase(Locale.ROOT))) {
                return compatibility;
            }
        }
        return NONE;
    }

    /**
     * Returns whether a record must not go into a file of another schema.
     *
     * @param file the file's schema, or null
     * @param record the record's schema, or null
     * @throws SchemaProjectorException where the two cannot be compared
     */
    boolean closes(Schema file, Schema record) {
        if (this == NONE) {
            return !Objects.equals(file, record);
        }
        if (file == null && record == null) {
            return false;
        }
        if (file == null || record == null) {
            throw new SchemaProjectorException("Switch between schema-based and schema-less data is not supported");
        }
        if (file.version() == null || record.version() == null) {
            throw new SchemaProjectorException("Schema version required for " + this + " compatibility");
        }
        int newer = record.version().compareTo(file.version());
        return this == FORWARD ? newer < 0 : newer > 0;
    }

    /**
     * Converts a value to a file's schema.
     *
     * @param recordSchema the value's schema, or null
     * @param value the value
     * @param file the file's schema, or null
     */
    Object convert(Schema recordSchema, Object value, Schema file) {
        if (this == NONE || Objects.equals(recordSchema, file)) {
            return value;
        }
        return SchemaProjector.project(recordSchema, value, file);
    }
}
