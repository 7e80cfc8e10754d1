"""The command-line program `cflight`."""
