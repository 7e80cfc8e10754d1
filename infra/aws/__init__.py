"""The aws target: MSK, MSK Connect, S3 and EKS."""
