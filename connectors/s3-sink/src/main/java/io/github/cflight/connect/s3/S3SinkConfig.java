package io.github.cflight.connect.s3;

import static org.apache.kafka.common.config.ConfigDef.NO_DEFAULT_VALUE;

import io.github.cflight.connect.s3.format.AvroFormat;
import io.github.cflight.connect.s3.format.Format;
import io.github.cflight.connect.s3.partition.DefaultPartitioner;
import io.github.cflight.connect.s3.partition.Partitioner;
import io.github.cflight.connect.s3.storage.S3Storage;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.zip.Deflater;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.types.Password;
import org.joda.time.DateTimeZone;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;

/** The sink's configuration: the names, types and defaults of the Confluent S3 sink's properties. */
public final class S3SinkConfig extends AbstractConfig {
    /** The smallest part that S3 takes, but for the last one of an upload. */
    static final int SMALLEST_PART = 5 * 1024 * 1024;

    static final String FORMAT = "format.class";
    static final String STORAGE = "storage.class";
    static final String PARTITIONER = "partitioner.class";
    static final String KEYS_FORMAT = "keys.format.class";
    static final String HEADERS_FORMAT = "headers.format.class";
    static final String COMPRESSION = "s3.compression.type";
    static final String NULL_VALUES = "behavior.on.null.values";
    static final String STORE_KEYS = "store.kafka.keys";
    static final String AFFIX = "s3.schema.partition.affix.type";
    static final String TIMEZONE = "timezone";
    static final String SCHEDULE = "rotate.schedule.interval.ms";

    private static final String CREDENTIALS_PREFIX = "s3.credentials.provider.";

    /** What becomes of a record without a value. */
    enum NullValues {
        IGNORE,
        FAIL,
        WRITE
    }

