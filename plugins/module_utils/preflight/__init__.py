"""Check that an inventory fits together, before anything is changed."""
