package io.github.cflight.connect.s3;

import io.github.cflight.connect.s3.format.Format;
import io.github.cflight.connect.s3.format.RecordWriter;
import io.github.cflight.connect.s3.storage.ObjectUpload;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.apache.kafka.connect.data.Schema;

/** A file of records that more may be put into: the object of its values and, where asked for, of keys and headers. */
final class OpenFile {
    private final long firstOffset;
    private final UnaryOperator<String> keys;
    private final Function<String, ObjectUpload> uploads;
    private final Map<String, String> tags;
    private final boolean tagsMatter;
    private final Map<String, Part> parts = new LinkedHashMap<>();
    private long lastOffset;
    private int records;

    /**
     * Begins a file without records.
     *
     * @param firstOffset the offset of the record that comes first
     * @param keys makes an object's key of its end
     * @param uploads begins the object of a key
     * @param tags to be set on every object, beside those that depend on the records; null for no tags at all
     * @param tagsMatter whether it counts as a failure when they cannot be set
     */
    OpenFile(long firstOffset, UnaryOperator<String> keys, Function<String, ObjectUpload> uploads,
            Map<String, String> tags, boolean tagsMatter) {
        this.firstOffset = firstOffset;
        this.keys = keys;
        this.uploads = uploads;
        this.tags = tags;
        this.tagsMatter = tagsMatter;
    }

    long firstOffset() {
        return firstOffset;
    }

    /** Takes note of a record before its parts are appended. */
    void add(long offset) {
        lastOffset = offset;
        records++;
    }

    /**
     * Appends a value, a key or headers.
     *
     * @param format how the object is written
     * @param kind what stands before the format's extension in the object's key
     * @param schema the schema for an object that begins now, or null
     * @param encoded what the format made of it
     */
    void append(Format format, String kind, Schema schema, Object encoded) {
        String extension = kind + format.extension();
        try {
            Part part = parts.get(extension);
            if (part == null) {
                String key = keys.apply(extension);
                ObjectUpload upload = uploads.apply(key);
                part = new Part(upload, format.open(upload, schema, seed(key)));
                parts.put(extension, part);
            }
            part.writer.append(encoded);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Closes the file and makes its objects, in the background. */
    CompletableFuture<Void> commit() {
        CompletableFuture<?>[] made = parts.values().stream().map(this::commit).toArray(CompletableFuture[]::new);
        return CompletableFuture.allOf(made);
    }

    /** Gives the file up. */
    void abort() {
        parts.values().forEach(part -> part.upload.abort());
    }

    private CompletableFuture<Void> commit(Part part) {
        try {
            part.writer.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return part.upload.commit(allTags(), tagsMatter);
    }

    private Map<String, String> allTags() {
        if (tags == null) {
            return Map.of();
        }
        Map<String, String> all = new LinkedHashMap<>();
        all.put("startOffset", Long.toString(firstOffset));
        all.put("endOffset", Long.toString(lastOffset));
        all.put("recordCount", Integer.toString(records));
        all.putAll(tags);
        return all;
    }

    private static byte[] seed(String key) {
        try {
            return MessageDigest.getInstance("MD5").digest(key.getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private record Part(ObjectUpload upload, RecordWriter writer) {}
}