    static final ConfigDef DEFINITION = new Definition()
            .group("Format")
            .add(FORMAT, Type.CLASS, NO_DEFAULT_VALUE, new Implements(Format.class), Importance.HIGH,
                    "How values are written: AvroFormat, JsonFormat or ByteArrayFormat.")
            .add("avro.codec", Type.STRING, "null",
                    ConfigDef.ValidString.in("null", "deflate", "snappy", "bzip2"), Importance.LOW,
                    "The compression inside Avro files.")
            .add("schemas.cache.config", Type.INT, 1000, Importance.LOW, "How many Avro schemas are kept at hand.")
            .add("enhanced.avro.schema.support", Type.BOOLEAN, true, Importance.LOW,
                    "Whether Avro enums and fixed types that came in as such are written as such.")
            .add("connect.meta.data", Type.BOOLEAN, true, Importance.LOW,
                    "Whether a Connect schema's name, version, documentation and parameters are put into Avro schemas.")
            .add("allow.optional.map.keys", Type.BOOLEAN, false, Importance.LOW,
                    "Whether a map with optional string keys is written as an Avro map.")
            .add("parquet.codec", Type.STRING, "snappy", Importance.LOW,
                    "Of ParquetFormat, which this sink does not have; otherwise without effect.")
            .add("json.decimal.format", Type.STRING, "BASE64", anyCase("BASE64", "NUMERIC"), Importance.LOW,
                    "How JsonFormat writes decimals: the base64 of their bytes, or a JSON number.")
            .add("format.bytearray.extension", Type.STRING, ".bin", Importance.LOW,
                    "The end of the key of an object that ByteArrayFormat writes.")
            .add("format.bytearray.separator", Type.STRING, null, Importance.LOW,
                    "What ByteArrayFormat writes after every record; a line feed unless set. Set it to nothing for"
                            + " values such as gzip files, which must follow each other without a gap.")
            .add(COMPRESSION, Type.STRING, "none", new Listed("Value must be one of: [none, gzip]", "none", "gzip"),
                    Importance.LOW, "The compression of whole objects: none, or gzip for JSON and byte arrays.")
            .add("s3.compression.level", Type.INT, Deflater.DEFAULT_COMPRESSION,
                    ConfigDef.Range.between(-1, 9), Importance.LOW,
                    "The effort of gzip from 1, fastest, to 9, smallest; 0 stores only; -1 is gzip's own choice.")
            .group("Files")
            .add("flush.size", Type.INT, NO_DEFAULT_VALUE, Importance.HIGH,
                    "How many records of a topic partition make up its files before they are uploaded together.")
            .add("rotate.interval.ms", Type.LONG, -1L, Importance.HIGH,
                    "With a time-based partitioner: files are closed by a record whose time lies this many ms or more"
                            + " after that of their first record. -1: never.")
            .add(SCHEDULE, Type.LONG, -1L, Importance.MEDIUM,
                    "Files are closed at every multiple of this many ms since midnight in the time zone, by the wall"
                            + " clock; which records a file holds then depends on when they were read. -1: never.")
            .add("rotate.file.on.partition.change", Type.BOOLEAN, true, Importance.LOW,
                    "With rotate.interval.ms: whether a record for another path closes the open files.")
            .add("schema.compatibility", Type.STRING, "NONE", Importance.HIGH,
                    "What a change of schema does. NONE: closes the open files. BACKWARD and FULL: a newer version"
                            + " does, records of an older one are converted to the file's. FORWARD: the reverse.")
            .add(NULL_VALUES, Type.STRING, "fail", ConfigDef.ValidString.in("ignore", "fail", "write"),
                    Importance.LOW, "Records without a value: fail the task, ignore them, or write their keys only.")
            .add("report.null.values.to.dlq", Type.BOOLEAN, true, Importance.LOW,
                    "Whether ignored records without a value go to the dead letter topic where there is one.")
            .add("tombstone.encoded.partition", Type.STRING, "tombstone", Importance.LOW,
                    "The folder for the keys of records without a value when behavior.on.null.values=write.")
            .add("max.write.duration.ms", Type.LONG, Long.MAX_VALUE, Importance.LOW,
                    "How long a task writes before it lets Connect's consumer poll again.")
            .add(STORE_KEYS, Type.BOOLEAN, false, Importance.LOW,
                    "Whether the records' keys are written, too, to an object beside that of their values.")
            .add("store.kafka.headers", Type.BOOLEAN, false, Importance.LOW,
                    "Whether the records' headers are written, too, to an object beside that of their values.")
            .add(KEYS_FORMAT, Type.CLASS, AvroFormat.class, new Implements(Format.class), Importance.LOW,
                    "How keys are written.")
            .add(HEADERS_FORMAT, Type.CLASS, AvroFormat.class, new Implements(Format.class), Importance.LOW,
                    "How headers are written.")
            .group("Object keys")
            .add("topics.dir", Type.STRING, "topics", Importance.HIGH, "The first folder of every object's key.")
            .add("directory.delim", Type.STRING, "/", Importance.MEDIUM, "What separates the folders of a key.")
            .add("file.delim", Type.STRING, "+", Importance.MEDIUM,
                    "What separates topic, partition and offset in the last part of a key.")
            .add("filename.offset.zero.pad.width", Type.INT, 10, ConfigDef.Range.atLeast(0), Importance.LOW,
                    "The digits of the offset in a key, filled with zeros from the left.")
            .add(AFFIX, Type.STRING, "NONE", anyCase("NONE", "PREFIX", "SUFFIX"), Importance.LOW,
                    "Whether the schema's name is part of the path. This sink knows NONE only.")
            .group("Partitioner")
            .add(PARTITIONER, Type.CLASS, DefaultPartitioner.class, new Implements(Partitioner.class),
                    Importance.HIGH, "What folder a record belongs to: DefaultPartitioner, FieldPartitioner,"
                            + " TimeBasedPartitioner, HourlyPartitioner or DailyPartitioner.")
            .add("partition.field.name", Type.LIST, "", Importance.MEDIUM,
                    "FieldPartitioner: the fields whose values make up the folders.")
            .add("partition.duration.ms", Type.LONG, -1L, Importance.MEDIUM,
                    "TimeBasedPartitioner: how long the time is that one folder is for.")
            .add("path.format", Type.STRING, "", Importance.MEDIUM,
                    "TimeBasedPartitioner: the folders, as a Joda-Time pattern, such as 'd'=YYYY-MM-dd/'h'=HH.")
            .add("locale", Type.STRING, "", Importance.MEDIUM,
                    "Time-based partitioners: the language of names in the path, such as en-US.")
            .add(TIMEZONE, Type.STRING, "", S3SinkConfig::checkTimezone, Importance.MEDIUM,
                    "Time-based partitioners and scheduled rotation: the time zone, such as UTC or Europe/Berlin.")
            .add("timestamp.extractor", Type.STRING, "Wallclock", Importance.MEDIUM,
                    "Time-based partitioners: whose time counts: Wallclock, Record or RecordField.")
            .add("timestamp.field", Type.STRING, "timestamp", Importance.MEDIUM,
                    "RecordField: the field that holds the time.")
            .add("partitioner.max.open.files", Type.INT, -1, Importance.LOW,
                    "How many folders of a topic partition may have an open file; a record for one more closes all."
                            + " -1: no bound.")
            .group("Store")
            .add(STORAGE, Type.CLASS, NO_DEFAULT_VALUE, new Implements(S3Storage.class), Importance.HIGH,
                    "The kind of store: S3Storage.")
            .add("s3.bucket.name", Type.STRING, NO_DEFAULT_VALUE, Importance.HIGH, "The bucket.")
            .add("s3.region", Type.STRING, "us-west-2", Importance.MEDIUM, "The bucket's region.")
            .add("store.url", Type.STRING, null, Importance.HIGH,
                    "The address of an S3-compatible store; unset for AWS.")
            .add("s3.part.size", Type.INT, 25 * 1024 * 1024, S3SinkConfig::checkPartSize, Importance.HIGH,
                    "The bytes of a part of a multipart upload; a file that is longer is uploaded in parts. A task"
                            + " needs memory for one part of every open file and one more.")
            .add("s3.part.retries", Type.INT, 3, ConfigDef.Range.atLeast(0), Importance.MEDIUM,
                    "How often a request that failed for a passing reason is sent again, and how often an object"
                            + " is started again after that.")
            .add("s3.retry.backoff.ms", Type.LONG, 200L, ConfigDef.Range.atLeast(0L), Importance.LOW,
                    "The wait before the first repetition of a request; it doubles with each.")
            .add("retry.backoff.ms", Type.LONG, 5000L, ConfigDef.Range.atLeast(0L), Importance.LOW,
                    "The wait before an object is started again.")
            .add("s3.path.style.access.enabled", Type.BOOLEAN, true, Importance.LOW,
                    "Whether the bucket is part of the path, as S3-compatible stores want it, or of the host name.")
            .add("s3.wan.mode", Type.BOOLEAN, false, Importance.LOW, "Whether S3 transfer acceleration is used.")
            .add("s3.http.send.expect.continue", Type.BOOLEAN, true, Importance.LOW,
                    "Whether the store is asked before the bytes of an object are sent.")
            .add("s3.send.digest", Type.BOOLEAN, false, Importance.LOW,
                    "Whether requests carry an MD5 digest of their bytes.")
            .add("s3.acl.canned", Type.STRING, null, Importance.LOW, "A canned ACL for the objects.")
            .add("s3.ssea.name", Type.STRING, "", Importance.LOW,
                    "Server-side encryption: AES256 or aws:kms.")
            .add("s3.sse.kms.key.id", Type.STRING, "", Importance.LOW, "Server-side encryption: the KMS key.")
            .add("s3.sse.customer.key", Type.PASSWORD, new Password(""), Importance.LOW,
                    "Server-side encryption with a key of the customer's: the key.")
            .add("s3.object.tagging", Type.BOOLEAN, false, Importance.LOW,
                    "Whether objects are tagged with startOffset, endOffset and recordCount.")
            .add("s3.object.tagging.key.value.pairs", Type.LIST, "", Importance.LOW,
                    "Further tags, each as key:value.")
            .add("s3.object.behavior.on.tagging.error", Type.STRING, "ignore",
                    ConfigDef.ValidString.in("ignore", "fail"), Importance.LOW,
                    "Whether the task fails when the tags of an object cannot be set.")
            .add("s3.proxy.url", Type.STRING, "", Importance.LOW, "The HTTP proxy to the store.")
            .add("s3.proxy.user", Type.STRING, null, Importance.LOW, "The user at the proxy.")
            .add("s3.proxy.password", Type.PASSWORD, new Password(""), Importance.LOW, "The password at the proxy.")
            .add("s3.elastic.buffer.enable", Type.BOOLEAN, false, Importance.LOW,
                    "Without effect: a file's buffer always grows with its contents.")
            .add("s3.elastic.buffer.init.capacity", Type.INT, 128 * 1024, Importance.LOW,
                    "Without effect: a file's buffer always grows with its contents.")
            .add("enable.conditional.writes", Type.BOOLEAN, true, Importance.LOW,
                    "Without effect: an object that is written again is replaced.")
            .add("max.files.scan.limit", Type.INT, 100, Importance.LOW,
                    "Without effect, like enable.conditional.writes.")
            .group("Credentials")
            .add("aws.access.key.id", Type.STRING, "", Importance.HIGH,
                    "The access key; without it the credentials provider is asked.")
            .add("aws.secret.access.key", Type.PASSWORD, new Password(""), Importance.HIGH, "Its secret.")
            .add("s3.credentials.provider.class", Type.CLASS, DefaultCredentialsProvider.class, Importance.LOW,
                    "An AWS credentials provider with a method create() or a constructor without arguments."
                            + " Properties below s3.credentials.provider. are passed to a Configurable one.")
            .definition();

