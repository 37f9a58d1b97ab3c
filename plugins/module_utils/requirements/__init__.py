"""Which packages a project needs, according to its files."""
