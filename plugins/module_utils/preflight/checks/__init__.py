"""Checks of values that must fit together, by topic; importing one registers it."""
