"""Certificates as files, and their state on a host."""
