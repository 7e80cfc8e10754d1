package io.github.cflight.connect.s3.partition;

import io.github.cflight.connect.s3.S3SinkConfig;
import java.util.Locale;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.joda.time.DateTimeZone;
import org.joda.time.format.DateTimeFormat;
import org.joda.time.format.DateTimeFormatter;

/** A folder for every span of time. */
public class TimePartitioner implements Partitioner {
    private long durationMs;
    private DateTimeZone zone;
    private DateTimeFormatter path;
    private TimestampExtractor extractor;

    @Override
    public void configure(S3SinkConfig config) {
        configure(config, config.getLong("partition.duration.ms"), config.getString("path.format"));
    }

    /**
     * Sets it up for spans of a length.
     *
     * @param config the rest of the configuration
     * @param duration a span's length in ms
     * @param pathFormat the folder's Joda-Time pattern
     */
    final void configure(S3SinkConfig config, long duration, String pathFormat) {
        if (duration <= 0) {
            throw new ConfigException("partition.duration.ms", duration, "Partition duration needs to be a positive.");
        }
        if (pathFormat.isEmpty() || pathFormat.equals(config.getString("directory.delim"))) {
            throw new ConfigException("path.format", pathFormat, "Path format cannot be empty.");
        }
        String locale = config.getString("locale");
        if (locale.isEmpty()) {
            throw new ConfigException("locale", locale, "Locale cannot be empty.");
        }
        String timezone = config.getString("timezone");
        if (timezone.isEmpty()) {
            throw new ConfigException("timezone", timezone, "Timezone cannot be empty.");
        }
        extractor = TimestampExtractor.named(config.getString("timestamp.extractor"), config.getString("timestamp.field"));
        durationMs = duration;
        zone = DateTimeZone.forID(timezone);
        path = DateTimeFormat.forPattern(pathFormat).withLocale(Locale.forLanguageTag(locale)).withZone(zone);
    }

    @Override
    public String folder(SinkRecord record, long now) {
        return folder(timestamp(record, now));
    }

    /**
     * Returns the folder of a time.
     *
     * @param timestamp ms since 1970
     */
    String folder(long timestamp) {
        // Spans are counted by the local clock: those of a day begin at midnight, whatever the offset from UTC.
        long local = zone.convertUTCToLocal(timestamp);
        long start = Math.floorDiv(local, durationMs) * durationMs;
        return path.print(zone.convertLocalToUTC(start, false));
    }

    /** Returns the time of a record that counts, ms since 1970. */
    public long timestamp(SinkRecord record, long now) {
        return extractor.timestamp(record, now);
    }

    /** Says whether the time that counts passes without records. */
    public boolean goesByWallClock() {
        return extractor instanceof TimestampExtractor.Wallclock;
    }
}
