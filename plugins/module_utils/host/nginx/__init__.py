"""nginx as a host has it: its configuration as text, what it would do with one request, and what its logs say."""
