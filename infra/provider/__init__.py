"""The Pulumi resource provider `cflight`: resources over the admin APIs of the platform's parts.

A provider of our own, not dynamic providers: no pickled code in the state, errors without tracebacks, partly made
resources known to the state, and no limit of four operations at a time (docs/adr/0001-own-provider.md).
"""
