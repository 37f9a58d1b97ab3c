#!/usr/bin/env python3
"""Make the secrets of an inventory, and keep them encrypted: `make secrets INVENTORY=inventories/production`.

    vault_secrets.py INVENTORY [--password-file FILE|ask] [--rotate WHAT]

Each placeholder that asks for a random string, such as "!!!SET a random string of 32 characters or more!!!", in a file
of secrets (vault.yml, or one that is encrypted already) gets a value: 50 letters and digits, 297 bits. A value that is
there is never changed, comments and layout stay, and the file is encrypted with Ansible Vault. Placeholders that only
you can fill in are listed.

The vault's password is that of VAULT_PASSWORD_FILE=…, else what Ansible itself is told of (ANSIBLE_VAULT_PASSWORD_FILE,
or vault_password_file in ansible.cfg), else ~/.config/ansible-channels-stack/NAME.password, made where there is none.

With ROTATE=redis,jwt,django,database, ROTATE=all or ROTATE=vault_… there are new values for these, with the old ones
beside them. playbooks/rotate_secrets.yml does so itself, brings them to the hosts, and ends it there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ansible import constants
from ansible.cli import CLI
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, is_encrypted

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "collections"))

from ansible_collections.channels.stack.plugins.module_utils.vault.files import (
    BITS,
    LENGTH,
    File,
    Left,
    SecretsError,
    files_of,
    folder_of,
    locked,
    made,
    put,
    read,
    save,
)
from ansible_collections.channels.stack.plugins.module_utils.vault.rotation import FINISH, Outcome, Rotation, listed

ASK = "ask"


def default_password_file(inventory: Path) -> Path:
    """Return where an inventory's password is when nobody says where: in the user's own folder, by its name."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "ansible-channels-stack" / f"{folder_of(inventory).resolve().name}.password"


def check_password_file(path: Path) -> None:
    """Raise SecretsError where a password's file could be read by others, or would be committed."""
    if path.is_file() and not os.access(path, os.X_OK) and path.stat().st_mode & 0o077:
        raise SecretsError(f"Others can read {path}, and with it all secrets: chmod 600 {path}")
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    git = shutil.which("git")
    if not git or os.access(path, os.X_OK):  # a program that knows where the password is may well be committed
        return

    def ask(*words: str) -> int:
        return subprocess.run([git, "-C", str(folder), *words], capture_output=True, check=False).returncode

    if ask("rev-parse", "--show-toplevel") == 0 and ask("check-ignore", "--quiet", str(path.absolute())) == 1:
        raise SecretsError(
            f"{path} is in a repository of git, which does not ignore it, so the password would be committed with what "
            "it protects. Name a file elsewhere: VAULT_PASSWORD_FILE=~/.config/…"
        )


