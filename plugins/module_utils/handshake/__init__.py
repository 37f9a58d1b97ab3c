"""The proof on a host and its report, and a single handshake that is waited for."""
