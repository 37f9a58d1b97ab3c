"""Certificates as files, and as they fare on a host."""
