"""Model versions as scripts see them: registering what a run made, and using what others made."""
