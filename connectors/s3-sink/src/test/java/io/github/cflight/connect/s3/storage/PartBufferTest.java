package io.github.cflight.connect.s3.storage;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PartBufferTest {
    @Test
    void whatGoesInComesOutAsOftenAsAsked() throws IOException {
        Random random = new Random(1);
        PartBuffer buffer = new PartBuffer();
        ByteArrayOutputStream expected = new ByteArrayOutputStream();
        for (int i = 0; i < 300; i++) {
            byte[] bytes = new byte[random.nextInt(random.nextInt(10) == 0 ? 200_000 : 5_000)];
            random.nextBytes(bytes);
            if (random.nextBoolean()) {
                buffer.share(bytes, 0, bytes.length);
            } else {
                buffer.copy(bytes, 0, bytes.length);
            }
            expected.writeBytes(bytes);
        }
        assertEquals(expected.size(), buffer.size());
        assertArrayEquals(expected.toByteArray(), buffer.open().readAllBytes());
        assertArrayEquals(expected.toByteArray(), buffer.open().readAllBytes());
    }

    @Test
    void copiesDoNotChangeWithTheirSource() throws IOException {
        PartBuffer buffer = new PartBuffer();
        byte[] bytes = {1, 2, 3};
        buffer.copy(bytes, 1, 2);
        bytes[1] = 9;
        assertArrayEquals(new byte[] {2, 3}, buffer.open().readAllBytes());
    }

    @Test
    void anEmptyOneHasNoBytes() throws IOException {
        assertEquals(-1, new PartBuffer().open().read());
    }
}
