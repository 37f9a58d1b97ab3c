"""What makes Ansible itself faster on the controller, with the same results."""
