#!/usr/bin/env python3
"""Make the secrets of an inventory, and keep them encrypted: `make secrets INVENTORY=inventories/production`.

    vault_secrets.py INVENTORY [--password-file FILE|ask] [--rotate WHAT]

Each placeholder that asks for a random string, such as "!!!SET a random string of 32 characters or more!!!", in a file
of secrets (vault.yml, or one that is encrypted already) gets a value: 50 letters and digits, 297 bits. Existing values
are never changed, comments and layout stay, and the file is encrypted with Ansible Vault. Placeholders that only you
can fill in are listed.

The vault's password comes from VAULT_PASSWORD_FILE=…, or else from Ansible's own settings (ANSIBLE_VAULT_PASSWORD_FILE,
or vault_password_file in ansible.cfg), or else from ~/.config/ansible-channels-stack/NAME.password, which is created if
there is none.

Where the collection is installed and there is no clone, playbooks/secrets.yml makes secrets in the same way.

ROTATE=redis,jwt,django,database, ROTATE=all or ROTATE=vault_… makes new values for these and keeps the old ones beside
them. playbooks/rotate_secrets.yml does that itself, installs the new values on the hosts, and discards the old ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ansible import constants
from ansible.cli import CLI
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "collections"))

from ansible_collections.channels.stack.plugins.module_utils.text.commands import playbook_command
from ansible_collections.channels.stack.plugins.module_utils.vault.files import PasswordError, SecretsError, locked
from ansible_collections.channels.stack.plugins.module_utils.vault.rotation import FINISH, Outcome, Rotation, listed
from ansible_collections.channels.stack.plugins.module_utils.vault.secrets import (
    Password,
    default_password_file,
    encrypted_files,
    plan,
    ready_password_file,
    shown,
    told,
    write,
)

ASK = "ask"
NAME_ANOTHER = "Name another file with the password: VAULT_PASSWORD_FILE=…, or VAULT_PASSWORD_FILE=ask to type it"


def vault_of(inventory: Path, given: str) -> tuple[VaultLib, Password | None]:
    """Return the vault that encrypts an inventory, and its password's file if that is named here."""
    encrypted = encrypted_files(inventory)
    file = None
    if given and given != ASK:
        file = Path(given).expanduser()
    elif not given and not constants.DEFAULT_VAULT_PASSWORD_FILE and not constants.DEFAULT_VAULT_IDENTITY_LIST:
        file = default_password_file(inventory)
    password = ready_password_file(file, encrypted) if file else None
    known = constants.DEFAULT_VAULT_IDENTITY_LIST if not given else []
    elsewhere = constants.DEFAULT_VAULT_PASSWORD_FILE if not given and not file else None
    files = [str(one) for one in (file, elsewhere) if one]
    try:
        secrets = CLI.setup_vault_secrets(
            DataLoader(), list(known), files, ask_vault_pass=given == ASK, create_new_password=not encrypted
        )
    except AnsibleError as error:
        raise SecretsError(f"The vault's password cannot be had: {error}") from error
    return VaultLib(secrets), password


def tell_rotated(outcome: Outcome, inventory: Path) -> None:
    """Say which secrets have new values, and what comes next."""
    for notice in outcome.notices:
        print(f"Note: {notice}")
    for name in outcome.rotated:
        print(f"{name} has a new value, and the old one is in {name}_previous")
    if outcome.under_way:
        print(f"\nNext: ansible-playbook -i {shown(inventory)} playbooks/rotate_secrets.yml")


def main() -> int:
    """Read the command line, and do what it says; report errors in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inventory", type=Path)
    parser.add_argument("--password-file", default="", metavar="FILE|ask")
    parser.add_argument("--rotate", default="", metavar="WHAT")
    given = parser.parse_args()
    try:
        with locked(given.inventory):
            vault, password = vault_of(given.inventory, given.password_file)
            if FINISH in (names := listed(given.rotate)):  # ask the hosts first
                raise SecretsError(
                    "The playbook ends a rotation, since hosts may use the old secrets still: ansible-playbook "
                    f"-i {shown(given.inventory)} playbooks/rotate_secrets.yml -e rotate_secrets={FINISH}"
                )
            if names:
                tell_rotated(Rotation(given.inventory, vault).run(names), given.inventory)
            else:
                then = playbook_command("site", shown(given.inventory))
                write(outcome := plan(given.inventory, vault), vault)
                print("\n".join(told(outcome, password, then)))
    except PasswordError as error:
        print(f"Nothing was changed: {error}. {NAME_ANOTHER}", file=sys.stderr)
        return 1
    except SecretsError as error:
        print(f"Nothing was changed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
