"""The daemon on a node that runs attempts."""
