"""One handshake on each target, tried until it is right, and what is wrong if it is not."""
