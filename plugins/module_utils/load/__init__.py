"""A load test: many sockets from the controller, what the hosts say meanwhile, and what gave way first."""
