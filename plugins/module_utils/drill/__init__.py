"""A game day: which parts can fail and what that may cost, what clients noticed, and the report."""
