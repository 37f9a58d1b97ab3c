"""One client for WebSockets, and what its failures mean."""
