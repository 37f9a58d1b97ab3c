"""The steps of the proof on a host, in their order; each notes what it saw."""
