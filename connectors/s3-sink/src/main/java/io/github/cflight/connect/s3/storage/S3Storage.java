package io.github.cflight.connect.s3.storage;

import io.github.cflight.connect.s3.S3SinkConfig;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Configurable;
import org.apache.kafka.common.config.ConfigException;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.checksums.RequestChecksumCalculation;
import software.amazon.awssdk.core.checksums.ResponseChecksumValidation;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.apache5.Apache5HttpClient;
import software.amazon.awssdk.http.apache5.ProxyConfiguration;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.retries.StandardRetryStrategy;
import software.amazon.awssdk.retries.api.BackoffStrategy;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3ClientBuilder;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.CreateMultipartUploadRequest;
import software.amazon.awssdk.services.s3.model.NoSuchBucketException;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.model.NoSuchUploadException;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.ServerSideEncryption;
import software.amazon.awssdk.services.s3.model.Tag;
import software.amazon.awssdk.services.s3.model.UploadPartRequest;
import software.amazon.awssdk.services.s3.model.UploadPartResponse;

/** A bucket, and the requests to it that the sink makes. Each is repeated when it failed for a passing reason. */
public final class S3Storage implements AutoCloseable {
    private static final String CONTENT_TYPE = "binary/octet-stream";
    private static final Duration LONGEST_BACKOFF = Duration.ofSeconds(20);
    private static final Duration ATTEMPT_TIMEOUT = Duration.ofMinutes(2);

    private final S3Client client;
    private final String bucket;
    private final String acl;
    private final String encryption;
    private final String kmsKey;
    private final CustomerKey customerKey;
    private final boolean digests;

    /**
     * Prepares the requests; nothing is sent yet.
     *
     * @param config the sink's configuration
     * @param connections how many requests may be under way at once
     */
    public S3Storage(S3SinkConfig config, int connections) {
        bucket = config.bucket();
        acl = config.getString("s3.acl.canned");
        encryption = emptyToNull(config.getString("s3.ssea.name"));
        kmsKey = emptyToNull(config.getString("s3.sse.kms.key.id"));
        customerKey = CustomerKey.of(config.getPassword("s3.sse.customer.key").value());
        digests = config.getBoolean("s3.send.digest");
        client = client(config, connections);
    }

    /** Returns whether the bucket is there. */
    public boolean exists() {
        if (bucket.isEmpty()) {
            return false;
        }
        try {
            client.headBucket(request -> request.bucket(bucket));
            return true;
        } catch (NoSuchBucketException e) {
            return false;
        } catch (S3Exception e) {
            // A HEAD has no body that would say which 404 it is.
            if (e.statusCode() == 404) {
                return false;
            }
            throw e;
        }
    }

    /** Returns how an object is called in messages. */
    String uri(String key) {
        return "s3://" + bucket + "/" + key;
    }

    void put(String key, PartBuffer content) {
        PutObjectRequest.Builder request = PutObjectRequest.builder()
                .bucket(bucket).key(key).acl(acl).contentType(CONTENT_TYPE)
                .serverSideEncryption(encryption).ssekmsKeyId(kmsKey)
                .contentMD5(digests ? md5(content) : null);
        if (customerKey != null) {
            request.sseCustomerAlgorithm("AES256").sseCustomerKey(customerKey.key())
                    .sseCustomerKeyMD5(customerKey.md5());
        }
        client.putObject(request.build(), body(content));
    }

    String startUpload(String key) {
        CreateMultipartUploadRequest.Builder request = CreateMultipartUploadRequest.builder()
                .bucket(bucket).key(key).acl(acl).contentType(CONTENT_TYPE)
                .serverSideEncryption(encryption).ssekmsKeyId(kmsKey);
        if (customerKey != null) {
            request.sseCustomerAlgorithm("AES256").sseCustomerKey(customerKey.key())
                    .sseCustomerKeyMD5(customerKey.md5());
        }
        return client.createMultipartUpload(request.build()).uploadId();
    }

    CompletedPart uploadPart(String key, String uploadId, int number, PartBuffer content) {
        UploadPartRequest.Builder request = UploadPartRequest.builder()
                .bucket(bucket).key(key).uploadId(uploadId).partNumber(number)
                .contentMD5(digests ? md5(content) : null);
        if (customerKey != null) {
            request.sseCustomerAlgorithm("AES256").sseCustomerKey(customerKey.key())
                    .sseCustomerKeyMD5(customerKey.md5());
        }
        UploadPartResponse response = client.uploadPart(request.build(), body(content));
        return CompletedPart.builder().partNumber(number).eTag(response.eTag()).build();
    }

    void completeUpload(String key, String uploadId, List<CompletedPart> parts, long size) {
        try {
            client.completeMultipartUpload(request -> request.bucket(bucket).key(key).uploadId(uploadId)
                    .multipartUpload(upload -> upload.parts(parts)));
        } catch (NoSuchUploadException e) {
            // The store forgets an upload when it is complete: the answer to an earlier attempt may have been lost.
            if (!hasSize(key, size)) {
                throw e;
            }
        }
    }

    void abortUpload(String key, String uploadId) {
        client.abortMultipartUpload(request -> request.bucket(bucket).key(key).uploadId(uploadId));
    }

