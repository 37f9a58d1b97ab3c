"""Python code that is read and never run."""
