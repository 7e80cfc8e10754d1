"""Running queries on Kafka: exactly once, with durable statements and state."""
