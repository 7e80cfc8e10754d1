package io.github.cflight.connect.s3;

import io.github.cflight.connect.s3.format.AvroFormat;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.common.config.Config;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.sink.SinkConnector;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Writes the records of topics to objects in an S3 bucket, with the properties of the Confluent S3 sink. */
public final class S3SinkConnector extends SinkConnector {
    private static final Logger LOG = LoggerFactory.getLogger(S3SinkConnector.class);

    /** Properties that Connect itself reads. */
    private static final Set<String> CONNECT_PROPERTIES = Set.of(
            "name", "connector.class", "tasks.max", "tasks.max.enforce", "topics", "topics.regex", "key.converter",
            "value.converter", "header.converter", "transforms", "predicates", "config.action.reload");

    private static final List<String> CONNECT_PREFIXES = List.of(
            "key.converter.", "value.converter.", "header.converter.", "transforms.", "predicates.", "errors.",
            "connector.", "consumer.override.", "admin.override.", "producer.override.",
            "s3.credentials.provider.");

    private Map<String, String> properties;

    @Override
    public void start(Map<String, String> props) {
        new S3SinkConfig(props);
        for (String name : unknown(props)) {
            LOG.warn("The property {} is not known to the S3 sink and has no effect", name);
        }
        properties = props;
    }

    @Override
    public Class<? extends Task> taskClass() {
        return S3SinkTask.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int maxTasks) {
        return Collections.nCopies(maxTasks, properties);
    }

    @Override
    public void stop() {
        // The tasks hold everything that is to be closed.
    }

    @Override
    public ConfigDef config() {
        return S3SinkConfig.DEFINITION;
    }

    @Override
    public Config validate(Map<String, String> props) {
        Map<String, ConfigValue> values = new HashMap<>();
        for (ConfigValue value : config().validate(ConfluentNames.translate(props))) {
            values.put(value.name(), value);
        }
        checkCompression(props, values);
        checkTombstones(values);
        checkAffix(values.get(S3SinkConfig.AFFIX));
        return new Config(new ArrayList<>(values.values()));
    }

    @Override
    public String version() {
        String version = S3SinkConnector.class.getPackage().getImplementationVersion();
        return version == null ? "unknown" : version;
    }

    private static void checkCompression(Map<String, String> props, Map<String, ConfigValue> values) {
        String compression = props.get(S3SinkConfig.COMPRESSION);
        ConfigValue format = values.get(S3SinkConfig.FORMAT);
        if (!"gzip".equals(compression) || format.value() != AvroFormat.class) {
            return;
        }
        String complaint = "Compression Type " + compression + " not valid for data format class: ( "
                + props.get(S3SinkConfig.FORMAT) + " ).";
        format.addErrorMessage(complaint);
        values.get(S3SinkConfig.COMPRESSION).addErrorMessage(complaint);
    }

    private static void checkTombstones(Map<String, ConfigValue> values) {
        ConfigValue behavior = values.get(S3SinkConfig.NULL_VALUES);
        if ("write".equals(behavior.value()) && !Boolean.TRUE.equals(values.get(S3SinkConfig.STORE_KEYS).value())) {
            behavior.addErrorMessage(S3SinkConfig.NULL_VALUES + "=write writes the keys of records without a value: "
                    + "set " + S3SinkConfig.STORE_KEYS + "=true, too.");
        }
    }

    private static void checkAffix(ConfigValue affix) {
        if (affix.errorMessages().isEmpty() && !"NONE".equalsIgnoreCase(String.valueOf(affix.value()))) {
            affix.addErrorMessage("Invalid value " + affix.value() + " for configuration " + affix.name()
                    + ": only NONE is supported, this sink puts no schema names into paths.");
        }
    }

    private static Set<String> unknown(Map<String, String> props) {
        Set<String> names = new TreeSet<>(props.keySet());
        names.removeAll(S3SinkConfig.DEFINITION.names());
        names.removeAll(CONNECT_PROPERTIES);
        names.removeIf(name -> CONNECT_PREFIXES.stream().anyMatch(name::startsWith));
        return names;
    }
}
