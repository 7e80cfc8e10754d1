"""cheapest: the rows of a batch become its cheapest quote, the same record that the KSQL table writes."""
