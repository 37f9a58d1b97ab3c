"""What to change after a failure, judged by its messages."""
