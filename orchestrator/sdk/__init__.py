"""What scripts and commands use to speak to the server."""
