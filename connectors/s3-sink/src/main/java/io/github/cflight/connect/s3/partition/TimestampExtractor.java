package io.github.cflight.connect.s3.partition;

import java.util.Date;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.joda.time.format.DateTimeFormatter;
import org.joda.time.format.ISODateTimeFormat;

/** What time of a record counts. */
sealed interface TimestampExtractor {
    /** The prefix of the extractors' full names in the Confluent sink. */
    String CONFLUENT_PREFIX = "io.confluent.connect.storage.partitioner.TimeBasedPartitioner$";

    /**
     * Returns a record's time.
     *
     * @param record the record
     * @param now the wall clock, ms since 1970
     * @return ms since 1970
     */
    long timestamp(SinkRecord record, long now);

    /**
     * Returns the extractor of a name.
     *
     * @param name Wallclock, Record or RecordField, or the Confluent class of one of them
     * @param field for RecordField the field that holds the time
     */
    static TimestampExtractor named(String name, String field) {
        return switch (name) {
            case "Wallclock", CONFLUENT_PREFIX + "WallclockTimestampExtractor" -> new Wallclock();
            case "Record", CONFLUENT_PREFIX + "RecordTimestampExtractor" -> new RecordTime();
            case "RecordField", CONFLUENT_PREFIX + "RecordFieldTimestampExtractor" ->
                    new RecordField(field, ISODateTimeFormat.dateTimeParser().withZoneUTC());
            default -> {
                ConfigException unknown = new ConfigException("Invalid timestamp extractor: " + name);
                unknown.initCause(new ClassNotFoundException(name));
                throw unknown;
            }
        };
    }

    /** The time at which the record is written. */
    record Wallclock() implements TimestampExtractor {
        @Override
        public long timestamp(SinkRecord record, long now) {
            return now;
        }
    }

    /** The time that Kafka keeps with the record. */
    record RecordTime() implements TimestampExtractor {
        @Override
        public long timestamp(SinkRecord record, long now) {
            if (record.timestamp() == null) {
                throw new PartitionException("The record has no timestamp");
            }
            return record.timestamp();
        }
    }

    /** A field of the value: ms since 1970, a date, or text in ISO 8601. */
    record RecordField(String field, DateTimeFormatter text) implements TimestampExtractor {
        @Override
        public long timestamp(SinkRecord record, long now) {
            Object value;
            try {
                value = Fields.get(record.value(), field);
            } catch (DataException e) {
                throw new PartitionException("Error encoding partition.", e);
            }
            if (value instanceof Number number) {
                return number.longValue();
            }
            if (value instanceof Date date) {
                return date.getTime();
            }
            if (value instanceof String string) {
                return parse(string);
            }
            throw new PartitionException("The field " + field + " holds no time but "
                    + (value == null ? "null" : "a " + value.getClass().getSimpleName()));
        }

        private long parse(String string) {
            try {
                return text.parseMillis(string);
            } catch (IllegalArgumentException e) {
                throw new PartitionException("The field " + field + " holds no time: " + e.getMessage(), e);
            }
        }
    }
}
