"""What has become of what was sent: the records of topics, the objects of buckets, the account of every batch."""