def ready_password_file(path: Path, encrypted: list[Path]) -> bool:
    """Have a file with a password; tell whether it was made. Raise SecretsError where an old one is needed."""
    check_password_file(path)
    if path.exists():
        return False
    if encrypted:
        raise SecretsError(
            f"{encrypted[0]} is encrypted already, and there is no {path} with its password. Name the file that has "
            "it: VAULT_PASSWORD_FILE=…, or VAULT_PASSWORD_FILE=ask to type it"
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SecretsError(
            f"{path.parent} cannot be made: {error.strerror}. Name another: VAULT_PASSWORD_FILE=…"
        ) from error
    put(path, f"{made()}\n".encode())
    return True


def vault_of(inventory: Path, given: str) -> tuple[VaultLib, Path | None, bool]:
    """Return what encrypts an inventory, the file of its password if that is named here, and whether it is new."""
    encrypted = [path for path in files_of(inventory) if is_encrypted(path.read_bytes())]
    file, is_new = None, False
    if given and given != ASK:
        file = Path(given).expanduser()
    elif not given and not constants.DEFAULT_VAULT_PASSWORD_FILE and not constants.DEFAULT_VAULT_IDENTITY_LIST:
        file = default_password_file(inventory)
    if file:
        is_new = ready_password_file(file, encrypted)
    known = constants.DEFAULT_VAULT_IDENTITY_LIST if not given else []
    elsewhere = constants.DEFAULT_VAULT_PASSWORD_FILE if not given and not file else None
    files = [str(one) for one in (file, elsewhere) if one]
    try:
        secrets = CLI.setup_vault_secrets(
            DataLoader(), list(known), files, ask_vault_pass=given == ASK, create_new_password=not encrypted
        )
    except AnsibleError as error:
        raise SecretsError(f"The vault's password cannot be had: {error}") from error
    return VaultLib(secrets), file, is_new


def make(inventory: Path, vault: VaultLib) -> tuple[list[File], list[Left]]:
    """Fill in all that can be made, and encrypt it; return files that were written, and what is left to the user."""
    files = [read(path, vault) for path in files_of(inventory)]
    left = [each for file in files for each in file.fill()]  # all of them, before any is written
    written = [file for file in files if file.changed or (file.holds_secrets and not file.encrypted and file.values())]
    for file in written:
        save(file, vault)
    return written, left


def tell_made(written: list[File], left: list[Left], password: Path | None, is_new: bool, inventory: Path) -> None:
    """Say what was done, and what is the user's to do."""
    for file in written:
        names = f", with new values ({LENGTH} letters and digits, {BITS} bits each) for:" if file.made else ""
        print(f"{shown(file.path)} is encrypted now{names}")
        for name in file.made:
            print(f"  {name}")
    if not written:
        print("All secrets were there already; nothing was changed.")
    if left:
        print("\nLeft to you, since only you can know them:")
        width = max(len(f"{shown(one.path)}:{one.line}") for one in left)
        for one in left:
            where = f"{shown(one.path)}:{one.line}"
            edit = " (ansible-vault edit)" if one.path in {file.path for file in written} else ""
            print(f"  {where:{width}}  {one.name}: {one.hint}{edit}")
    if is_new:
        print(
            f"\nThe vault's password was made and is in {password}, which only you can read. Keep a copy of it\n"
            "elsewhere: without it, the secrets are lost."
        )
    if password:
        print("\nSo that Ansible finds it, also in other shells once it stands in your ~/.profile:")
        print(f"  export ANSIBLE_VAULT_PASSWORD_FILE={password}")
    print(f"\nLook at the secrets with `ansible-vault view`. Then: ansible-playbook -i {shown(inventory)} site.yml")


def tell_rotated(outcome: Outcome, inventory: Path) -> None:
    """Say which secrets have new values, and what comes next."""
    for notice in outcome.notices:
        print(f"Note: {notice}")
    for name in outcome.rotated:
        print(f"{name} has a new value, and the old one is in {name}_previous")
    if outcome.under_way:
        print(f"\nNext: ansible-playbook -i {shown(inventory)} playbooks/rotate_secrets.yml")


def shown(path: Path) -> str:
    """Return a path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def main() -> int:
    """Read the command line, and do it; errors are told in a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inventory", type=Path)
    parser.add_argument("--password-file", default="", metavar="FILE|ask")
    parser.add_argument("--rotate", default="", metavar="WHAT")
    given = parser.parse_args()
    try:
        with locked(given.inventory):
            vault, password, is_new = vault_of(given.inventory, given.password_file)
            if FINISH in (names := listed(given.rotate)):  # hosts are asked first
                raise SecretsError(
                    "The playbook ends a rotation, since hosts may use the old secrets still: ansible-playbook "
                    f"-i {shown(given.inventory)} playbooks/rotate_secrets.yml -e rotate_secrets={FINISH}"
                )
            if names:
                tell_rotated(Rotation(given.inventory, vault).run(names), given.inventory)
            else:
                tell_made(*make(given.inventory, vault), password, is_new, given.inventory)
    except SecretsError as error:
        print(f"Nothing was changed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
