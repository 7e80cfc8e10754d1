package io.github.cflight.connect.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.github.cflight.connect.s3.partition.Partitioner;
import io.github.cflight.connect.s3.storage.ObjectUpload;
import io.github.cflight.connect.s3.storage.S3Storage;
import io.github.cflight.connect.s3.storage.Uploader;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.joda.time.DateTimeZone;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TopicPartitionWriterTest {
    private static final Schema SCHEMA = SchemaBuilder.struct().field("c", Schema.STRING_SCHEMA).build();

    private final Map<String, String> stored = new ConcurrentSkipListMap<>();
    private final ExecutorService requests = Executors.newCachedThreadPool();
    private CountDownLatch held = new CountDownLatch(0);
    private String heldKey = "";
    private HttpServer store;
    private Uploader uploader;
    private S3Storage storage;

    @BeforeEach
    void start() throws IOException {
        store = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        store.setExecutor(requests);
        store.createContext("/", this::take);
        store.start();
        uploader = new Uploader(4, 1 << 20, 1, 0);
    }

    @AfterEach
    void stop() {
        held.countDown();
        uploader.close();
        storage.close();
        store.stop(0);
        requests.shutdownNow();
    }

    @Test
    void offsetsMoveInTheOrderOfTheFiles() throws InterruptedException {
        held = new CountDownLatch(1);
        heldKey = "t+0+0000000000.json";
        TopicPartitionWriter writer = writer("flush.size", "2");
        write(writer, "a", "b", "c", "d");
        awaitObjects("t+0+0000000002.json");
        assertEquals(OptionalLong.of(0), writer.offset());
        held.countDown();
        uploader.awaitIdle();
        assertEquals(OptionalLong.of(4), writer.offset());
    }

    @Test
    void anOpenFilesFirstOffsetIsNotPassed() {
        TopicPartitionWriter writer = writer("flush.size", "3");
        assertEquals(OptionalLong.empty(), writer.offset());
        write(writer, "a", "b", "c", "d");
        uploader.awaitIdle();
        assertEquals(OptionalLong.of(3), writer.offset());
    }

    @Test
    void recordsThatCameBeforeArePassedOver() {
        TopicPartitionWriter writer = writer("flush.size", "2");
        write(writer, "a", "b", "c");
        write(writer, "a", "b", "c", "d");
        uploader.awaitIdle();
        assertEquals(List.of("{\"c\":\"a\"}\n{\"c\":\"b\"}\n", "{\"c\":\"c\"}\n{\"c\":\"d\"}\n"),
                List.copyOf(stored.values()));
    }

    @Test
    void oneFolderTooManyClosesAll() {
        TopicPartitionWriter writer = writer("flush.size", "100", "partitioner.max.open.files", "2",
                "partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner",
                "partition.field.name", "c");
        write(writer, "x", "y", "x", "z");
        uploader.awaitIdle();
        assertEquals(List.of("topics/t/c=x/t+0+0000000000.json", "topics/t/c=y/t+0+0000000001.json"),
                List.copyOf(stored.keySet()));
        assertEquals(OptionalLong.of(3), writer.offset());
    }

    @Test
    void aRecordThatCannotBeWrittenLeavesNoTrace() {
        TopicPartitionWriter writer = writer("flush.size", "1",
                "format.class", "io.confluent.connect.s3.format.bytearray.ByteArrayFormat");
        assertThrows(DataException.class, () -> write(writer, "text is no bytes"));
        uploader.awaitIdle();
        assertEquals(Map.of(), stored);
        assertEquals(OptionalLong.empty(), writer.offset());
    }

    private TopicPartitionWriter writer(String... properties) {
        String url = "http://127.0.0.1:" + store.getAddress().getPort();
        String[] all = Stream.concat(
                Stream.of("store.url", url, "aws.access.key.id", "a", "aws.secret.access.key", "b"),
                Stream.of(properties)).toArray(String[]::new);
        S3SinkConfig config = Configs.config(all);
        storage = new S3Storage(config, 4);
        Partitioner partitioner = config.instance(S3SinkConfig.PARTITIONER, Partitioner.class);
        partitioner.configure(config);
        Rotation rotation = new Rotation(-1, true, -1, DateTimeZone.UTC, 0);
        return new TopicPartitionWriter(new TopicPartition("t", 0), Layout.of(config, partitioner), rotation,
                key -> new ObjectUpload(storage, uploader, key, config.partSize()), () -> 0);
    }

    private static void write(TopicPartitionWriter writer, String... values) {
        for (int offset = 0; offset < values.length; offset++) {
            Struct value = new Struct(SCHEMA).put("c", values[offset]);
            writer.write(new SinkRecord("t", 0, null, null, SCHEMA, value, offset, 0L, TimestampType.CREATE_TIME));
        }
    }

    private void awaitObjects(String name) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (stored.keySet().stream().noneMatch(key -> key.endsWith(name)) && System.nanoTime() < deadline) {
            Thread.sleep(5);
        }
    }

    private void take(HttpExchange exchange) throws IOException {
        String key = exchange.getRequestURI().getPath().substring("/bucket/".length());
        String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (key.endsWith(heldKey)) {
                held.await(10, TimeUnit.SECONDS);
            }
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
        stored.put(key, body);
        exchange.sendResponseHeaders(200, -1);
        exchange.close();
    }
}
