package io.github.cflight.connect.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class ObjectKeysTest {
    @Test
    void aKeySaysTopicFolderPartitionAndFirstOffset() {
        assertEquals("topics/quotes/partition=7/quotes+7+0000000042.avro",
                ObjectKeys.of(Configs.config()).key("quotes", 7, "partition=7", 42, ".avro"));
    }

    @Test
    void allItsPartsCanBeChosen() {
        ObjectKeys keys = ObjectKeys.of(Configs.config(
                "topics.dir", "lake/raw", "directory.delim", "_", "file.delim", "-",
                "filename.offset.zero.pad.width", "4"));
        assertEquals("lake/raw_quotes_d=1_quotes-0-0003.keys.json", keys.key("quotes", 0, "d=1", 3, ".keys.json"));
        assertEquals("lake/raw_quotes_d=1_quotes-0-1234567.json", keys.key("quotes", 0, "d=1", 1234567, ".json"));
    }

    @Test
    void withoutTopicsDirItBeginsWithTheTopic() {
        assertEquals("quotes/partition=0/quotes+0+0000000000.json",
                ObjectKeys.of(Configs.config("topics.dir", "")).key("quotes", 0, "partition=0", 0, ".json"));
    }
}
