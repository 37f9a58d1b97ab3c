"""Commands as users type them: with make and playbook files in a clone, else with the collection's name.

A clone has the Makefile; the collection's tarball does not.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def in_clone() -> bool:
    """Tell whether the running collection is a clone."""
    return (ROOT / "Makefile").is_file()


def playbook_name(name: str) -> str:
    """Return a playbook's name for `ansible-playbook`, such as `playbooks/deploy.yml` or `channels.stack.deploy`."""
    if not in_clone():
        return f"channels.stack.{name}"
    return "site.yml" if name == "site" else f"playbooks/{name}.yml"


def playbook_command(name: str, inventory: str) -> str:
    """Return the command that runs a playbook on an inventory."""
    if in_clone():
        return f"ansible-playbook -i {inventory} {playbook_name(name)}"
    return f"ansible-playbook {playbook_name(name)} -i {inventory}"


def secrets_command(inventory: str) -> str:
    """Return the command that makes an inventory's secrets and encrypts them."""
    return f"make secrets INVENTORY={inventory}" if in_clone() else playbook_command("secrets", inventory)
