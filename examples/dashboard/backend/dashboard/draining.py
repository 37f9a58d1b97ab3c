"""Clients leave a generation of processes that is about to end, one after another, for the one that replaced it."""

import os

# A close code that the page takes for "come back at once"; servers may send 4000 to 4999 as they like.
DRAINED = 4503


def generation_group() -> str:
    """Return the group of all sockets of this process's generation, which the environment names."""
    return f"dashboard.generation.{os.environ.get('ASGI_GENERATION') or 'none'}"
