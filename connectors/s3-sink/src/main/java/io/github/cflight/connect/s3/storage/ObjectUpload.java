package io.github.cflight.connect.s3.storage;

import io.github.cflight.connect.s3.format.FileOutput;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.services.s3.model.CompletedPart;

/**
 * One object on its way into the bucket. Nothing is to be seen there before {@link #commit} is through.
 *
 * <p>It is sent in one request when it fits into a part; otherwise every part goes out as soon as it is full.
 */
public final class ObjectUpload extends FileOutput {
    private static final Logger LOG = LoggerFactory.getLogger(ObjectUpload.class);

    private final S3Storage storage;
    private final Uploader uploader;
    private final String key;
    private final int partSize;
    private final List<CompletableFuture<CompletedPart>> parts = new ArrayList<>();

    private PartBuffer buffer = new PartBuffer();
    private CompletableFuture<String> uploadId;
    private long size;

    /**
     * Begins an object.
     *
     * @param storage its bucket
     * @param uploader what sends it
     * @param key its key
     * @param partSize the bytes of a part
     */
    public ObjectUpload(S3Storage storage, Uploader uploader, String key, int partSize) {
        this.storage = storage;
        this.uploader = uploader;
        this.key = key;
        this.partSize = partSize;
    }

    @Override
    public void write(int b) {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int offset, int length) {
        fill(length, (from, count) -> buffer.copy(bytes, offset + from, count));
    }

    @Override
    public void writeConstant(byte[] bytes) {
        fill(bytes.length, (from, count) -> buffer.share(bytes, from, count));
    }

    private void fill(int length, Filler filler) {
        int from = 0;
        while (from < length) {
            if (buffer.size() == partSize) {
                sendPart();
            }
            int taken = Math.min(length - from, partSize - buffer.size());
            filler.fill(from, taken);
            from += taken;
        }
        size += length;
    }

    /**
     * Makes the object, in the background.
     *
     * @param tags to be set on it
     * @param tagsMatter whether it counts as a failure when they cannot be set
     */
    public CompletableFuture<Void> commit(Map<String, String> tags, boolean tagsMatter) {
        CompletableFuture<Void> made = uploadId == null ? sendWhole(tags, tagsMatter) : sendRest(tags, tagsMatter);
        buffer = null;
        return made;
    }

    /** Gives the object up; parts that were sent already are removed as far as the store can be reached. */
    public void abort() {
        buffer = null;
        if (uploadId == null) {
            return;
        }
        CompletableFuture<?>[] sent = parts.toArray(CompletableFuture[]::new);
        CompletableFuture.allOf(sent).handle((done, failed) -> {
            if (!uploadId.isCompletedExceptionally()) {
                removeParts();
            }
            return null;
        });
    }

    private void removeParts() {
        try {
            storage.abortUpload(key, uploadId.join());
        } catch (SdkException | IllegalStateException e) {
            LOG.warn("Parts of {} are left in the store: {}", storage.uri(key), e.getMessage());
        }
    }

    private CompletableFuture<Void> sendWhole(Map<String, String> tags, boolean tagsMatter) {
        PartBuffer whole = buffer;
        return uploader.submit(whole.size(), "write " + storage.uri(key), () -> {
            storage.put(key, whole);
            tag(tags, tagsMatter);
            return null;
        });
    }

    private void sendPart() {
        PartBuffer part = buffer;
        int number = parts.size() + 1;
        if (uploadId == null) {
            uploadId = uploader.submit(0, "start the upload of " + storage.uri(key), () -> storage.startUpload(key));
        }
        CompletableFuture<String> id = uploadId;
        parts.add(uploader.submit(part.size(), "write part " + number + " of " + storage.uri(key),
                () -> storage.uploadPart(key, id.join(), number, part)));
        buffer = new PartBuffer();
    }

    private CompletableFuture<Void> sendRest(Map<String, String> tags, boolean tagsMatter) {
        if (buffer.size() > 0) {
            sendPart();
        }
        List<CompletableFuture<CompletedPart>> sent = parts;
        CompletableFuture<String> id = uploadId;
        // Steps start in the order of their submission, so every part is at least under way before this one waits.
        return uploader.submit(0, "complete " + storage.uri(key), () -> {
            storage.completeUpload(key, id.join(), sent.stream().map(CompletableFuture::join).toList(), size);
            tag(tags, tagsMatter);
            return null;
        });
    }

    private void tag(Map<String, String> tags, boolean tagsMatter) {
        if (tags.isEmpty()) {
            return;
        }
        try {
            storage.tag(key, tags);
        } catch (SdkException e) {
            if (tagsMatter) {
                throw e;
            }
            LOG.warn("{} is left without tags: {}", storage.uri(key), e.getMessage());
        }
    }

    /** Puts some of the bytes that are being written into the buffer. */
    private interface Filler {
        void fill(int from, int count);
    }
}
