"""Damaged versions, and where their bytes are found again."""
