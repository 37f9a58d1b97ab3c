"""What packages a project needs, by its files."""
