"""transform: a gzip batch of the event log becomes one bundle and one Avro message a row."""
