"""What to change after a failure, by what was said."""
