"""One handshake on each of some targets, tried until it is right, and what is wrong where it is not."""
