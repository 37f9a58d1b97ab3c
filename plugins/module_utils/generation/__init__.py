"""A generation as one plain document: what runs, how it runs, and every file of it. Its digest is its name."""
