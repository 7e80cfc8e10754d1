package io.github.cflight.connect.s3;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;

/** The Confluent class names that configurations are written with, and the classes here that do the same. */
final class ConfluentNames {
    private static final Properties NAMES = load();

    private ConfluentNames() {}

    /**
     * Returns a configuration in which every known Confluent class name is replaced by the class that stands for it.
     *
     * @param properties a connector's configuration; not changed
     */
    static Map<String, String> translate(Map<String, String> properties) {
        Map<String, String> translated = new HashMap<>(properties);
        translated.replaceAll((key, value) -> {
            boolean namesClass = key.endsWith(".class") && !key.equals("connector.class");
            return namesClass && value != null ? NAMES.getProperty(value.trim(), value) : value;
        });
        return translated;
    }

    private static Properties load() {
        Properties names = new Properties();
        try (InputStream file = ConfluentNames.class.getResourceAsStream("confluent-names.properties")) {
            names.load(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return names;
    }
}
