"""Make the secrets that an inventory still lacks, and its password if there is none. Controller only.

Both `make secrets` and `playbooks/secrets.yml` do so. Each takes the password's location in its own way, so their
callers add that to a PasswordError.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, get_file_vault_secret, is_encrypted

from .files import BITS, LENGTH, File, Left, PasswordError, SecretsError, files_of, folder_of, made, put, read, save

#: How to give a playbook run another password; appended to a PasswordError.
NAME_ANOTHER = "Name another file with the password: ANSIBLE_VAULT_PASSWORD_FILE=…, or type it: --ask-vault-pass"


@dataclass
class Outcome:
    """Files to write, or already written, and the placeholders that only the user can fill in."""

    written: list[File] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


@dataclass(frozen=True)
class Password:
    """A password's file, and whether this run made it."""

    path: Path
    is_new: bool = False


def with_secrets(sources: Iterable[str]) -> list[Path]:
    """Return a run's inventories that can have secrets, each folder once.

    If there are several, those without secrets of their own are mere lists of hosts, or programs.
    """
    found = {folder_of(path).resolve(): path for path in map(Path, sources) if path.exists()}
    return [path for path in found.values() if len(found) < 2 or has_secrets(path)]


def has_secrets(inventory: Path) -> bool:
    """Tell whether an inventory has a file of secrets beside its hosts."""
    folder = folder_of(inventory)
    return any(path.stem == "vault" for name in ("group_vars", "host_vars") for path in (folder / name).rglob("*"))


def encrypted_files(inventory: Path) -> list[Path]:
    """Return an inventory's encrypted files."""
    return [path for path in files_of(inventory) if is_encrypted(path.read_bytes())]


def default_password_file(inventory: Path) -> Path:
    """Return the default file for an inventory's password: in the user's own folder, named after the inventory."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "ansible-channels-stack" / f"{folder_of(inventory).resolve().name}.password"


def check_password_file(path: Path) -> None:
    """Raise SecretsError if others could read a password's file, or if it would be committed."""
    if path.is_file() and not os.access(path, os.X_OK) and path.stat().st_mode & 0o077:
        raise SecretsError(f"Others can read {path}, and with it all secrets: chmod 600 {path}")
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    git = shutil.which("git")
    if not git or os.access(path, os.X_OK):  # a program that fetches the password may be committed
        return

    def ask(*words: str) -> int:
        return subprocess.run([git, "-C", str(folder), *words], capture_output=True, check=False).returncode

    if ask("rev-parse", "--show-toplevel") == 0 and ask("check-ignore", "--quiet", str(path.absolute())) == 1:
        raise PasswordError(
            f"{path} is in a repository of git, which does not ignore it, so the password would be committed with what "
            "it protects"
        )


def loaded(path: Path, loader: DataLoader) -> list[tuple[str, VaultSecret]]:
    """Return the password in a file, as a DataLoader or a VaultLib wants it; raise SecretsError if there is none."""
    check_password_file(path)
    try:
        secret = get_file_vault_secret(filename=str(path), loader=loader)
        secret.load()
    except AnsibleError as error:
        raise SecretsError(f"The vault's password cannot be had: {error}") from error
    return [(constants.DEFAULT_VAULT_IDENTITY, secret)]


def ready_password_file(path: Path, encrypted: list[Path], *, dry: bool = False) -> Password:
    """Make sure that there is a file with a password, unless `dry`. Raise SecretsError if an old password is needed."""
    check_password_file(path)
    if path.exists():
        return Password(path)
    if encrypted:
        raise PasswordError(f"{encrypted[0]} is encrypted already, and there is no {path} with its password")
    if not dry:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise PasswordError(f"{path.parent} cannot be made: {error.strerror}") from error
        put(path, f"{made()}\n".encode())
    return Password(path, is_new=True)


def plan(inventory: Path, vault: VaultLib) -> Outcome:
    """Fill in everything that can be made, and return what to write, without writing it yet."""
    files = [read(path, vault) for path in files_of(inventory)]
    left = [each for file in files for each in file.fill()]
    written = [file for file in files if file.changed or (file.holds_secrets and not file.encrypted and file.values())]
    return Outcome(written, left)


def write(outcome: Outcome, vault: VaultLib) -> None:
    """Encrypt and write a plan's files."""
    for file in outcome.written:
        save(file, vault)


def told(outcome: Outcome, password: Password | None, then: str, *, dry: bool = False) -> list[str]:
    """Return lines that say what was done (in a dry run, what would be done) and what is left for the user.

    `password` is the password's file, if Ansible does not know it by itself; `then` is the next command.
    """
    lines = []
    for file in outcome.written:
        names = f", with new values ({LENGTH} letters and digits, {BITS} bits each) for:" if file.made else ""
        lines.append(f"{shown(file.path)} {'would be encrypted' if dry else 'is encrypted now'}{names}")
        lines += [f"  {name}" for name in file.made]
    if not outcome.written:
        lines.append("All secrets were there already; nothing was changed.")
    lines += told_left(outcome)
    if password and password.is_new and dry:
        lines += ["", f"The vault's password would be made, in {password.path}."]
    elif password and password.is_new:
        lines += [
            "",
            f"The vault's password was made and is in {password.path}, which only you can read. Keep a copy of it",
            "elsewhere: without it, the secrets are lost.",
        ]
    if password and not (password.is_new and dry):
        lines += [
            "",
            "So that Ansible finds it, also in other shells once it stands in your ~/.profile:",
            f"  export ANSIBLE_VAULT_PASSWORD_FILE={password.path}",
        ]
    return [*lines, "", f"Look at the secrets with `ansible-vault view`. Then: {then}"]


def told_left(outcome: Outcome) -> list[str]:
    """Return lines that name the remaining placeholders and where they are."""
    if not outcome.left:
        return []
    lines = ["", "Left to you, since only you can know them:"]
    width = max(len(f"{shown(one.path)}:{one.line}") for one in outcome.left)
    written = {file.path for file in outcome.written}
    for one in outcome.left:
        where = f"{shown(one.path)}:{one.line}"
        edit = " (ansible-vault edit)" if one.path in written else ""
        lines.append(f"  {where:{width}}  {one.name}: {one.hint}{edit}")
    return lines


def shown(path: Path) -> str:
    """Return the shortest way to type a path from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
