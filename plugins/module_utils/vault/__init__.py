"""An inventory's secrets in Ansible Vault files."""
