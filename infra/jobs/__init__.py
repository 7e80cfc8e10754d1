"""Commands that jobs run in the cluster, in the services' image: they need none of the Pulumi program's libraries."""
