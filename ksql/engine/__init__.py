"""The embedded, ksqlDB-compatible engine: parser → logical plan → operators → runtimes. See docs/ksql-engine.md."""
