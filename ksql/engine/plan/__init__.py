"""Analysis of queries: from the syntax tree and the metastore to a logical plan."""
