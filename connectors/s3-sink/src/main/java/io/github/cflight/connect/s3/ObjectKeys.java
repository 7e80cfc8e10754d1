package io.github.cflight.connect.s3;

/**
 * The keys of objects, which depend on nothing but the records in them.
 *
 * @param topicsDir the first folder; may be empty
 * @param directoryDelimiter what separates folders
 * @param fileDelimiter what separates the parts of the last name
 * @param offsetDigits the digits of an offset at least
 */
record ObjectKeys(String topicsDir, String directoryDelimiter, String fileDelimiter, int offsetDigits) {
    static ObjectKeys of(S3SinkConfig config) {
        return new ObjectKeys(
                config.getString("topics.dir"),
                config.getString("directory.delim"),
                config.getString("file.delim"),
                config.getInt("filename.offset.zero.pad.width"));
    }

    /**
     * Returns the key of an object.
     *
     * @param topic the records' topic
     * @param partition their partition of it
     * @param folder the folder that the partitioner gave them
     * @param offset the first record's offset
     * @param extension the end of the key, with its dot
     */
    String key(String topic, int partition, String folder, long offset, String extension) {
        String digits = Long.toString(offset);
        String padded = "0".repeat(Math.max(0, offsetDigits - digits.length())) + digits;
        String name = String.join(fileDelimiter, topic, Integer.toString(partition), padded) + extension;
        String path = String.join(directoryDelimiter, topic, folder, name);
        return topicsDir.isEmpty() ? path : topicsDir + directoryDelimiter + path;
    }
}
