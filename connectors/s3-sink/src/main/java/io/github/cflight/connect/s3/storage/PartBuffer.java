package io.github.cflight.connect.s3.storage;

import java.io.InputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;

/** Bytes that grow without being copied, up to the size of a part. */
final class PartBuffer {
    private static final int FIRST_SEGMENT = 4 * 1024;
    private static final int SEGMENT = 64 * 1024;

    private final List<byte[]> segments = new ArrayList<>();
    private int room;
    private int size;

    int size() {
        return size;
    }

    void write(byte[] bytes, int offset, int length) {
        int from = offset;
        int left = length;
        while (left > 0) {
            if (room == 0) {
                room = segments.isEmpty() ? FIRST_SEGMENT : SEGMENT;
                segments.add(new byte[room]);
            }
            byte[] last = segments.get(segments.size() - 1);
            int taken = Math.min(left, room);
            System.arraycopy(bytes, from, last, last.length - room, taken);
            from += taken;
            left -= taken;
            room -= taken;
            size += taken;
        }
    }

    /** Returns the bytes from their beginning; may be called again for a repetition. */
    InputStream open() {
        return new Reader();
    }

    void writeTo(MessageDigest digest) {
        int left = size;
        for (byte[] segment : segments) {
            int taken = Math.min(left, segment.length);
            digest.update(segment, 0, taken);
            left -= taken;
        }
    }

    private final class Reader extends InputStream {
        private int segment;
        private int position;
        private int left = size;

        @Override
        public int read() {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] target, int offset, int length) {
            if (left == 0) {
                return length == 0 ? 0 : -1;
            }
            byte[] current = segments.get(segment);
            int taken = Math.min(Math.min(length, left), current.length - position);
            System.arraycopy(current, position, target, offset, taken);
            position += taken;
            left -= taken;
            if (position == current.length) {
                segment++;
                position = 0;
            }
            return taken;
        }

        @Override
        public int available() {
            return left;
        }
    }
}
