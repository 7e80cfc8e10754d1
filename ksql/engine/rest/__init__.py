"""ksqlDB's REST API: an ASGI application over the runtime."""
