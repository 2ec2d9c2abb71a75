"""Copies of dataset versions on one machine: a cache of bytes, trees of links into it, and who may not be disturbed."""
