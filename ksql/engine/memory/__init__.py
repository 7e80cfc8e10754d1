"""The runtime in memory: one partition, one process, no broker. The query tests and EXPLAIN's sandbox run on it."""
