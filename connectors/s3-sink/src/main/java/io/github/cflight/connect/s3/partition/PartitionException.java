package io.github.cflight.connect.s3.partition;

import org.apache.kafka.connect.errors.DataException;

/** A record does not have what its folder is made of. */
public final class PartitionException extends DataException {
    private static final long serialVersionUID = 1L;

    PartitionException(String message) {
        super(message);
    }

    PartitionException(String message, Throwable cause) {
        super(message, cause);
    }
}
