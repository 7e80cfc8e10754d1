"""compressor: a bundle becomes its gzip."""
