"""Training data, decoded once."""
