"""A project of the plain kind, for the tests of several projects on one host."""
