package io.github.cflight.connect.s3.storage;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.connect.errors.ConnectException;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.services.s3.model.S3Exception;

class UploaderTest {
    @Test
    void bytesOnTheirWayAreBounded() throws Exception {
        CountDownLatch release = new CountDownLatch(1);
        try (Uploader uploader = new Uploader(4, 100, 1, 0)) {
            uploader.submit(60, "wait", () -> release.await(10, TimeUnit.SECONDS));
            uploader.submit(40, "wait", () -> release.await(10, TimeUnit.SECONDS));
            CompletableFuture<Object> third = CompletableFuture.supplyAsync(() -> {
                uploader.submit(1, "follow", () -> null);
                return null;
            });
            assertFalse(uploader.isIdle());
            assertThrows(TimeoutException.class, () -> third.get(200, TimeUnit.MILLISECONDS));
            release.countDown();
            third.get(10, TimeUnit.SECONDS);
            uploader.awaitIdle();
            assertTrue(uploader.isIdle());
        }
    }

    @Test
    void aStepLongerThanTheBoundGoesAlone() throws Exception {
        try (Uploader uploader = new Uploader(4, 100, 1, 0)) {
            assertEquals("done", uploader.submit(1_000, "go", () -> "done").get(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void passingFailuresAreTriedAgain() throws Exception {
        AtomicInteger tries = new AtomicInteger();
        try (Uploader uploader = new Uploader(1, 100, 3, 1)) {
            CompletableFuture<Integer> step = uploader.submit(1, "go", () -> {
                if (tries.incrementAndGet() < 3) {
                    throw SdkClientException.create("connection refused");
                }
                return tries.get();
            });
            assertEquals(3, step.get(10, TimeUnit.SECONDS));
            uploader.throwIfFailed();
        }
    }

    @Test
    void afterTheLastTryEverythingFailsWithTheReason() {
        AtomicInteger tries = new AtomicInteger();
        try (Uploader uploader = new Uploader(1, 100, 2, 1)) {
            CompletableFuture<Object> step = uploader.submit(1, "write s3://b/k", () -> {
                tries.incrementAndGet();
                throw SdkClientException.create("connection refused");
            });
            assertThrows(ExecutionException.class, () -> step.get(10, TimeUnit.SECONDS));
            uploader.awaitIdle();
            assertEquals(2, tries.get());
            ConnectException failure = assertThrows(ConnectException.class, uploader::throwIfFailed);
            assertEquals("Cannot write s3://b/k: connection refused", failure.getMessage());
            assertThrows(ConnectException.class, () -> uploader.submit(1, "go", () -> null));
        }
    }

    @Test
    void onlyWhatMayPassIsTriedAgain() {
        assertTrue(Uploader.mayPass(S3Exception.builder().statusCode(503).build()));
        assertTrue(Uploader.mayPass(SdkClientException.create("timeout")));
        assertFalse(Uploader.mayPass(S3Exception.builder().statusCode(403).build()));
        assertFalse(Uploader.mayPass(S3Exception.builder().statusCode(404).build()));
        assertFalse(Uploader.mayPass(new IllegalStateException()));
    }
}
