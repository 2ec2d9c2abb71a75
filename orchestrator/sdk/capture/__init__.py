"""What is recorded of a run, so that it can be run again: source, packages, script, arguments."""
