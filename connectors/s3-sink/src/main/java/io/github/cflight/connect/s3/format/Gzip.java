package io.github.cflight.connect.s3.format;

import io.github.cflight.connect.s3.S3SinkConfig;
import java.io.IOException;
import java.io.OutputStream;
import java.util.zip.GZIPOutputStream;

/** The compression of whole objects, where it is asked for. */
final class Gzip {
    private final boolean enabled;
    private final int level;

    Gzip(S3SinkConfig config) {
        enabled = config.gzip();
        level = config.getInt("s3.compression.level");
    }

    String extension() {
        return enabled ? ".gz" : "";
    }

    OutputStream around(OutputStream out) throws IOException {
        return enabled ? new LevelledStream(out, level) : out;
    }

    private static final class LevelledStream extends GZIPOutputStream {
        LevelledStream(OutputStream out, int level) throws IOException {
            super(out, 8192);
            def.setLevel(level);
        }
    }
}