    void tag(String key, Map<String, String> tags) {
        List<Tag> tagSet = new ArrayList<>();
        tags.forEach((name, value) -> tagSet.add(Tag.builder().key(name).value(value).build()));
        client.putObjectTagging(request -> request.bucket(bucket).key(key).tagging(t -> t.tagSet(tagSet)));
    }

    @Override
    public void close() {
        client.close();
    }

    private boolean hasSize(String key, long size) {
        try {
            return client.headObject(request -> {
                request.bucket(bucket).key(key);
                if (customerKey != null) {
                    request.sseCustomerAlgorithm("AES256").sseCustomerKey(customerKey.key())
                            .sseCustomerKeyMD5(customerKey.md5());
                }
            }).contentLength() == size;
        } catch (NoSuchKeyException e) {
            return false;
        }
    }

    private static RequestBody body(PartBuffer content) {
        return RequestBody.fromContentProvider(content::open, content.size(), CONTENT_TYPE);
    }

    private static String md5(PartBuffer content) {
        MessageDigest digest = newMd5();
        content.writeTo(digest);
        return Base64.getEncoder().encodeToString(digest.digest());
    }

    private static MessageDigest newMd5() {
        try {
            return MessageDigest.getInstance("MD5");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private static S3Client client(S3SinkConfig config, int connections) {
        S3ClientBuilder builder = S3Client.builder()
                .region(Region.of(config.getString("s3.region")))
                .credentialsProvider(credentials(config))
                .forcePathStyle(config.getBoolean("s3.path.style.access.enabled"))
                // Payloads are signed or sent over TLS; a second checksum of each costs time and tells nothing more.
                .requestChecksumCalculation(RequestChecksumCalculation.WHEN_REQUIRED)
                .responseChecksumValidation(ResponseChecksumValidation.WHEN_REQUIRED)
                .serviceConfiguration(service -> service.chunkedEncodingEnabled(false))
                .overrideConfiguration(override -> override
                        .apiCallAttemptTimeout(ATTEMPT_TIMEOUT)
                        .retryStrategy(StandardRetryStrategy.builder()
                                .maxAttempts(config.attempts())
                                .circuitBreakerEnabled(false)
                                .backoffStrategy(backoff(config.getLong("s3.retry.backoff.ms")))
                                .throttlingBackoffStrategy(backoff(config.getLong("s3.retry.backoff.ms")))
                                .build()))
                .httpClientBuilder(httpClient(config, connections));
        if (config.getBoolean("s3.wan.mode")) {
            builder.forcePathStyle(false).accelerate(true);
        }
        String url = config.getString("store.url");
        if (url != null && !url.isBlank()) {
            builder.endpointOverride(URI.create(url));
        }
        return builder.build();
    }

    private static BackoffStrategy backoff(long first) {
        return first == 0
                ? BackoffStrategy.retryImmediately()
                : BackoffStrategy.exponentialDelay(Duration.ofMillis(first), LONGEST_BACKOFF);
    }

    private static Apache5HttpClient.Builder httpClient(S3SinkConfig config, int connections) {
        Apache5HttpClient.Builder builder = Apache5HttpClient.builder()
                .maxConnections(connections)
                .expectContinueEnabled(config.getBoolean("s3.http.send.expect.continue"));
        String proxy = config.getString("s3.proxy.url");
        if (!proxy.isEmpty()) {
            builder.proxyConfiguration(ProxyConfiguration.builder()
                    .endpoint(URI.create(proxy))
                    .username(config.getString("s3.proxy.user"))
                    .password(emptyToNull(config.getPassword("s3.proxy.password").value()))
                    .build());
        }
        return builder;
    }

    private static AwsCredentialsProvider credentials(S3SinkConfig config) {
        String accessKey = config.getString("aws.access.key.id");
        if (!accessKey.isEmpty()) {
            String secret = config.getPassword("aws.secret.access.key").value();
            return StaticCredentialsProvider.create(AwsBasicCredentials.create(accessKey, secret));
        }
        Class<?> type = config.getClass("s3.credentials.provider.class");
        try {
            Object provider = hasCreate(type)
                    ? type.getMethod("create").invoke(null)
                    : type.getDeclaredConstructor().newInstance();
            if (provider instanceof Configurable configurable) {
                configurable.configure(config.credentialsProperties());
            }
            return (AwsCredentialsProvider) provider;
        } catch (ReflectiveOperationException | ClassCastException e) {
            throw new ConfigException("s3.credentials.provider.class", type.getName(),
                    "It is no AWS credentials provider that can be made without arguments: " + e);
        }
    }

    private static boolean hasCreate(Class<?> type) {
        for (var method : type.getMethods()) {
            if (method.getName().equals("create") && method.getParameterCount() == 0) {
                return true;
            }
        }
        return false;
    }

    private static String emptyToNull(String text) {
        return text == null || text.isEmpty() ? null : text;
    }

    /** A key for encryption by the store that the store does not keep. */
    private record CustomerKey(String key, String md5) {
        static CustomerKey of(String secret) {
            if (secret == null || secret.isEmpty()) {
                return null;
            }
            byte[] bytes = secret.getBytes(StandardCharsets.UTF_8);
            Base64.Encoder base64 = Base64.getEncoder();
            return new CustomerKey(base64.encodeToString(bytes), base64.encodeToString(newMd5().digest(bytes)));
        }
    }
}
