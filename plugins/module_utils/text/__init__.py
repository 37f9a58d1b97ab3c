"""What texts may show, and how they are written."""
