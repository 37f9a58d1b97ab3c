"""What the proof tries with sockets, and its report."""
