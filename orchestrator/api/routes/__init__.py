"""One route file a noun."""
