package io.github.cflight.connect.s3.format;

import java.io.Closeable;
import java.io.IOException;

/** A file in the making. */
public interface RecordWriter extends Closeable {
    /**
     * Appends a record.
     *
     * @param encoded what the file's format made of it
     */
    void append(Object encoded) throws IOException;
}
