"""What texts may show, and how to write them."""
