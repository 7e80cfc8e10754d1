"""cflight: a streaming platform for live flight searches as one Pulumi stack."""
