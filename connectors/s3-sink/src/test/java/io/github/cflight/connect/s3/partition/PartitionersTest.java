package io.github.cflight.connect.s3.partition;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.cflight.connect.s3.Configs;
import java.util.Date;
import java.util.Map;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.sink.SinkRecord;
import org.joda.time.DateTime;
import org.joda.time.DateTimeZone;
import org.junit.jupiter.api.Test;

class PartitionersTest {
    private static final long NINE = new DateTime(2020, 8, 1, 9, 0, DateTimeZone.UTC).getMillis();

    @Test
    void fieldsMakeUpFolders() {
        Schema inner = SchemaBuilder.struct().field("n", Schema.INT64_SCHEMA).build();
        Schema schema = SchemaBuilder.struct().field("dep", Schema.STRING_SCHEMA).field("in", inner)
                .field("direct", Schema.BOOLEAN_SCHEMA).build();
        Struct value = new Struct(schema).put("dep", "A/B").put("in", new Struct(inner).put("n", 7L)).put("direct", true);
        FieldPartitioner partitioner = new FieldPartitioner();
        partitioner.configure(Configs.config("partition.field.name", "dep,in.n,direct"));
        assertEquals("dep=A/B/in.n=7/direct=true", partitioner.folder(record(value), 0));
    }

    @Test
    void aFieldThatIsNotThereIsRefused() {
        FieldPartitioner partitioner = new FieldPartitioner();
        partitioner.configure(Configs.config("partition.field.name", "nope"));
        Struct value = new Struct(SchemaBuilder.struct().field("a", Schema.STRING_SCHEMA).build()).put("a", "x");
        assertThrows(PartitionException.class, () -> partitioner.folder(record(value), 0));
        assertThrows(PartitionException.class, () -> partitioner.folder(record(Map.of("nope", "x")), 0));
    }

    @Test
    void spansBeginByTheLocalClock() {
        TimePartitioner partitioner = time("Europe/Berlin", "86400000", "'d'=YYYY-MM-dd/HH");
        assertEquals("d=2020-08-01/00", partitioner.folder(NINE));
        long beforeMidnight = new DateTime(2020, 8, 1, 21, 59, DateTimeZone.UTC).getMillis();
        assertEquals("d=2020-08-01/00", partitioner.folder(beforeMidnight));
        assertEquals("d=2020-08-02/00", partitioner.folder(beforeMidnight + 60_000));
    }

    @Test
    void theYearIsTheCalendarsNotTheWeeks() {
        long newYearsEve = new DateTime(2019, 12, 31, 12, 0, DateTimeZone.UTC).getMillis();
        assertEquals("2019", time("UTC", "3600000", "YYYY").folder(newYearsEve));
    }

    @Test
    void timesBefore1970HaveFoldersToo() {
        assertEquals("1969-12-31 23", time("UTC", "3600000", "YYYY-MM-dd HH").folder(-1));
    }

    @Test
    void hoursAndDaysNeedNoPattern() {
        HourlyPartitioner hourly = new HourlyPartitioner();
        hourly.configure(Configs.config("locale", "en-US", "timezone", "UTC", "directory.delim", "_"));
        assertEquals("year=2020_month=08_day=01_hour=09", hourly.folder(NINE));
        DailyPartitioner daily = new DailyPartitioner();
        daily.configure(Configs.config("locale", "en-US", "timezone", "UTC"));
        assertEquals("year=2020/month=08/day=01", daily.folder(NINE));
    }

    @Test
    void whatIsMissingIsNamed() {
        assertEquals("Invalid value  for configuration timezone: Timezone cannot be empty.",
                assertThrows(ConfigException.class, () -> time("", "1", "YYYY")).getMessage());
        assertEquals("Invalid value -1 for configuration partition.duration.ms: Partition duration needs to be a positive.",
                assertThrows(ConfigException.class, () -> time("UTC", "-1", "YYYY")).getMessage());
    }

    @Test
    void timesAreFoundInFields() {
        assertEquals(NINE, TimestampExtractor.named("RecordField", "t").timestamp(record(Map.of("t", NINE)), 0));
        assertEquals(NINE, TimestampExtractor.named("RecordField", "t").timestamp(record(Map.of("t", new Date(NINE))), 0));
        for (String text : new String[] {"2020-08-01T09:00:00Z", "2020-08-01T11:00:00+02:00", "2020-08-01T09:00:00"}) {
            assertEquals(NINE, TimestampExtractor.named("RecordField", "t").timestamp(record(Map.of("t", text)), 0));
        }
        assertThrows(PartitionException.class,
                () -> TimestampExtractor.named("RecordField", "t").timestamp(record(Map.of("t", "soon")), 0));
        assertThrows(PartitionException.class,
                () -> TimestampExtractor.named("RecordField", "t").timestamp(record(Map.of("a", 1)), 0));
    }

    @Test
    void extractorsHaveTheirConfluentNames() {
        assertEquals(5, TimestampExtractor.named(
                TimestampExtractor.CONFLUENT_PREFIX + "WallclockTimestampExtractor", "").timestamp(record("x"), 5));
        assertEquals(NINE, TimestampExtractor.named("Record", "").timestamp(record("x"), 5));
        ConfigException unknown = assertThrows(ConfigException.class, () -> TimestampExtractor.named("com.example.X", ""));
        assertTrue(unknown.getCause() instanceof ClassNotFoundException);
    }

    private static TimePartitioner time(String zone, String duration, String path) {
        TimePartitioner partitioner = new TimePartitioner();
        partitioner.configure(Configs.config("locale", "en-US", "timezone", zone,
                "partition.duration.ms", duration, "path.format", path));
        return partitioner;
    }

    private static SinkRecord record(Object value) {
        Schema schema = value instanceof Struct struct ? struct.schema() : null;
        return new SinkRecord("t", 0, null, null, schema, value, 0, NINE, TimestampType.CREATE_TIME);
    }
}
