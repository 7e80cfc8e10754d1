package io.github.cflight.connect.s3;

import io.github.cflight.connect.s3.format.Format;
import io.github.cflight.connect.s3.partition.Partitioner;
import io.github.cflight.connect.s3.partition.TimePartitioner;
import io.github.cflight.connect.s3.storage.ObjectUpload;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import java.util.function.LongSupplier;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;

/**
 * The open files of one partition of a topic, and the offset up to which the store holds its records.
 *
 * <p>All open files are closed together. Closed ones are sent in the background; the offset moves past them in the
 * order in which they were closed.
 */
final class TopicPartitionWriter {
    private final TopicPartition partition;
    private final Layout layout;
    private final Function<String, ObjectUpload> uploads;
    private final LongSupplier clock;
    private final Rotation rotation;
    private final boolean wallClockCounts;

    private final Map<String, OpenFile> open = new LinkedHashMap<>();
    private final Map<String, Schema> schemas = new HashMap<>();
    private final Deque<Closed> closed = new ArrayDeque<>();
    private int records;
    private long lastOffset = -1;
    private long lastWritten = -1;
    private long storedTo = -1;

    /**
     * Begins with no files.
     *
     * @param partition whose records these are
     * @param layout how files are written and named
     * @param rotation when the time closes them
     * @param uploads begins an object of a given key
     * @param clock the wall clock, ms since 1970
     */
    TopicPartitionWriter(TopicPartition partition, Layout layout, Rotation rotation,
            Function<String, ObjectUpload> uploads, LongSupplier clock) {
        this.partition = partition;
        this.layout = layout;
        this.rotation = rotation;
        this.uploads = uploads;
        this.clock = clock;
        wallClockCounts = layout.partitioner() instanceof TimePartitioner time && time.goesByWallClock();
    }

    /**
     * Puts a record into its file.
     *
     * @param record the next record of the partition; one that came before, as after a rewind by Connect, is passed over
     * @throws DataException where it cannot be written; the files are as they were before, but perhaps closed
     */
    void write(SinkRecord record) {
        long offset = record.originalKafkaOffset();
        if (offset <= lastOffset) {
            return;
        }
        long now = clock.getAsLong();
        boolean tombstone = record.value() == null;
        String folder = tombstone ? layout.tombstoneFolder() : layout.partitioner().folder(record, now);
        long timestamp = rotation.hasInterval() ? timestamp(record, now) : now;
        boolean due = !open.isEmpty() && (needsRoom(folder) || rotation.isDue(timestamp, folder, now));
        if (due || changesSchema(record, folder)) {
            closeFiles(now);
        }
        Schema fileSchema = schemas.containsKey(folder) ? schemas.get(folder) : record.valueSchema();
        append(record, folder, fileSchema);
        if (!tombstone) {
            schemas.put(folder, fileSchema);
        }
        rotation.written(timestamp, folder);
        lastOffset = offset;
        lastWritten = offset;
        if (++records >= layout.flushSize()) {
            closeFiles(now);
        }
    }

    /** Passes over a record that cannot be written. */
    void skip(SinkRecord record) {
        lastOffset = Math.max(lastOffset, record.originalKafkaOffset());
    }

    /** Closes the files if the wall clock says so. */
    void tick() {
        long now = clock.getAsLong();
        if (!open.isEmpty() && rotation.isDue(wallClockCounts, now)) {
            closeFiles(now);
        }
    }

    /** Returns when {@link #tick} will have something to do, ms since 1970. */
    OptionalLong nextTick() {
        return open.isEmpty() ? OptionalLong.empty() : rotation.dueAt(wallClockCounts);
    }

    /** Returns the offset of the first record that a task in this one's place would have to read again. */
    OptionalLong offset() {
        while (!closed.isEmpty() && closed.peek().isStored()) {
            storedTo = closed.poll().next;
        }
        if (!closed.isEmpty()) {
            return OptionalLong.of(closed.peek().first);
        }
        OptionalLong firstOpen = open.values().stream().mapToLong(OpenFile::firstOffset).min();
        return firstOpen.isPresent() || storedTo < 0 ? firstOpen : OptionalLong.of(storedTo);
    }

    /** Gives up the open files. */
    void discard() {
        open.values().forEach(OpenFile::abort);
        open.clear();
    }

    private boolean needsRoom(String folder) {
        return !open.containsKey(folder) && open.size() >= layout.maxOpenFiles();
    }

    private long timestamp(SinkRecord record, long now) {
        return record.value() == null ? now : ((TimePartitioner) layout.partitioner()).timestamp(record, now);
    }

    private boolean changesSchema(SinkRecord record, String folder) {
        return record.value() != null && schemas.containsKey(folder)
                && layout.compatibility().closes(schemas.get(folder), record.valueSchema());
    }

    private void append(SinkRecord record, String folder, Schema fileSchema) {
        // All is encoded before a file is touched, so that a record that cannot be leaves no trace.
        Map<Layout.Kind, Layout.Encoded> encoded = layout.encode(record, fileSchema);
        OpenFile file = open.computeIfAbsent(folder, name -> newFile(name, record.originalKafkaOffset()));
        file.add(record.originalKafkaOffset());
        encoded.forEach((kind, part) ->
                file.append(layout.format(kind), kind.infix(), part.schema(), part.value()));
    }

    private OpenFile newFile(String folder, long offset) {
        return new OpenFile(offset,
                extension -> layout.keys().key(partition.topic(), partition.partition(), folder, offset, extension),
                uploads, layout.tags(), layout.tagsMatter());
    }

    private void closeFiles(long now) {
        if (!open.isEmpty()) {
            long first = open.values().stream().mapToLong(OpenFile::firstOffset).min().orElseThrow();
            CompletableFuture<?>[] made = open.values().stream().map(OpenFile::commit).toArray(CompletableFuture[]::new);
            closed.add(new Closed(first, lastWritten + 1, CompletableFuture.allOf(made)));
        }
        open.clear();
        schemas.clear();
        records = 0;
        rotation.closed(now);
    }

    /** Files that are on their way together: the offsets of their first record and of the one after the last. */
    private record Closed(long first, long next, CompletableFuture<Void> made) {
        boolean isStored() {
            return made.isDone() && !made.isCompletedExceptionally();
        }
    }
}
