package io.github.cflight.connect.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.OptionalLong;
import org.joda.time.DateTime;
import org.joda.time.DateTimeZone;
import org.junit.jupiter.api.Test;

class RotationTest {
    private static final DateTimeZone BERLIN = DateTimeZone.forID("Europe/Berlin");

    @Test
    void withoutIntervalAndScheduleNothingIsEverDue() {
        Rotation rotation = new Rotation(-1, true, -1, DateTimeZone.UTC, 0);
        rotation.written(0, "a");
        assertFalse(rotation.isDue(Long.MAX_VALUE / 2, "b", Long.MAX_VALUE / 2));
        assertEquals(OptionalLong.empty(), rotation.dueAt(true));
    }

    @Test
    void theIntervalCountsFromTheFirstRecordOfTheFiles() {
        Rotation rotation = new Rotation(100, false, -1, DateTimeZone.UTC, 0);
        assertFalse(rotation.isDue(1_000, "a", 0));
        rotation.written(1_000, "a");
        rotation.written(1_050, "a");
        assertFalse(rotation.isDue(1_099, "a", 0));
        assertTrue(rotation.isDue(1_100, "a", 0));
        rotation.closed(0);
        assertFalse(rotation.isDue(9_999, "a", 0));
    }

    @Test
    void aLateRecordClosesNothing() {
        Rotation rotation = new Rotation(100, false, -1, DateTimeZone.UTC, 0);
        rotation.written(1_000, "a");
        assertFalse(rotation.isDue(10, "a", 0));
    }

    @Test
    void anotherFolderClosesOnlyWithAnInterval() {
        Rotation with = new Rotation(100, true, -1, DateTimeZone.UTC, 0);
        Rotation without = new Rotation(-1, true, -1, DateTimeZone.UTC, 0);
        with.written(0, "a");
        without.written(0, "a");
        assertTrue(with.isDue(1, "b", 0));
        assertFalse(with.isDue(1, "a", 0));
        assertFalse(without.isDue(1, "b", 0));
    }

    @Test
    void theWallClockNeedsNoRecords() {
        Rotation rotation = new Rotation(100, false, -1, DateTimeZone.UTC, 0);
        rotation.written(1_000, "a");
        assertTrue(rotation.isDue(true, 1_100));
        assertFalse(rotation.isDue(false, 1_100));
        assertEquals(OptionalLong.of(1_100), rotation.dueAt(true));
        assertEquals(OptionalLong.empty(), rotation.dueAt(false));
    }

    @Test
    void theScheduleCountsFromMidnightInItsTimeZone() {
        long hour = 3_600_000;
        long start = new DateTime(2020, 8, 1, 9, 30, BERLIN).getMillis();
        Rotation rotation = new Rotation(-1, true, 6 * hour, BERLIN, start);
        long noon = new DateTime(2020, 8, 1, 12, 0, BERLIN).getMillis();
        assertEquals(OptionalLong.of(noon), rotation.dueAt(false));
        assertFalse(rotation.isDue(false, noon - 1));
        assertTrue(rotation.isDue(false, noon));
        rotation.closed(noon + 5);
        assertEquals(OptionalLong.of(noon + 6 * hour), rotation.dueAt(false));
    }

    @Test
    void closingForAnotherReasonLeavesTheSchedule() {
        Rotation rotation = new Rotation(-1, true, 1_000, DateTimeZone.UTC, 100);
        rotation.closed(200);
        assertEquals(OptionalLong.of(1_000), rotation.dueAt(false));
    }
}
