package io.github.cflight.connect.avro;

import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;

/** What Avro schemas made from Connect schemas are marked with, as the Confluent converter has it. */
final class Names {
    static final String NAMESPACE = "io.confluent.connect.avro";
    static final String DEFAULT_RECORD = "ConnectDefault";
    static final String MAP_ENTRY = "MapEntry";
    static final String ENUM = NAMESPACE + ".Enum";
    static final String UNION = NAMESPACE + ".Union";
    static final String FIXED_SIZE = "connect.fixed.size";

    static final String CONNECT_NAME = "connect.name";
    static final String CONNECT_DOC = "connect.doc";
    static final String CONNECT_VERSION = "connect.version";
    static final String CONNECT_DEFAULT = "connect.default";
    static final String CONNECT_PARAMETERS = "connect.parameters";
    static final String CONNECT_TYPE = "connect.type";
    static final String CONNECT_INTERNAL_TYPE = "connect.internal.type";
    static final String DECIMAL_PRECISION = "connect.decimal.precision";
    static final int DEFAULT_DECIMAL_PRECISION = 64;

    static final String KEY = "key";
    static final String VALUE = "value";

    /** The schema of a value without one. */
    static final Schema ANYTHING = anything();

    private Names() {}

    static boolean isMapEntry(Schema schema) {
        return schema.getType() == Schema.Type.RECORD
                && (schema.getFullName().equals(NAMESPACE + "." + MAP_ENTRY)
                        || MAP_ENTRY.equals(schema.getProp(CONNECT_INTERNAL_TYPE)));
    }

    private static Schema anything() {
        Schema entry = Schema.createRecord(MAP_ENTRY, null, NAMESPACE, false);
        SchemaBuilder.FieldAssembler<Schema> fields = SchemaBuilder.record("Anything").namespace(NAMESPACE).fields();
        for (Schema.Type type : new Schema.Type[] {Schema.Type.BOOLEAN, Schema.Type.BYTES, Schema.Type.DOUBLE,
            Schema.Type.FLOAT, Schema.Type.INT, Schema.Type.LONG, Schema.Type.STRING}) {
            fields = fields.name(type.getName()).type(optional(Schema.create(type))).withDefault(null);
        }
        fields = fields.name("array").type().optional().array().items().type("Anything");
        Schema anything = fields
                .name("map").type(optional(Schema.createArray(entry))).withDefault(null)
                .endRecord();
        entry.setFields(List.of(
                new Schema.Field(KEY, anything), new Schema.Field(VALUE, anything)));
        return anything;
    }

    static Schema optional(Schema schema) {
        return Schema.createUnion(Schema.create(Schema.Type.NULL), schema);
    }
}
