"""What can be told of a project by its files, and its first inventory."""
