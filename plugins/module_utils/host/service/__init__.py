"""A service that should run the configuration on the disk, whatever starts services on its host."""
