"""The resource types of the provider, and where their handlers are.

Strings, not classes: the provider imports a handler when the first resource of its type comes.
"""

HANDLERS = {
    "cflight:kafka:Topic": "infra.resources.topic:TopicHandler",
    "cflight:registry:Schema": "infra.resources.schema:SchemaHandler",
    "cflight:s3:Bucket": "infra.resources.bucket:BucketHandler",
    "cflight:connect:Connector": "infra.resources.connector:ConnectorHandler",
    "cflight:random:Secret": "infra.resources.secret:SecretHandler",
    "cflight:ksql:Statement": "infra.resources.statement:StatementHandler",
    "cflight:local:Supervisor": "infra.local.supervisor:SupervisorHandler",
    "cflight:local:Ports": "infra.local.ports:PortsHandler",
    "cflight:local:Process": "infra.local.process:ProcessHandler",
}
