package io.github.cflight.connect.s3;

import java.util.OptionalLong;
import org.joda.time.DateTime;
import org.joda.time.DateTimeZone;

/** When the open files of a topic partition are closed because of the time. */
final class Rotation {
    private final long intervalMs;
    private final boolean onFolderChange;
    private final long scheduleMs;
    private final DateTimeZone zone;

    private Long firstTimestamp;
    private String lastFolder;
    private long nextScheduled = Long.MAX_VALUE;

    /**
     * Begins with no open files.
     *
     * @param intervalMs the time between the first record of the files and one that closes them; 0 or less: never
     * @param onFolderChange with an interval: whether a record for another folder closes them, too
     * @param scheduleMs the span since midnight at whose multiples they are closed; 0 or less: never
     * @param zone whose midnight that is
     * @param now the wall clock, ms since 1970
     */
    Rotation(long intervalMs, boolean onFolderChange, long scheduleMs, DateTimeZone zone, long now) {
        this.intervalMs = intervalMs;
        this.onFolderChange = onFolderChange;
        this.scheduleMs = scheduleMs;
        this.zone = zone;
        schedule(now);
    }

    /** Returns whether a record's time matters. */
    boolean hasInterval() {
        return intervalMs > 0;
    }

    /**
     * Returns whether the files are to be closed before a record goes into one of them.
     *
     * @param timestamp the record's time that counts, ms since 1970
     * @param folder its folder
     * @param now the wall clock, ms since 1970
     */
    boolean isDue(long timestamp, String folder, long now) {
        return isIntervalOver(timestamp) || changesFolder(folder) || now >= nextScheduled;
    }

    /**
     * Returns whether the files are to be closed although no record has come.
     *
     * @param wallClockCounts whether the time that counts is the wall clock's
     * @param now the wall clock, ms since 1970
     */
    boolean isDue(boolean wallClockCounts, long now) {
        return wallClockCounts && isIntervalOver(now) || now >= nextScheduled;
    }

    /** Returns when the files will be due if no record comes, ms since 1970. */
    OptionalLong dueAt(boolean wallClockCounts) {
        long due = nextScheduled;
        if (wallClockCounts && hasInterval() && firstTimestamp != null) {
            due = Math.min(due, firstTimestamp + intervalMs);
        }
        return due == Long.MAX_VALUE ? OptionalLong.empty() : OptionalLong.of(due);
    }

    /** Takes note of a record that has gone into a file. */
    void written(long timestamp, String folder) {
        if (firstTimestamp == null) {
            firstTimestamp = timestamp;
        }
        lastFolder = folder;
    }

    /** Takes note that the files were closed, or that there were none to close. */
    void closed(long now) {
        firstTimestamp = null;
        lastFolder = null;
        if (now >= nextScheduled) {
            schedule(now);
        }
    }

    private boolean isIntervalOver(long timestamp) {
        return hasInterval() && firstTimestamp != null && timestamp - firstTimestamp >= intervalMs;
    }

    private boolean changesFolder(String folder) {
        return hasInterval() && onFolderChange && lastFolder != null && !lastFolder.equals(folder);
    }

    private void schedule(long now) {
        if (scheduleMs <= 0) {
            return;
        }
        long midnight = new DateTime(now, zone).withTimeAtStartOfDay().getMillis();
        nextScheduled = midnight + ((now - midnight) / scheduleMs + 1) * scheduleMs;
    }
}