    /**
     * Reads a configuration.
     *
     * @param properties as registered, with the Confluent class names or those of this plug-in
     * @throws ConfigException where one is missing or of the wrong type
     */
    public S3SinkConfig(Map<String, String> properties) {
        super(DEFINITION, ConfluentNames.translate(properties), false);
        if (rotateScheduleMs() > 0 && getString(TIMEZONE).isEmpty()) {
            throw new ConfigException(
                    TIMEZONE + " configuration must be set when using " + SCHEDULE);
        }
    }

    public String bucket() {
        return getString("s3.bucket.name");
    }

    public int partSize() {
        return getInt("s3.part.size");
    }

    public int attempts() {
        return 1 + getInt("s3.part.retries");
    }

    int flushSize() {
        return getInt("flush.size");
    }

    int maxOpenFiles() {
        int limit = getInt("partitioner.max.open.files");
        return limit > 0 ? limit : Integer.MAX_VALUE;
    }

    long rotateIntervalMs() {
        return getLong("rotate.interval.ms");
    }

    long rotateScheduleMs() {
        return getLong(SCHEDULE);
    }

    NullValues nullValues() {
        return NullValues.valueOf(getString(NULL_VALUES).toUpperCase(Locale.ROOT));
    }

    public boolean gzip() {
        return getString(COMPRESSION).equals("gzip");
    }

