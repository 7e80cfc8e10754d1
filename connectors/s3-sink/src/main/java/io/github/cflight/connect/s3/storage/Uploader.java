package io.github.cflight.connect.s3.storage;

import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.connect.errors.ConnectException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.exception.AbortedException;
import software.amazon.awssdk.core.exception.SdkException;

/**
 * Sends to the store on a few threads, within a bound on the bytes that are on their way.
 *
 * <p>A step that failed for a passing reason, although each of its requests was repeated, is started again after a
 * pause. When that does not help either the first failure stays, and everything that uses this uploader fails with it.
 */
public final class Uploader implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Uploader.class);
    private static final AtomicInteger THREADS = new AtomicInteger();

    private final ExecutorService executor;
    private final long limit;
    private final int rounds;
    private final long pauseMs;

    private long bytes;
    private int steps;
    private RuntimeException failure;
    private boolean closed;

    /**
     * Starts an uploader.
     *
     * @param threads how many steps run at once
     * @param limit the bytes that may be on their way at once; a single longer step is let through alone
     * @param rounds how often a step is tried in all
     * @param pauseMs the wait between two tries
     */
    public Uploader(int threads, long limit, int rounds, long pauseMs) {
        this.limit = limit;
        this.rounds = rounds;
        this.pauseMs = pauseMs;
        executor = Executors.newFixedThreadPool(threads, runnable -> {
            Thread thread = new Thread(runnable, "s3-upload-" + THREADS.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        });
    }

    /**
     * Runs a step, as soon as its bytes fit beside those on their way; waits for that.
     *
     * @param size the bytes that the step holds on to
     * @param what the step in words, for messages
     * @param step what to do
     * @throws ConnectException where an earlier step has failed for good
     */
    <T> CompletableFuture<T> submit(long size, String what, Callable<T> step) {
        synchronized (this) {
            while (failure == null && !closed && bytes > 0 && bytes + size > limit) {
                await(0);
            }
            throwIfFailed();
            bytes += size;
            steps++;
        }
        CompletableFuture<T> result = new CompletableFuture<>();
        executor.execute(() -> {
            try {
                result.complete(repeat(what, step));
            } catch (RuntimeException e) {
                fail(e);
                result.completeExceptionally(e);
            } finally {
                finished(size);
            }
        });
        return result;
    }

    /** Throws the failure of a step that failed for good, if there is one. */
    public synchronized void throwIfFailed() {
        if (failure != null) {
            throw new ConnectException(failure.getMessage(), failure);
        }
        if (closed) {
            throw new ConnectException("The task has been stopped");
        }
    }

    /** Returns whether nothing is on its way. */
    public synchronized boolean isIdle() {
        return steps == 0;
    }

    /** Waits until nothing is on its way, or a step has failed for good. */
    public synchronized void awaitIdle() {
        while (steps > 0 && failure == null && !closed) {
            await(0);
        }
    }

    /** Gives up what is on its way. */
    @Override
    public void close() {
        synchronized (this) {
            closed = true;
            notifyAll();
        }
        executor.shutdownNow();
        try {
            if (!executor.awaitTermination(5, TimeUnit.SECONDS)) {
                LOG.warn("Requests to the store were still under way when the task stopped");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private <T> T repeat(String what, Callable<T> step) {
        for (int round = 1; ; round++) {
            try {
                return step.call();
            } catch (Exception e) {
                Throwable cause = e instanceof CompletionException && e.getCause() != null ? e.getCause() : e;
                if (round >= rounds || !mayPass(cause) || isClosed()) {
                    throw new ConnectException("Cannot " + what + ": " + cause.getMessage(), cause);
                }
                LOG.warn("Cannot {}, trying again in {} ms: {}", what, pauseMs, cause.getMessage());
                pause();
            }
        }
    }

    private synchronized void pause() {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(pauseMs);
        while (!closed) {
            long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
            if (left <= 0) {
                return;
            }
            await(left);
        }
    }

    private void await(long ms) {
        try {
            wait(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ConnectException("The task was interrupted", e);
        }
    }

    private synchronized boolean isClosed() {
        return closed;
    }

    private synchronized void fail(RuntimeException e) {
        if (failure == null && !closed) {
            failure = e;
            LOG.error("{}", e.getMessage(), e);
        }
        notifyAll();
    }

    private synchronized void finished(long size) {
        bytes -= size;
        steps--;
        notifyAll();
    }

    /** Says whether a failure may be over soon: the store was not reached, was overloaded or had an error inside. */
    static boolean mayPass(Throwable failure) {
        if (failure instanceof AbortedException) {
            return false;
        }
        if (failure instanceof AwsServiceException answered) {
            return answered.statusCode() >= 500 || answered.isThrottlingException()
                    || answered.isClockSkewException() || answered.statusCode() == 408;
        }
        return failure instanceof SdkException;
    }
}
