"""The proof on a host and its report, and a single handshake that is tried until it works."""
