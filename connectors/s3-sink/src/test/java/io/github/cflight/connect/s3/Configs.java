package io.github.cflight.connect.s3;

import java.util.HashMap;
import java.util.Map;

/** Configurations for tests. */
public final class Configs {
    private Configs() {}

    /** Returns a configuration with the required properties and others, as key, value, key, value. */
    public static S3SinkConfig config(String... others) {
        return new S3SinkConfig(properties(others));
    }

    static Map<String, String> properties(String... others) {
        Map<String, String> properties = new HashMap<>(Map.of(
                "s3.bucket.name", "bucket",
                "flush.size", "3",
                "storage.class", "io.confluent.connect.s3.storage.S3Storage",
                "format.class", "io.confluent.connect.s3.format.json.JsonFormat"));
        for (int i = 0; i < others.length; i += 2) {
            properties.put(others[i], others[i + 1]);
        }
        return properties;
    }
}
