"""One module a revision, `revision_NNNN.py`. A revision that was released never changes again."""
