"""The local target: the real parts as processes of this machine, in memory cgroups, under a supervisor."""
