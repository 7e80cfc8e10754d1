package io.github.cflight.connect.s3.format;

import java.io.IOException;
import java.io.OutputStream;

/** Where the bytes of a file go. */
public abstract class FileOutput extends OutputStream {
    /**
     * Writes bytes that nobody will change any more, so that they can be kept instead of copied.
     *
     * @param bytes the bytes, all of them
     */
    public abstract void writeConstant(byte[] bytes) throws IOException;
}
