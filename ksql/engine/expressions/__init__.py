"""Types of expressions, and their compilation to Python functions."""
