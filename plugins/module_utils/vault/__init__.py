"""Secrets of an inventory in files of Ansible Vault."""
