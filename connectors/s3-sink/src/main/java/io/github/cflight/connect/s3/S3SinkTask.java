package io.github.cflight.connect.s3;

import io.github.cflight.connect.s3.partition.Partitioner;
import io.github.cflight.connect.s3.partition.TimePartitioner;
import io.github.cflight.connect.s3.storage.ObjectUpload;
import io.github.cflight.connect.s3.storage.S3Storage;
import io.github.cflight.connect.s3.storage.Uploader;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.ErrantRecordReporter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;
import org.joda.time.DateTimeZone;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import software.amazon.awssdk.core.exception.SdkException;

/** Writes the records of some partitions to the bucket. */
public final class S3SinkTask extends SinkTask {
    private static final Logger LOG = LoggerFactory.getLogger(S3SinkTask.class);

    /** Enough to keep a store busy with objects of half a megabyte; more only costs memory. */
    private static final int UPLOADS_AT_ONCE = 8;

    /** While something is on its way the task looks this often whether it has failed. */
    private static final long LOOK_AGAIN_MS = 500;

    private final Map<TopicPartition, TopicPartitionWriter> writers = new HashMap<>();
    private final Deque<SinkRecord> waiting = new ArrayDeque<>();

    private S3SinkConfig config;
    private S3Storage storage;
    private Uploader uploader;
    private Layout layout;
    private ErrantRecordReporter reporter;
    private boolean paused;

    @Override
    public String version() {
        return new S3SinkConnector().version();
    }

    @Override
    public void start(Map<String, String> properties) {
        config = new S3SinkConfig(properties);
        storage = new S3Storage(config, UPLOADS_AT_ONCE);
        checkBucket();
        Partitioner partitioner = config.instance(S3SinkConfig.PARTITIONER, Partitioner.class);
        partitioner.configure(config);
        layout = Layout.of(config, partitioner);
        uploader = new Uploader(UPLOADS_AT_ONCE, config.partSize(), config.attempts(), config.getLong("retry.backoff.ms"));
        reporter = context.errantRecordReporter();
        if (config.rotateIntervalMs() > 0 && !(partitioner instanceof TimePartitioner)) {
            LOG.warn("rotate.interval.ms has no effect: the partitioner is not time-based");
        }
    }

    @Override
    public void open(Collection<TopicPartition> partitions) {
        partitions.forEach(partition -> writers.put(partition, newWriter(partition)));
    }

    @Override
    public void put(Collection<SinkRecord> records) {
        uploader.throwIfFailed();
        // A record that fails the task does so before anything of its batch is written.
        for (SinkRecord record : records) {
            if (record.value() != null || accepts(record)) {
                writer(record);
                waiting.add(record);
            }
        }
        writeWaiting();
        writers.values().forEach(TopicPartitionWriter::tick);
        askToBeCalledAgain();
    }

    @Override
    public Map<TopicPartition, OffsetAndMetadata> preCommit(Map<TopicPartition, OffsetAndMetadata> currentOffsets) {
        // What is on its way counts when it has arrived. A failure is thrown by the next put: thrown here it would
        // make Connect rewind.
        uploader.awaitIdle();
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        writers.forEach((partition, writer) -> writer.offset()
                .ifPresent(offset -> offsets.put(partition, new OffsetAndMetadata(offset))));
        return offsets;
    }

    @Override
    public void close(Collection<TopicPartition> partitions) {
        for (TopicPartition partition : partitions) {
            TopicPartitionWriter writer = writers.remove(partition);
            if (writer != null) {
                writer.discard();
            }
        }
        waiting.removeIf(record -> partitions.contains(origin(record)));
    }

    @Override
    public void stop() {
        if (uploader != null) {
            uploader.close();
        }
        if (storage != null) {
            storage.close();
        }
    }

    private void checkBucket() {
        boolean exists;
        try {
            exists = storage.exists();
        } catch (SdkException e) {
            throw new ConnectException(e);
        }
        if (!exists) {
            throw new ConnectException("Non-existent S3 bucket: " + config.bucket());
        }
    }

    private TopicPartitionWriter newWriter(TopicPartition partition) {
        String timezone = config.getString(S3SinkConfig.TIMEZONE);
        Rotation rotation = new Rotation(
                layout.partitioner() instanceof TimePartitioner ? config.rotateIntervalMs() : -1,
                config.getBoolean("rotate.file.on.partition.change"),
                config.rotateScheduleMs(),
                timezone.isEmpty() ? DateTimeZone.UTC : DateTimeZone.forID(timezone),
                System.currentTimeMillis());
        return new TopicPartitionWriter(partition, layout, rotation,
                key -> new ObjectUpload(storage, uploader, key, config.partSize()), System::currentTimeMillis);
    }

    private boolean accepts(SinkRecord tombstone) {
        return switch (config.nullValues()) {
            case WRITE -> true;
            case FAIL -> throw new ConnectException(
                    "Null valued records are not writeable with current behavior.on.null.values 'settings.");
            case IGNORE -> {
                if (reporter != null && config.getBoolean("report.null.values.to.dlq")) {
                    reporter.report(tombstone, new DataException("The record has no value"));
                }
                yield false;
            }
        };
    }

    private TopicPartitionWriter writer(SinkRecord record) {
        TopicPartition partition = new TopicPartition(record.topic(), record.kafkaPartition());
        TopicPartitionWriter writer = writers.get(partition);
        if (writer == null) {
            throw new ConnectException("No writer found for topic partition " + partition
                    + ". The record's topic-partition does not match any assigned partitions. Assigned partitions: "
                    + writers.keySet());
        }
        return writer;
    }

    private void writeWaiting() {
        long start = System.nanoTime();
        long limitMs = config.getLong("max.write.duration.ms");
        // One at least, however short the limit is.
        while (!waiting.isEmpty()) {
            write(waiting.poll());
            if (TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start) >= limitMs) {
                break;
            }
        }
        boolean pause = !waiting.isEmpty();
        if (pause != paused) {
            TopicPartition[] all = writers.keySet().toArray(TopicPartition[]::new);
            if (pause) {
                context.pause(all);
            } else {
                context.resume(all);
            }
            paused = pause;
        }
    }

    private void write(SinkRecord record) {
        TopicPartitionWriter writer = writer(record);
        try {
            writer.write(record);
        } catch (DataException e) {
            if (reporter == null) {
                throw e;
            }
            reporter.report(record, e);
            writer.skip(record);
        }
    }

    private void askToBeCalledAgain() {
        long now = System.currentTimeMillis();
        long next = uploader.isIdle() ? Long.MAX_VALUE : now + LOOK_AGAIN_MS;
        for (TopicPartitionWriter writer : writers.values()) {
            next = Math.min(next, writer.nextTick().orElse(Long.MAX_VALUE));
        }
        if (paused) {
            next = now;
        }
        if (next != Long.MAX_VALUE) {
            context.timeout(Math.max(1, next - now));
        }
    }

    private static TopicPartition origin(SinkRecord record) {
        return new TopicPartition(record.originalTopic(), record.originalKafkaPartition());
    }
}
