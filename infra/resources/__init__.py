"""Pulumi resources over the admin APIs of Kafka, the registry, Connect, ksqlDB and S3, whatever the target."""
