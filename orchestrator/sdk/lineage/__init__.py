"""Pictures of which version descends from which. Pure."""
