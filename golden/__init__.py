"""Replays of recorded cases of real servers against the parts that stand in for them."""
