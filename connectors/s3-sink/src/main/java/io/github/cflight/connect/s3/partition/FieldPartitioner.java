package io.github.cflight.connect.s3.partition;

import io.github.cflight.connect.s3.S3SinkConfig;
import java.util.List;
import java.util.StringJoiner;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;

/** A folder for every value of one or more fields. */
public final class FieldPartitioner implements Partitioner {
    private List<String> fields;
    private String delimiter;

    @Override
    public void configure(S3SinkConfig config) {
        fields = config.getList("partition.field.name");
        delimiter = config.getString("directory.delim");
    }

    @Override
    public String folder(SinkRecord record, long now) {
        if (!(record.value() instanceof Struct struct)) {
            throw new PartitionException("Error encoding partition.");
        }
        StringJoiner folder = new StringJoiner(delimiter);
        for (String field : fields) {
            folder.add(field + "=" + text(struct, field));
        }
        return folder.toString();
    }

    private static String text(Struct struct, String field) {
        Object value;
        try {
            value = Fields.get(struct, field);
        } catch (DataException e) {
            throw new PartitionException("Error encoding partition.", e);
        }
        if (value == null || value instanceof String || value instanceof Number || value instanceof Boolean) {
            return String.valueOf(value);
        }
        throw new PartitionException("Error encoding partition.",
                new DataException("The field " + field + " is a " + value.getClass().getSimpleName()
                        + "; folders are made of strings, numbers and booleans"));
    }
}
