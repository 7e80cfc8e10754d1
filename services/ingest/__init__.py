"""ingest: takes gzip batches over HTTP into the event log."""
