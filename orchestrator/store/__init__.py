"""Where the truth is kept: the protocol and its SQL implementation."""
