"""A test kit: whole stacks for a test session, and helpers to send to them and read from them (docs/testing.md)."""
