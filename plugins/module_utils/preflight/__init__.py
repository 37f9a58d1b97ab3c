"""Whether an inventory fits together, before anything is changed."""
