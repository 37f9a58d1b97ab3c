"""A service that is to run the configuration that is on the disk, whatever starts services on its host."""
