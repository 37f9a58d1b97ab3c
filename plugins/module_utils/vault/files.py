"""Secrets of an inventory: placeholders are filled in, and files with secrets are encrypted. Controller only.

A file is edited as a text, so that its comments and its layout stay. It is decrypted in memory and encrypted there
again by Ansible's own library; what is written to the disk is never plain. A file is replaced in one step.
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
#: What a placeholder says where any value will do that nobody can guess. All others ask for something that exists.
RANDOM = re.compile(r"an? random string(?: of (\d+) characters)?", re.IGNORECASE)
#: Characters that mean nothing in YAML, in sh, in an address, or in a configuration file.
ALPHABET = string.ascii_letters + string.digits
#: Characters: what Django asks of a SECRET_KEY (security.W009), and more than any key of 256 bits needs.
LENGTH = 50
BITS = int(LENGTH * math.log2(len(ALPHABET)))
SUFFIXES = {"", ".yml", ".yaml", ".json"}  # of files that Ansible reads variables from
ON_ONE_LINE = {None, "'", '"'}  # styles of a scalar


class SecretsError(Exception):
    """Secrets cannot be made; the text says why, and what to do."""


class PasswordError(SecretsError):
    """The vault needs another password, or its password another file; the caller adds how its user names one."""


@dataclass(frozen=True)
class Value:
    """A text in a YAML file: the keys that lead to it, what it says, and where it stands in the file."""

    keys: tuple[str, ...]
    text: str
    start: int
    end: int
    line: int
    style: str | None

    @property
    def name(self) -> str:
        """The keys, as a person writes them."""
        return ".".join(self.keys)


@dataclass(frozen=True)
class Left:
    """A placeholder that its user fills in: in which file and line, for which variable, and what it asks for."""

    path: Path
    line: int
    name: str
    hint: str


@dataclass
class File:
    """A file of variables: its text without encryption, and whether and under which name it is encrypted."""

    path: Path
    text: str
    encrypted: bool = False
    vault_id: str | None = None
    made: list[str] = field(default_factory=list)
    changed: bool = False

    @property
    def holds_secrets(self) -> bool:
        """Whether the file is for secrets: one that is encrypted, or that is called vault, or is in such a folder."""
        return self.encrypted or "vault" in (self.path.stem, self.path.parent.name)

    def values(self) -> list[Value]:
        """Return all texts in the file; raise SecretsError where it is no YAML."""
        try:
            root = yaml.compose(self.text)
        except yaml.YAMLError as error:  # whose text shows the line, and so what is secret
            mark = getattr(error, "problem_mark", None)
            where = f"{self.path}:{mark.line + 1}" if mark else str(self.path)
            raise SecretsError(
                f"{where} is no YAML: {getattr(error, 'problem', None) or 'it cannot be read'}"
            ) from None
        return list(texts(root, ())) if root else []

    def replace(self, value: Value, text: str) -> None:
        """Have another text in the place of one."""
        self.text = self.text[: value.start] + text + self.text[value.end :]
        self.changed = True

    def fill(self) -> list[Left]:
        """Make a value for each placeholder that any will do for; return the others."""
        left, waiting = [], []
        for value in self.values():
            if not (found := PLACEHOLDER.search(value.text)):
                continue
            whole = PLACEHOLDER.fullmatch(value.text.strip()) and value.style in ON_ONE_LINE
            if self.holds_secrets and whole and (asked := RANDOM.match(found[1])):
                waiting.append((value, max(LENGTH, int(asked[1] or 0))))
            else:
                left.append(Left(self.path, value.line, value.name, found[1]))
        for value, length in reversed(waiting):  # so that the places of those before stay what they are
            self.replace(value, f'"{made(length)}"')
        self.made += [value.name for value, _ in waiting]
        return left


def made(length: int = LENGTH) -> str:
    """Return a new secret."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def texts(node: yaml.Node, keys: tuple[str, ...]) -> Iterator[Value]:
    """Give all texts below a node of YAML; of one that is used again by its anchor, only the first place."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from texts(value, (*keys, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from texts(item, keys)
    elif isinstance(node, yaml.ScalarNode):
        start, end = node.start_mark, node.end_mark
        yield Value(keys, node.value, start.index, end.index, start.line + 1, node.style)


def folder_of(inventory: Path) -> Path:
    """Return the folder of an inventory, which may be named by its file of hosts; raise SecretsError where none is."""
    folder = inventory if inventory.is_dir() else inventory.parent
    if not inventory.exists():
        raise SecretsError(f"There is no inventory {inventory}. Name its folder: INVENTORY=inventories/production")
    return folder


def files_of(inventory: Path) -> list[Path]:
    """Return the files of an inventory that may hold variables, in an order that stays."""
    folder = folder_of(inventory)
    found = [path for name in ("group_vars", "host_vars") for path in (folder / name).rglob("*")]
    found += [path for path in folder.iterdir() if path.suffix in (".yml", ".yaml")]
    return sorted(
        path for path in found if path.is_file() and path.suffix in SUFFIXES and not path.name.startswith(".")
    )


def read(path: Path, vault: VaultLib) -> File:
    """Read a file, decrypted where it is encrypted; raise SecretsError where that is not possible."""
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
    """Encrypt a file, and have it in its place: at any moment, what is there is the old or the new one, whole."""
    content = vault.encrypt(file.text, vault_id=file.vault_id)
    if vault.decrypt(content).decode() != file.text:  # never seen; what it would cost is all secrets
        raise SecretsError(f"{file.path} was left as it is: what was encrypted cannot be read again")
    put(Path(os.path.realpath(file.path)), content)


def put(path: Path, content: bytes) -> None:
    """Write a file in one step; a new one is its owner's alone, one that was there keeps its owner and its mode.

    What a killed run may leave beside it is no file of variables, since its name begins with a dot, and is overwritten
    by the next.
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
    """Keep others from editing an inventory's secrets meanwhile."""
    handle = os.open(folder_of(inventory), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
