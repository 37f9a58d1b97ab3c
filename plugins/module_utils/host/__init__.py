"""What is read on a host, or locked there: processes, units, nginx, stores, the project itself."""
