package io.github.cflight.connect.avro;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.junit.jupiter.api.Test;

class AvroDataTest {
    private final AvroData data = new AvroData(new AvroData.Options(true, true, false, 10));

    @Test
    void defaultsStandInTheFieldAndInTheSchema() {
        Schema schema = SchemaBuilder.struct().name("a.B")
                .field("n", SchemaBuilder.int32().defaultValue(5).build())
                .field("o", SchemaBuilder.string().optional().defaultValue("x").build())
                .field("p", Schema.OPTIONAL_STRING_SCHEMA)
                .build();
        assertEquals("{\"type\":\"record\",\"name\":\"B\",\"namespace\":\"a\",\"fields\":["
                + "{\"name\":\"n\",\"type\":{\"type\":\"int\",\"connect.default\":5},\"default\":5},"
                + "{\"name\":\"o\",\"type\":[{\"type\":\"string\",\"connect.default\":\"x\"},\"null\"],\"default\":\"x\"},"
                + "{\"name\":\"p\",\"type\":[\"null\",\"string\"],\"default\":null}],\"connect.name\":\"a.B\"}",
                data.fromConnect(schema).toString());
    }

    @Test
    void structsWithoutANameHaveTheDefaultOne() {
        Schema schema = SchemaBuilder.struct().field("a", Schema.INT8_SCHEMA).build();
        assertEquals("{\"type\":\"record\",\"name\":\"ConnectDefault\",\"namespace\":\"io.confluent.connect.avro\","
                + "\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"int\",\"connect.type\":\"int8\"}}]}",
                data.fromConnect(schema).toString());
    }

    @Test
    void everyKindOfValueComesBackAsItWas() throws IOException {
        Schema inner = SchemaBuilder.struct().name("a.Inner").field("x", Schema.FLOAT32_SCHEMA).optional().build();
        Schema schema = SchemaBuilder.struct().name("a.All").version(3).doc("all")
                .field("b", Schema.INT8_SCHEMA).field("s", Schema.INT16_SCHEMA).field("i", Schema.INT32_SCHEMA)
                .field("l", Schema.INT64_SCHEMA).field("d", Schema.FLOAT64_SCHEMA).field("t", Schema.BOOLEAN_SCHEMA)
                .field("list", SchemaBuilder.array(Schema.OPTIONAL_STRING_SCHEMA).build())
                .field("map", SchemaBuilder.map(Schema.STRING_SCHEMA, inner).build())
                .field("entries", SchemaBuilder.map(Schema.INT32_SCHEMA, Schema.STRING_SCHEMA).build())
                .field("inner", inner).field("none", Schema.OPTIONAL_INT64_SCHEMA)
                .build();
        Struct value = new Struct(schema).put("b", (byte) 1).put("s", (short) 2).put("i", 3).put("l", 4L).put("d", 0.5)
                .put("t", true).put("list", Arrays.asList("a", null)).put("map", Map.of("k", new Struct(inner).put("x", 1f)))
                .put("entries", Map.of(7, "seven")).put("inner", new Struct(inner).put("x", 2f));
        SchemaAndValue back = roundTrip(data.fromConnect(schema), data.fromConnect(schema, value), null);
        assertEquals(value, back.value());
        assertEquals(schema, back.schema());
    }

    @Test
    void unionsAreStructsWithAFieldForEveryType() throws IOException {
        org.apache.avro.Schema avro = new org.apache.avro.Schema.Parser().parse("{\"type\":\"record\",\"name\":\"R\",\"fields\":"
                + "[{\"name\":\"u\",\"type\":[\"null\",\"string\",{\"type\":\"record\",\"name\":\"n.P\",\"fields\":"
                + "[{\"name\":\"a\",\"type\":\"int\"}]},{\"type\":\"array\",\"items\":\"long\"}]}]}");
        org.apache.avro.generic.GenericData.Record record = new org.apache.avro.generic.GenericData.Record(avro);
        record.put("u", List.of(1L, 2L));
        SchemaAndValue connect = roundTrip(avro, record, 4);
        Struct union = ((Struct) connect.value()).getStruct("u");
        assertEquals(List.of(1L, 2L), union.get("array"));
        assertNull(union.get("n.P"));
        assertEquals(4, connect.schema().version());
        assertEquals(record.toString(), data.fromConnect(connect.schema(), connect.value()).toString());
    }

    @Test
    void fixedTypesAndEnumsStayWhatTheyWere() throws IOException {
        org.apache.avro.Schema avro = new org.apache.avro.Schema.Parser().parse("{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                + "{\"name\":\"f\",\"type\":{\"type\":\"fixed\",\"name\":\"n.F\",\"size\":2}},"
                + "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"n.E\",\"symbols\":[\"Y\",\"J\"]}}]}");
        org.apache.avro.generic.GenericData.Record record = new org.apache.avro.generic.GenericData.Record(avro);
        record.put("f", new org.apache.avro.generic.GenericData.Fixed(avro.getField("f").schema(), new byte[] {1, 2}));
        record.put("e", new org.apache.avro.generic.GenericData.EnumSymbol(avro.getField("e").schema(), "J"));
        SchemaAndValue connect = roundTrip(avro, record, null);
        org.apache.avro.Schema again = data.fromConnect(connect.schema());
        assertEquals(org.apache.avro.Schema.Type.FIXED, again.getField("f").schema().getType());
        assertEquals(org.apache.avro.Schema.Type.ENUM, again.getField("e").schema().getType());
        assertEquals("J", ((Struct) connect.value()).get("e"));
    }

    @Test
    void valuesWithoutASchemaAreAnything() throws IOException {
        Map<String, Object> value = Map.of("a", List.of(1L, "x", true), "b", Map.of("c", 0.5));
        SchemaAndValue back = roundTrip(data.fromConnect(null), data.fromConnect(null, value), null);
        assertNull(back.schema());
        assertEquals(value, back.value());
    }

    @Test
    void whatDoesNotFitIsRefused() {
        assertThrows(DataException.class, () -> data.fromConnect(Schema.INT32_SCHEMA, "text"));
        assertThrows(DataException.class, () -> data.fromConnect(Schema.INT32_SCHEMA, null));
        assertThrows(DataException.class, () -> data.fromConnect(null, new Object()));
    }

    @Test
    void aTypeThatHoldsItselfIsRefused() {
        org.apache.avro.Schema avro = new org.apache.avro.Schema.Parser().parse("{\"type\":\"record\",\"name\":\"Node\","
                + "\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"Node\"]}]}");
        assertThrows(DataException.class, () -> data.toConnect(avro, null, null));
    }

    private SchemaAndValue roundTrip(org.apache.avro.Schema schema, Object value, Integer version) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
        new GenericDatumWriter<>(schema).write(value, encoder);
        encoder.flush();
        Object read = new GenericDatumReader<>(schema)
                .read(null, DecoderFactory.get().binaryDecoder(out.toByteArray(), null));
        return data.toConnect(schema, read, version);
    }
}
