package io.github.cflight.connect.s3.storage;

import java.io.InputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;

/** The bytes of a part: copies of what came in small pieces, and large pieces themselves. */
final class PartBuffer {
    private static final int FIRST_SEGMENT = 4 * 1024;
    private static final int SEGMENT = 64 * 1024;

    private final List<Piece> pieces = new ArrayList<>();
    private byte[] segment = new byte[0];
    private int used;
    private int size;

    int size() {
        return size;
    }

    /** Appends copies of bytes. */
    void copy(byte[] bytes, int offset, int length) {
        int from = offset;
        int left = length;
        while (left > 0) {
            if (used == segment.length) {
                segment = new byte[pieces.isEmpty() ? FIRST_SEGMENT : SEGMENT];
                used = 0;
            }
            int taken = Math.min(left, segment.length - used);
            System.arraycopy(bytes, from, segment, used, taken);
            append(segment, used, taken);
            used += taken;
            from += taken;
            left -= taken;
        }
    }

    /** Appends bytes that nobody will change any more. */
    void share(byte[] bytes, int offset, int length) {
        if (length < SEGMENT) {
            copy(bytes, offset, length);
        } else {
            append(bytes, offset, length);
        }
    }

    /** Returns the bytes from their beginning; may be called again for a repetition. */
    InputStream open() {
        return new Reader();
    }

    void writeTo(MessageDigest digest) {
        pieces.forEach(piece -> digest.update(piece.bytes, piece.offset, piece.length));
    }

    private void append(byte[] bytes, int offset, int length) {
        size += length;
        if (!pieces.isEmpty()) {
            Piece last = pieces.get(pieces.size() - 1);
            if (last.bytes == bytes && last.offset + last.length == offset) {
                last.length += length;
                return;
            }
        }
        pieces.add(new Piece(bytes, offset, length));
    }

    private static final class Piece {
        private final byte[] bytes;
        private final int offset;
        private int length;

        Piece(byte[] bytes, int offset, int length) {
            this.bytes = bytes;
            this.offset = offset;
            this.length = length;
        }
    }

    private final class Reader extends InputStream {
        private int index;
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
            Piece piece = pieces.get(index);
            int taken = Math.min(length, piece.length - position);
            System.arraycopy(piece.bytes, piece.offset + position, target, offset, taken);
            position += taken;
            left -= taken;
            if (position == piece.length) {
                index++;
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
