"""The plan's steps as functions of a record and the state."""
