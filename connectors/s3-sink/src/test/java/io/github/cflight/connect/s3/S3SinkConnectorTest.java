package io.github.cflight.connect.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.ConfigValue;
import org.junit.jupiter.api.Test;

class S3SinkConnectorTest {
    @Test
    void theConfluentNamesAreTaken() {
        assertEquals(Map.of(), errors(Configs.properties(
                "partitioner.class", "io.confluent.connect.storage.partitioner.TimeBasedPartitioner",
                "keys.format.class", "io.confluent.connect.s3.format.avro.AvroFormat")));
    }

    @Test
    void classesOfAnotherKindAreRefused() {
        assertEquals(List.of("Invalid value java.lang.String for configuration format.class: It is not a Format"),
                errors(Configs.properties("format.class", "java.lang.String")).get("format.class"));
    }

    @Test
    void whatCannotBeHonouredIsRefused() {
        Map<String, List<String>> errors = errors(Configs.properties(
                "format.class", "io.confluent.connect.s3.format.parquet.ParquetFormat",
                "s3.schema.partition.affix.type", "PREFIX"));
        assertEquals(2, errors.size());
        assertTrue(errors.get("s3.schema.partition.affix.type").get(0).contains("only NONE is supported"));
    }

    @Test
    void tombstonesNeedKeys() {
        assertTrue(errors(Configs.properties("behavior.on.null.values", "write")).containsKey("behavior.on.null.values"));
        assertEquals(Map.of(), errors(Configs.properties("behavior.on.null.values", "write", "store.kafka.keys", "true")));
    }

    @Test
    void aScheduleNeedsATimeZone() {
        Map<String, String> properties = Configs.properties("rotate.schedule.interval.ms", "1000");
        assertThrows(ConfigException.class, () -> new S3SinkConnector().start(properties));
    }

    @Test
    void whiteSpaceMattersInSeparators() {
        assertArrayEquals(new byte[] {'\n'}, Configs.config().separator());
        assertArrayEquals(new byte[0], Configs.config("format.bytearray.separator", "").separator());
        assertArrayEquals(new byte[] {'\r', '\n'}, Configs.config("format.bytearray.separator", "\r\n").separator());
    }

    private static Map<String, List<String>> errors(Map<String, String> properties) {
        return new S3SinkConnector().validate(properties).configValues().stream()
                .filter(value -> !value.errorMessages().isEmpty())
                .collect(Collectors.toMap(ConfigValue::name, ConfigValue::errorMessages));
    }
}
