"""What Prometheus has seen of a site: questions to it, and a page of pictures."""
