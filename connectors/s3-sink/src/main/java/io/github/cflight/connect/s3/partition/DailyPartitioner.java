package io.github.cflight.connect.s3.partition;

import io.github.cflight.connect.s3.S3SinkConfig;
import java.util.concurrent.TimeUnit;

/** A folder for every day. */
public final class DailyPartitioner extends TimePartitioner {
    @Override
    public void configure(S3SinkConfig config) {
        String path = String.join(config.getString("directory.delim"), "'year'=YYYY", "'month'=MM", "'day'=dd");
        configure(config, TimeUnit.DAYS.toMillis(1), path);
    }
}
