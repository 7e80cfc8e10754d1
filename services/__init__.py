"""The stream services of the pipeline: ingest, transform, cheapest, compressor."""
