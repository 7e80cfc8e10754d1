"""How components reach Kafka, the registry and ksqlDB: endpoints, credentials by reference, network peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from infra.kubernetes.network import Peer

# Where a pod's secrets are mounted, one file each.
SECRETS_FOLDER = "/etc/cflight/secrets"
_AUTHORITY = "kafka-ca.crt"
_PASSWORD = "KAFKA_SASL_PASSWORD"  # noqa: S105 - a variable's name


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """A value in a Secret of the namespace.

    Attributes:
        secret: the Secret's name.
        key: the key of its data.
    """

    secret: pulumi.Input[str]
    key: str


@dataclass(frozen=True, kw_only=True)
class KafkaAccess:
    """How a component reaches Kafka, as one user.

    Strimzi: SASL_SSL with SCRAM-SHA-512, the password and the authority from the Secrets that its operators keep. MSK:
    the same with the password from a Secret of the namespace and no authority (Amazon's is public), or OAUTHBEARER
    with `iam_region` and the pod's own identity, for the services.

    Attributes:
        bootstrap_servers: `host:port`, separated by commas.
        protocol: Kafka's security protocol.
        mechanism: how to log in; None: no login.
        username: the SCRAM user.
        password: its password; letters and digits.
        authority: the PEM certificates that the brokers' are checked against; None: the public ones.
        iam_region: the AWS region, for OAUTHBEARER.
        brokers: the brokers, for network policies.
    """

    bootstrap_servers: pulumi.Input[str]
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    brokers: Sequence[Peer]
    mechanism: Literal["SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    username: pulumi.Input[str] | None = None
    password: SecretKey | None = None
    authority: SecretKey | None = None
    iam_region: str | None = None

    def environment(self) -> dict[str, pulumi.Input[str]]:
        """Return the variables that tell a service how to reach Kafka; none is secret."""
        variables: dict[str, pulumi.Input[str] | None] = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": self.protocol,
            "KAFKA_SASL_MECHANISM": self.mechanism,
            "KAFKA_SASL_USERNAME": self.username,
            "KAFKA_SSL_CA_LOCATION": f"{SECRETS_FOLDER}/{_AUTHORITY}" if self.authority else None,
            "KAFKA_IAM_REGION": self.iam_region,
        }
        return {name: value for name, value in variables.items() if value is not None}

    def secrets(self) -> dict[str, SecretKey]:
        """Return the secrets that a service needs, by variable: each is mounted, and `<NAME>_FILE` tells where."""
        return {_PASSWORD: self.password} if self.password else {}

    def files(self) -> dict[str, SecretKey]:
        """Return what else is to be mounted beside the secrets, by file name."""
        return {_AUTHORITY: self.authority} if self.authority else {}

    def java_properties(self) -> dict[str, pulumi.Input[str]]:
        """Return how a Java client reaches Kafka, but for `sasl.jaas.config`, which holds the password."""
        properties: dict[str, pulumi.Input[str] | None] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.protocol,
            "sasl.mechanism": self.mechanism,
            "ssl.truststore.type": "PEM" if self.authority else None,
            "ssl.truststore.location": f"{SECRETS_FOLDER}/{_AUTHORITY}" if self.authority else None,
        }
        return {name: value for name, value in properties.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class HttpAccess:
    """How components reach a part over HTTP.

    Attributes:
        url: its base URL; the registry's is that of its Confluent-compatible API.
        servers: who answers there, for network policies.
    """

    url: pulumi.Input[str]
    servers: Sequence[Peer]
