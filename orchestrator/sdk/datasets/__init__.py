"""`Dataset`: one version of a set of files, as scripts see it."""
