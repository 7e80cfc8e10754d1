"""The Pulumi program: settings, then a target's platform, then the pipeline on it."""
