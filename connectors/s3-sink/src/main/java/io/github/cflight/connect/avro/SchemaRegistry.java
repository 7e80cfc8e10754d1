package io.github.cflight.connect.avro;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.connect.errors.RetriableException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A registry of schemas with Confluent's REST API. Requests that fail for a passing reason are repeated. */
final class SchemaRegistry {
    private static final Logger LOG = LoggerFactory.getLogger(SchemaRegistry.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int TIMEOUT_MS = 10_000;
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final long FIRST_PAUSE_MS = 100;
    private static final long LONGEST_PAUSE_MS = 3_000;

    private final List<String> urls;
    private final String authorization;
    private int current;

    /**
     * Prepares the requests; nothing is sent yet.
     *
     * @param urls where the registry answers; the next one is tried when one does not
     * @param userInfo user:password, or null
     */
    SchemaRegistry(List<String> urls, String userInfo) {
        this.urls = urls.stream().map(url -> url.replaceAll("/+$", "")).toList();
        authorization = userInfo == null ? null
                : "Basic " + Base64.getEncoder().encodeToString(userInfo.getBytes(StandardCharsets.UTF_8));
    }

    /** Returns the schema of an id. */
    Schema schema(int id) {
        JsonNode answer = request("GET", "/schemas/ids/" + id, null);
        String type = answer.path("schemaType").asText("AVRO");
        if (!type.equals("AVRO")) {
            throw new SerializationException("The schema with id " + id + " is of type " + type + ", not AVRO");
        }
        return new Schema.Parser().parse(answer.path("schema").asText());
    }

    /** Returns the number that a schema has in a subject, or null where it is not of that subject. */
    Integer version(int id, String subject) {
        for (JsonNode use : request("GET", "/schemas/ids/" + id + "/versions", null)) {
            if (use.path("subject").asText().equals(subject)) {
                return use.path("version").asInt();
            }
        }
        return null;
    }

    /**
     * Returns the id of a schema in a subject.
     *
     * @param register whether it is to be added where it is not there yet
     */
    int id(String subject, Schema schema, boolean register) {
        ObjectNode body = JSON.createObjectNode().put("schema", schema.toString());
        String path = "/subjects/" + URLEncoder.encode(subject, StandardCharsets.UTF_8).replace("+", "%20");
        return request("POST", register ? path + "/versions" : path, body).path("id").asInt();
    }

    private JsonNode request(String method, String path, JsonNode body) {
        long end = System.nanoTime() + PATIENCE.toNanos();
        long pause = FIRST_PAUSE_MS;
        while (true) {
            String url = urls.get(current) + path;
            try {
                return once(method, url, body);
            } catch (IOException e) {
                if (System.nanoTime() > end) {
                    throw new RetriableException("The schema registry does not answer: " + method + " " + url
                            + ": " + e.getMessage(), e);
                }
                LOG.warn("{} {} failed, trying again in {} ms: {}", method, url, pause, e.getMessage());
                current = (current + 1) % urls.size();
                sleep(pause);
                pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
            }
        }
    }

    private JsonNode once(String method, String url, JsonNode body) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        connection.setConnectTimeout(TIMEOUT_MS);
        connection.setReadTimeout(TIMEOUT_MS);
        connection.setRequestMethod(method);
        connection.setRequestProperty("Accept", "application/vnd.schemaregistry.v1+json, application/json");
        if (authorization != null) {
            connection.setRequestProperty("Authorization", authorization);
        }
        if (body != null) {
            connection.setDoOutput(true);
            connection.setRequestProperty("Content-Type", "application/vnd.schemaregistry.v1+json");
            try (OutputStream out = connection.getOutputStream()) {
                out.write(JSON.writeValueAsBytes(body));
            }
        }
        int status = connection.getResponseCode();
        if (status >= 500 || status == 429) {
            throw new IOException("HTTP " + status);
        }
        if (status >= 400) {
            throw new SerializationException("The schema registry answered " + status + " to " + method + " " + url
                    + ": " + text(connection.getErrorStream()));
        }
        try (InputStream in = connection.getInputStream()) {
            return JSON.readTree(in);
        }
    }

    private static String text(InputStream stream) throws IOException {
        if (stream == null) {
            return "";
        }
        try (stream) {
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new RetriableException("The task was interrupted", e);
        }
    }
}
