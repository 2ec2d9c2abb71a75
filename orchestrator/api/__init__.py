"""The REST API: routes that are a thin wrapper around services."""
