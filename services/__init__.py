"""The stream services: ingest, transform, cheapest and compressor, each a console script of one package."""