    /** Returns what ByteArrayFormat writes after a record. */
    public byte[] separator() {
        // ConfigDef trims, but here white space matters.
        Object separator = originals().get("format.bytearray.separator");
        return (separator == null ? "\n" : separator.toString()).getBytes(StandardCharsets.UTF_8);
    }

    /** Returns an instance of the class that a property names, set up if it is Configurable. */
    <T> T instance(String property, Class<T> type) {
        return type.cast(getConfiguredInstance(property, type));
    }

    /** Returns the properties meant for a credentials provider, without their prefix. */
    public Map<String, Object> credentialsProperties() {
        return originalsWithPrefix(CREDENTIALS_PREFIX);
    }

    private static void checkPartSize(String name, Object value) {
        if (value == null) {
            throw new ConfigException(name, null, "Part size must be non-null");
        }
        if ((int) value < SMALLEST_PART) {
            throw new ConfigException(name, value, "Part size must be at least: " + SMALLEST_PART + " bytes (5MB)");
        }
    }

    private static void checkTimezone(String name, Object value) {
        String zone = (String) value;
        if (zone.isEmpty()) {
            return;
        }
        try {
            DateTimeZone.forID(zone);
        } catch (IllegalArgumentException e) {
            throw new ConfigException(name, value, e.getMessage());
        }
    }

    private static ConfigDef.Validator anyCase(String... values) {
        return ConfigDef.CaseInsensitiveValidString.in(values);
    }

    private record Listed(String complaint, List<String> values) implements ConfigDef.Validator {
        Listed(String complaint, String... values) {
            this(complaint, List.of(values));
        }

        @Override
        public void ensureValid(String name, Object value) {
            if (!values.contains(value)) {
                throw new ConfigException(name, value, complaint);
            }
        }

        @Override
        public String toString() {
            return values.toString();
        }
    }

    private record Implements(Class<?> type) implements ConfigDef.Validator {
        @Override
        public void ensureValid(String name, Object value) {
            if (value instanceof Class<?> found && !type.isAssignableFrom(found)) {
                throw new ConfigException(name, found.getName(), "It is not a " + type.getSimpleName());
            }
        }

        @Override
        public String toString() {
            return "any " + type.getSimpleName();
        }
    }

    /** A ConfigDef in the making, with the properties of a group in their order. */
    private static final class Definition {
        private final ConfigDef definition = new ConfigDef();
        private String group;
        private int order;

        Definition group(String name) {
            group = name;
            order = 0;
            return this;
        }

        Definition add(String name, Type type, Object byDefault, Importance importance, String documentation) {
            return add(name, type, byDefault, null, importance, documentation);
        }

        Definition add(String name, Type type, Object byDefault, ConfigDef.Validator validator,
                Importance importance, String documentation) {
            definition.define(name, type, byDefault, validator, importance, documentation, group, ++order,
                    ConfigDef.Width.MEDIUM, name);
            return this;
        }

        ConfigDef definition() {
            return definition;
        }
    }
}
