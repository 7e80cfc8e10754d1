package io.github.cflight.connect.avro;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.JsonProperties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.errors.DataException;

/** The Connect schemas of Avro schemas. */
final class SchemaFromAvro {
    private final boolean fullNames;
    private final ValueFromAvro values = new ValueFromAvro();

    SchemaFromAvro(AvroData.Options options) {
        fullNames = options.enhanced();
    }

    /**
     * Translates a schema.
     *
     * @param schema the Avro schema
     * @param version its number in the registry, or null; a version that the schema itself tells goes first
     */
    org.apache.kafka.connect.data.Schema translate(Schema schema, Integer version) {
        return new Translation().translate(schema, new Context(version, null, null, false));
    }

    /**
     * What surrounds a schema.
     *
     * @param version the version that it has unless it tells one itself, or null
     * @param doc the documentation of the field that it is the type of, or null
     * @param field that field, or null
     * @param optional whether it is a union with null around it
     */
    private record Context(Integer version, String doc, Schema.Field field, boolean optional) {
        static final Context NONE = new Context(null, null, null, false);
    }

    private final class Translation {
        private final Set<String> outer = new HashSet<>();

        org.apache.kafka.connect.data.Schema translate(Schema schema, Context context) {
            if (schema.getType() == Schema.Type.UNION) {
                return union(schema, context);
            }
            boolean opened = isNamed(schema) && schema.getType() == Schema.Type.RECORD;
            if (opened && !outer.add(schema.getFullName())) {
                throw new DataException("The Avro type " + schema.getFullName() + " holds itself,"
                        + " which Connect has no schema for");
            }
            SchemaBuilder builder = builder(schema);
            annotate(builder, schema, context);
            if (opened) {
                outer.remove(schema.getFullName());
            }
            return builder.build();
        }

        private org.apache.kafka.connect.data.Schema union(Schema schema, Context context) {
            List<Schema> types = new ArrayList<>(schema.getTypes());
            boolean optional = types.removeIf(type -> type.getType() == Schema.Type.NULL);
            if (types.size() == 1) {
                return translate(types.get(0), new Context(context.version, context.doc, context.field, optional));
            }
            SchemaBuilder builder = SchemaBuilder.struct().name(Names.UNION);
            Set<String> names = new HashSet<>();
            for (Schema type : types) {
                String name = memberName(type, fullNames);
                if (!names.add(name)) {
                    throw new DataException("Two types of a union are called " + name);
                }
                builder.field(name, translate(type, new Context(null, null, null, true)));
            }
            return optional ? builder.optional().build() : builder.build();
        }

        private SchemaBuilder builder(Schema schema) {
            String logical = schema.getProp("logicalType");
            return switch (schema.getType()) {
                case BOOLEAN -> SchemaBuilder.bool();
                case FLOAT -> SchemaBuilder.float32();
                case DOUBLE -> SchemaBuilder.float64();
                case INT -> integer(schema, logical);
                case LONG -> "timestamp-millis".equals(logical) ? Timestamp.builder() : SchemaBuilder.int64();
                case BYTES, FIXED -> bytes(schema, logical);
                case STRING -> SchemaBuilder.string();
                case ENUM -> enumeration(schema);
                case ARRAY -> array(schema);
                case MAP -> SchemaBuilder.map(
                        org.apache.kafka.connect.data.Schema.STRING_SCHEMA,
                        translate(schema.getValueType(), Context.NONE));
                case RECORD -> record(schema);
                default -> throw new DataException("Connect has no schema for Avro's " + schema.getType().getName());
            };
        }

        private SchemaBuilder array(Schema schema) {
            Schema items = schema.getElementType();
            if (!Names.isMapEntry(items)) {
                return SchemaBuilder.array(translate(items, Context.NONE));
            }
            return SchemaBuilder.map(
                    translate(items.getField(Names.KEY).schema(), Context.NONE),
                    translate(items.getField(Names.VALUE).schema(), Context.NONE));
        }

        private SchemaBuilder record(Schema schema) {
            SchemaBuilder builder = SchemaBuilder.struct();
            for (Schema.Field field : schema.getFields()) {
                builder.field(field.name(), translate(field.schema(), new Context(null, field.doc(), field, false)));
            }
            return builder;
        }

