"""The kubernetes target: the pipeline on any Kubernetes cluster, with Strimzi.

Of its components, these depend on no operator and run wherever Kafka is; the aws target runs them on EKS:

- registry.Registry, ksql.KsqlServer, services.StreamService, job.Job

They take a `place.Place` (provider, namespace, settings), and are told where Kafka, the registry and ksqlDB are by
`access.KafkaAccess` and `access.HttpAccess`: endpoints, credentials by reference to Secrets, and the network peers that
stand behind them. strimzi.py, kafka.py and connect.py are Strimzi's.
"""
