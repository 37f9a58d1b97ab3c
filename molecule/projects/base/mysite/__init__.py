"""What all fixture projects are made of."""