        private void annotate(SchemaBuilder builder, Schema schema, Context context) {
            String doc = firstNotNull(context.doc, isNamed(schema) ? schema.getDoc() : null,
                    schema.getProp(Names.CONNECT_DOC));
            if (doc != null) {
                builder.doc(doc);
            }
            Object version = schema.getObjectProp(Names.CONNECT_VERSION);
            if (version instanceof Number number) {
                builder.version(number.intValue());
            } else if (context.version != null && builder.version() == null) {
                builder.version(context.version);
            }
            addParameters(builder, schema);
            String name = schema.getProp(Names.CONNECT_NAME);
            if (name == null && isNamed(schema) && !isDefaultRecord(schema)) {
                name = schema.getFullName();
            }
            if (name != null && !name.equals(builder.name())) {
                builder.name(name);
            }
            if (context.optional) {
                builder.optional();
            }
            addDefault(builder, schema, context);
        }

        private void addDefault(SchemaBuilder builder, Schema schema, Context context) {
            Schema.Field field = context.field;
            if (field != null && field.hasDefaultValue() && field.defaultVal() != JsonProperties.NULL_VALUE) {
                Object value = GenericData.get().getDefaultValue(field);
                builder.defaultValue(values.translate(builder, schema, value));
            }
        }
    }

    private static void addParameters(SchemaBuilder builder, Schema schema) {
        if (schema.getObjectProp(Names.CONNECT_PARAMETERS) instanceof Map<?, ?> parameters) {
            parameters.forEach((key, value) -> {
                String name = String.valueOf(key);
                // Those that the type implies are there already.
                if (builder.parameters() == null || !builder.parameters().containsKey(name)) {
                    builder.parameter(name, String.valueOf(value));
                }
            });
        }
    }

    private static SchemaBuilder integer(Schema schema, String logical) {
        String type = schema.getProp(Names.CONNECT_TYPE);
        if ("int8".equals(type)) {
            return SchemaBuilder.int8();
        }
        if ("int16".equals(type)) {
            return SchemaBuilder.int16();
        }
        if ("date".equals(logical)) {
            return Date.builder();
        }
        return "time-millis".equals(logical) ? Time.builder() : SchemaBuilder.int32();
    }

    private static SchemaBuilder bytes(Schema schema, String logical) {
        if ("decimal".equals(logical)) {
            Object scale = schema.getObjectProp("scale");
            SchemaBuilder builder = Decimal.builder(scale instanceof Number number ? number.intValue() : 0);
            if (schema.getObjectProp("precision") instanceof Number precision
                    && precision.intValue() != Names.DEFAULT_DECIMAL_PRECISION) {
                builder.parameter(Names.DECIMAL_PRECISION, precision.toString());
            }
            return builder;
        }
        SchemaBuilder builder = SchemaBuilder.bytes();
        if (schema.getType() == Schema.Type.FIXED) {
            builder.parameter(Names.FIXED_SIZE, Integer.toString(schema.getFixedSize()));
        }
        return builder;
    }

    private static SchemaBuilder enumeration(Schema schema) {
        SchemaBuilder builder = SchemaBuilder.string().parameter(Names.ENUM, schema.getFullName());
        for (String symbol : schema.getEnumSymbols()) {
            builder.parameter(Names.ENUM + "." + symbol, symbol);
        }
        return builder;
    }

    /** Returns the name of the field that stands for a type of a union. */
    static String memberName(Schema type, boolean fullNames) {
        if (isNamed(type)) {
            return fullNames ? type.getFullName() : type.getName();
        }
        return type.getType().getName();
    }

    private static boolean isNamed(Schema schema) {
        return switch (schema.getType()) {
            case RECORD, ENUM, FIXED -> true;
            default -> false;
        };
    }

    private static boolean isDefaultRecord(Schema schema) {
        return schema.getFullName().equals(Names.NAMESPACE + "." + Names.DEFAULT_RECORD);
    }

    private static String firstNotNull(String... texts) {
        for (String text : texts) {
            if (text != null) {
                return text;
            }
        }
        return null;
    }
}
