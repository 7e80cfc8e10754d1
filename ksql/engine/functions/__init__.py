"""Scalar, aggregate and table functions, and the registry that describes them."""
