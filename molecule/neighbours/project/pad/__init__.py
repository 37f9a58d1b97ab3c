"""A plain project, for the tests with several projects on one host."""
