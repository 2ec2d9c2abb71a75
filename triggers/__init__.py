"""Conditions on events and what they set off."""
