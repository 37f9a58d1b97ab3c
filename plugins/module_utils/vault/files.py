"""An inventory's secrets: fill in placeholders, and encrypt files that hold secrets. Controller only.

A file is edited as text, so its comments and layout stay. Ansible's own library decrypts it and encrypts it again in
memory; nothing is written to the disk in plain text. A file is replaced in one step.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import re
import secrets
import shutil
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, is_encrypted, parse_vaulttext_envelope

PLACEHOLDER = re.compile(r"!!!SET\s*(.*?)\s*!!!", re.DOTALL)
#: What a placeholder says if any value that nobody can guess will do. All others ask for something that exists.
RANDOM = re.compile(r"an? random string(?: of (\d+) characters)?", re.IGNORECASE)
# The name that aliases use a value by; it is not part of the value.
ANCHOR = re.compile(r"&\S+\s+")
#: Characters that mean nothing in YAML, in sh, in an address, or in a configuration file.
ALPHABET = string.ascii_letters + string.digits
#: Characters: what Django wants for a SECRET_KEY (security.W009), and more than a 256-bit key needs.
LENGTH = 50
BITS = int(LENGTH * math.log2(len(ALPHABET)))
SUFFIXES = {"", ".yml", ".yaml", ".json"}  # of files from which Ansible reads variables
ON_ONE_LINE = {None, "'", '"'}  # styles of a scalar


class SecretsError(Exception):
    """Secrets cannot be made; the text says why, and what to do."""


class PasswordError(SecretsError):
    """The vault needs another password, or the password another file; the caller adds how the user names one."""


@dataclass(frozen=True)
class Value:
    """A text in a YAML file: the keys that lead to it, its content, and its position in the file."""

    keys: tuple[str, ...]
    text: str
    start: int
    end: int
    line: int
    style: str | None

    @property
    def name(self) -> str:
        """The keys as people write them."""
        return ".".join(self.keys)


@dataclass(frozen=True)
class Left:
    """A placeholder for the user to fill in: its file and line, its variable, and what it asks for."""

    path: Path
    line: int
    name: str
    hint: str


@dataclass
class File:
    """A file of variables: its decrypted text, whether it is encrypted, and with which vault ID."""

    path: Path
    text: str
    encrypted: bool = False
    vault_id: str | None = None
    made: list[str] = field(default_factory=list)
    changed: bool = False

    @property
    def holds_secrets(self) -> bool:
        """Whether the file is for secrets: it is encrypted, or is called vault, or is in a folder of that name."""
        return self.encrypted or "vault" in (self.path.stem, self.path.parent.name)

    def values(self) -> list[Value]:
        """Return all texts in the file; raise SecretsError if it is not YAML."""
        try:
            root = yaml.compose(self.text)
        except yaml.YAMLError as error:  # its text shows the line, and so a secret
            mark = getattr(error, "problem_mark", None)
            where = f"{self.path}:{mark.line + 1}" if mark else str(self.path)
            raise SecretsError(
                f"{where} is no YAML: {getattr(error, 'problem', None) or 'it cannot be read'}"
            ) from None
        return list(texts(root, (), self.text, set())) if root else []

    def replace(self, value: Value, text: str) -> None:
        """Replace a text with another one."""
        self.text = self.text[: value.start] + text + self.text[value.end :]
        self.changed = True

    def fill(self) -> list[Left]:
        """Fill in each placeholder for which any value will do; return the others."""
        left, waiting = [], []
        for value in self.values():
            if not (found := PLACEHOLDER.search(value.text)):
                continue
            whole = PLACEHOLDER.fullmatch(value.text.strip()) and value.style in ON_ONE_LINE
            if self.holds_secrets and whole and (asked := RANDOM.match(found[1])):
                waiting.append((value, max(LENGTH, int(asked[1] or 0))))
            else:
                left.append(Left(self.path, value.line, value.name, found[1]))
        for value, length in reversed(waiting):  # so that earlier positions stay valid
            self.replace(value, f'"{made(length)}"')
        self.made += [value.name for value, _ in waiting]
        return left


def made(length: int = LENGTH) -> str:
    """Return a new secret."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def texts(node: yaml.Node, keys: tuple[str, ...], whole: str, seen: set[int]) -> Iterator[Value]:
    """Give all texts below a node of the YAML in `whole`. One that an alias uses again is given once, at its anchor."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from texts(value, (*keys, str(key.value)), whole, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from texts(item, keys, whole, seen)
    elif isinstance(node, yaml.ScalarNode):
        anchor = ANCHOR.match(whole, node.start_mark.index)
        start = anchor.end() if anchor else node.start_mark.index
        yield Value(keys, node.value, start, node.end_mark.index, node.start_mark.line + 1, node.style)


def folder_of(inventory: Path) -> Path:
    """Return an inventory's folder; its file of hosts may stand for it. Raise SecretsError if there is none."""
    folder = inventory if inventory.is_dir() else inventory.parent
    if not inventory.exists():
        raise SecretsError(f"There is no inventory {inventory}. Name its folder: INVENTORY=inventories/production")
    return folder


def files_of(inventory: Path) -> list[Path]:
    """Return an inventory's files that may hold variables, always in the same order."""
    folder = folder_of(inventory)
    found = [path for name in ("group_vars", "host_vars") for path in (folder / name).rglob("*")]
    found += [path for path in folder.iterdir() if path.suffix in (".yml", ".yaml")]
    return sorted(
        path for path in found if path.is_file() and path.suffix in SUFFIXES and not path.name.startswith(".")
    )


def read(path: Path, vault: VaultLib) -> File:
    """Read a file, and decrypt it if it is encrypted; raise SecretsError if that fails."""
    try:
        content = path.read_bytes()
        if not is_encrypted(content):
            return File(path, content.decode())
        vault_id = parse_vaulttext_envelope(content)[3]
        text = vault.decrypt(content).decode()
    except UnicodeDecodeError:
        raise SecretsError(f"{path} is no text in UTF-8") from None
    except OSError as error:
        raise SecretsError(f"{path} cannot be read: {error.strerror}") from error
    except AnsibleError:
        raise PasswordError(f"{path} is encrypted, and not with this password") from None
    return File(path, text, encrypted=True, vault_id=None if vault_id == "default" else vault_id)


def save(file: File, vault: VaultLib) -> None:
    """Encrypt a file and put it in its place; at any moment, the complete old or new one is there."""
    content = vault.encrypt(file.text, vault_id=file.vault_id)
    if vault.decrypt(content).decode() != file.text:  # never seen to happen, but it would cost all secrets
        raise SecretsError(f"{file.path} was left as it is: what was encrypted cannot be read again")
    put(Path(os.path.realpath(file.path)), content)


def put(path: Path, content: bytes) -> None:
    """Write a file in one step. Only its owner can read a new one; an existing one keeps its owner and mode.

    A killed run may leave a file beside it. Ansible does not read that for variables, since its name begins with a
    dot, and the next run overwrites it.
    """
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            if path.exists():
                shutil.copymode(path, part)
                shutil.chown(part, path.stat().st_uid, path.stat().st_gid)
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SecretsError(f"{path} cannot be written: {error.strerror}") from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def locked(inventory: Path) -> Iterator[None]:
    """Keep other runs from editing an inventory's secrets at the same time."""
    handle = os.open(folder_of(inventory), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
