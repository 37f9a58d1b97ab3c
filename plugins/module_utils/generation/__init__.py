"""A generation as one plain document: what runs, how it runs, and all its files. Its digest is its name."""
