"""What a project's files say about it, and its first inventory."""
