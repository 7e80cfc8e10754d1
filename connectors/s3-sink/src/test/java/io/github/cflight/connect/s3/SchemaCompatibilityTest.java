package io.github.cflight.connect.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.SchemaProjectorException;
import org.junit.jupiter.api.Test;

class SchemaCompatibilityTest {
    private static final Schema ONE = SchemaBuilder.struct().name("Ev").version(1)
            .field("id", Schema.INT32_SCHEMA).build();
    private static final Schema TWO = SchemaBuilder.struct().name("Ev").version(2)
            .field("id", Schema.INT32_SCHEMA).field("n", Schema.OPTIONAL_INT32_SCHEMA).build();

    @Test
    void noneClosesAtEveryChange() {
        assertTrue(SchemaCompatibility.NONE.closes(ONE, TWO));
        assertTrue(SchemaCompatibility.NONE.closes(TWO, ONE));
        assertTrue(SchemaCompatibility.NONE.closes(ONE, null));
        assertFalse(SchemaCompatibility.NONE.closes(null, null));
        assertFalse(SchemaCompatibility.NONE.closes(ONE, ONE));
    }

    @Test
    void theDirectionsDifferInWhatTheyConvert() {
        for (SchemaCompatibility newerCloses : new SchemaCompatibility[] {
            SchemaCompatibility.BACKWARD, SchemaCompatibility.FULL}) {
            assertTrue(newerCloses.closes(ONE, TWO));
            assertFalse(newerCloses.closes(TWO, ONE));
        }
        assertFalse(SchemaCompatibility.FORWARD.closes(ONE, TWO));
        assertTrue(SchemaCompatibility.FORWARD.closes(TWO, ONE));
    }

    @Test
    void recordsAreConvertedToTheFilesSchema() {
        Struct old = (Struct) SchemaCompatibility.BACKWARD.convert(ONE, new Struct(ONE).put("id", 1), TWO);
        assertEquals(TWO, old.schema());
        assertNull(old.get("n"));
        Struct fresh = new Struct(TWO).put("id", 1).put("n", 5);
        assertEquals(new Struct(ONE).put("id", 1), SchemaCompatibility.FORWARD.convert(TWO, fresh, ONE));
    }

    @Test
    void whatCannotBeComparedIsRefused() {
        assertThrows(SchemaProjectorException.class, () -> SchemaCompatibility.BACKWARD.closes(ONE, null));
        Schema unnumbered = SchemaBuilder.struct().field("id", Schema.INT32_SCHEMA).build();
        assertThrows(SchemaProjectorException.class, () -> SchemaCompatibility.FULL.closes(unnumbered, unnumbered));
    }

    @Test
    void anUnknownNameIsNone() {
        assertEquals(SchemaCompatibility.NONE, SchemaCompatibility.named("SIDEWAYS"));
        assertEquals(SchemaCompatibility.FULL, SchemaCompatibility.named("full"));
    }
}
