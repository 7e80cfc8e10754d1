"""KSQL: the stack's statements, and an embedded engine that runs them where no ksqlDB server is at hand."""
