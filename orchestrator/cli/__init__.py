"""The command `retrain`, one file a noun."""
