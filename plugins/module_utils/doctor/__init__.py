"""From evidence on a host to a verdict."""
