"""A version as one file, for places without a network."""
