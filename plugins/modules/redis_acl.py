#!/usr/bin/python
"""Ansible module: the users of a Redis that several projects may share."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_acl
short_description: Manages a project's users in Redis's ACL file and in the running Redis
description:
  - Each project has a file of its own users in a folder; the ACL file is made of all of them, and of a user that the
    module itself logs in as. Its password is made on the host, and only root can read it.
  - A Redis that runs is told of users that differ, so that nobody else's connection is cut by a restart. It is asked
    each time, and so a run that was killed is mended by the next.
  - Passwords and users that the project has had are kept beside those that it is to have, until O(used) or O(forget)
    says otherwise. A release that serves needs them, whatever becomes of the one that is to come.
  - If Redis cannot be updated, RV(applied) is false, and it must be restarted if it is older than the file.
options:
  project: {description: Name of the project., type: str, required: true}
  users:
    description: The project's users, as lines of an ACL file. Lines that begin with C(#) are not for Redis.
    type: str
    required: true
  folder: {description: Folder with a file for each project., type: path, default: /etc/redis/users.d}
  file: {description: The ACL file., type: path, default: /etc/redis/users.acl}
  password_file:
    description: File with the module's own password. A file with its user is written next to it.
    type: path
    default: /etc/redis/operator.password
  address: {description: Address that Redis listens on., type: str, default: 127.0.0.1}
  port: {description: Port that Redis listens on., type: int, default: 6379}
  certificate:
    description:
      - Folder with C(fullchain.pem) and C(privkey.pem), if that port uses TLS. A Redis that serves another certificate
        rereads them.
    type: path
    default: ""
  daemon:
    description: Whose users they are. A Sentinel cannot be made to show another certificate; it is restarted.
    type: str
    choices: [redis, sentinel]
    default: redis
  owner: {description: Owner and group of the files., type: str, default: redis}
  forget: {description: Keeps none of the project's earlier users., type: bool, default: false}
  used:
    description: Hashes of passwords that are still in use, in hexadecimal digits. If given, no others are kept.
    type: list
    elements: str
  state: {description: Whether the project has users., type: str, choices: [present, absent], default: present}
attributes:
  check_mode: {description: Tells whether files would change., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Declare the users of Redis
  channels.stack.redis_acl:
    project: dashboard
    users: "{{ lookup('ansible.builtin.template', 'users.acl.j2') }}"
"""

RETURN = r"""
applied:
  description: Whether the running Redis has the users of the file.
  type: bool
  returned: always
kept:
  description: Names of users that still have earlier passwords, or that are no longer declared.
  type: list
  elements: str
  returned: always
users:
  description: Names of users that were changed in the running Redis.
  type: list
  elements: str
  returned: always
"""

import grp
import hashlib
import os
import pwd
import secrets
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from ansible.module_utils.basic import AnsibleModule

OPERATOR = "acl-operator"
# Whoever can declare users can do everything anyway; with TLS, the operator also makes Redis read a new certificate.
TLS_RULES = " +config|set"
OPERATOR_RULES = "resetchannels -@all +acl|list +acl|setuser +acl|deluser"
WAIT_SECONDS = 5


class UsersError(Exception):
    """Users cannot be set up as declared; the text says why."""


class RedisError(Exception):
    """Redis refused a command; the text is its answer."""


class Connection:
    """A connection to Redis, in its protocol (RESP 2)."""

    def __init__(self, address: str, port: int, tls: bool = False) -> None:
        self.socket = socket.create_connection((address, port), WAIT_SECONDS)
        if tls:
            # This is Redis on this very host, and its certificate may be the one to replace: accept any.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.stream: BinaryIO = self.socket.makefile("rb")

    def close(self) -> None:
        """Close it."""
        self.stream.close()
        self.socket.close()

    def certificate(self) -> bytes:
        """Return the certificate that Redis shows, in DER."""
        return (self.socket.getpeercert(binary_form=True) if isinstance(self.socket, ssl.SSLSocket) else None) or b""

    def ask(self, *words: str) -> Any:
        """Send a command and return its answer; raise RedisError if that is an error, OSError if none comes."""
        parts = [word.encode() for word in words]
        head = b"*%d\r\n" % len(parts)
        self.socket.sendall(head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self.answer()

    def answer(self) -> Any:
        """Read one answer."""
        line = self.stream.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:].decode()
        if kind == b"-":
            raise RedisError(rest)
        if kind == b"$":
            return self.stream.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind not in (b"+", b":"):
            raise OSError("Redis ended the connection")
        return rest


def user_lines(text: str) -> dict[str, str]:
    """Return a text's users by name, each with its rules; raise UsersError for a line that is not a user."""
    found: dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        name, _, rules = rest.strip().partition(" ")
        if word != "user" or not name:
            raise UsersError("a line of the ACL file does not begin with `user NAME`")
        if name in found:
            raise UsersError(f"user {name} is declared twice")
        found[name] = rules.strip()
    return found


def with_former(declared: str, former: str, used: set[str] | None) -> tuple[str, list[str]]:
    """Return the text of a project's users with their former passwords added, and the names of users that got some.

    `used` holds the hashes to keep; None keeps all. A user that has no password, before or now, keeps none.
    """
    lines, kept = declared.splitlines(), []
    try:
        before = user_lines(former)
    except UsersError:  # somebody edited it; it is written again
        return declared, []
    for number, line in enumerate(lines):
        for name, rules in user_lines(line).items():
            words, had = rules.split(), before.pop(name, "").split()
            hashes = [word for word in words if word.startswith("#")]
            more = [word for word in had if word.startswith("#") and word not in hashes]
            more = [word for word in more if used is None or word[1:] in used]
            if more and hashes:
                last = max(place for place, word in enumerate(words) if word in hashes) + 1
                lines[number] = " ".join(["user", name, *words[:last], *more, *words[last:]])
                kept.append(name)
    for name, rules in before.items():
        words = [word for word in rules.split() if not word.startswith("#") or used is None or word[1:] in used]
        if any(word.startswith("#") for word in words):
            lines.append(" ".join(["user", name, *words]))
            kept.append(name)
    return "".join(f"{line}\n" for line in lines) if kept else declared, sorted(kept)


def assembled(texts: dict[str, str], operator: str) -> dict[str, str]:
    """Return all users of Redis, from all projects' texts; raise UsersError if two projects have the same user."""
    users, owners = {"default": "off", OPERATOR: operator}, {OPERATOR: "the bundle itself"}
    for project, text in sorted(texts.items()):
        for name, rules in user_lines(text).items():
            if name in owners:
                raise UsersError(
                    f"project {project} declares the user {name}, who is one of {owners[name]}. Give each project a "
                    "redis_user and a redis_prefix of its own"
                )
            users[name], owners[name] = rules, project
    return users


def tell(connection: Connection, password: str, users: dict[str, str]) -> list[str]:
    """Give a Redis exactly these users; return the names of those that were different."""
    connection.ask("AUTH", OPERATOR, password)
    before = listed(connection)
    for name, rules in users.items():
        if name != OPERATOR:
            try:
                connection.ask("ACL", "SETUSER", name, "reset", *rules.split())
            except RedisError as error:
                raise UsersError(f"Redis refuses the rules of user {name}: {error}") from error
    gone = sorted(set(before) - set(users))
    if gone:
        connection.ask("ACL", "DELUSER", *gone)
    after = listed(connection)
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def serve(connection: Connection, folder: Path) -> bool:
    """Make a Redis show the certificate in a folder, without dropping connections; return whether it had another."""
    chain, key = folder / "fullchain.pem", folder / "privkey.pem"
    site = chain.read_text().partition("-----END CERTIFICATE-----")
    if connection.certificate() == ssl.PEM_cert_to_DER_cert("".join(site[:2])):
        return False
    try:
        connection.ask("CONFIG", "SET", "tls-cert-file", str(chain), "tls-key-file", str(key))
    except RedisError as error:
        if str(error).startswith("NOPERM"):  # it still has the old rules, and is about to be restarted
            return False
        raise UsersError(f"Redis cannot serve the certificate in {folder}: {error}") from error
    return True


def listed(connection: Connection) -> dict[str, list[str]]:
    """Return a Redis's users by name, each with its rules sorted.

    Redis lists commands in the order of an internal table. It does not show a default flag for users that it has
    read from a file.
    """
    users = user_lines("\n".join(connection.ask("ACL", "LIST")))
    return {name: sorted(word for word in rules.split() if word != "sanitize-payload") for name, rules in users.items()}


class Users:
    """The files that hold users."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.folder, self.file = Path(module.params["folder"]), Path(module.params["file"])
        self.password_file = Path(module.params["password_file"])
        self.changed: list[str] = []
        self.mine = self.folder / f"{module.params['project']}.acl"
        self.users = module.params["users"]
        self.kept: list[str] = []
        if module.params["state"] == "present" and not module.params["forget"] and self.mine.is_file():
            used = module.params["used"]
            self.users, self.kept = with_former(self.users, self.mine.read_text(), None if used is None else set(used))

    def password(self) -> str:
        """Return the password of the module's own user; make one if there is none."""
        try:
            found = self.password_file.read_text().strip()
        except FileNotFoundError:
            found = ""
        if len(found) < 32:
            found = secrets.token_hex(32)
            self.write(self.password_file, f"{found}\n", private=True)
        self.module.no_log_values.add(found)
        return found

    def texts(self) -> dict[str, str]:
        """Return the texts of all projects as they should be."""
        there = sorted(self.folder.glob("*.acl")) if self.folder.is_dir() else []
        texts = {path.stem: path.read_text() for path in there}
        texts.pop(self.module.params["project"], None)
        if self.module.params["state"] == "present":
            texts[self.module.params["project"]] = self.users
        return texts

    def write(self, path: Path, text: str, *, private: bool = False) -> None:
        """Give a file its text, in one step, and its owner; note whether that is a change."""
        differs = not path.is_file() or path.read_text() != text
        if self.module.check_mode:
            self.changed += [str(path)] if differs else []
            return
        if differs:
            handle, part = tempfile.mkstemp(dir=self.module.tmpdir)
            with os.fdopen(handle, "w") as file:
                file.write(text)
            mask = os.umask(0o077)  # a new file is secret, and gets its mode a moment later
            try:
                self.module.atomic_move(part, str(path))
            finally:
                os.umask(mask)
        mode, owner = ("0600", None) if private else ("0640", self.module.params["owner"])
        if self.own(path, owner, mode) or differs:
            self.changed.append(str(path))

    def own(self, path: Path, owner: str | None, mode: str) -> bool:
        """Give a path an owner, the owner's group, and a mode; return whether that is a change."""
        changed = bool(self.module.set_mode_if_different(str(path), mode, False))
        if owner:
            user, group = pwd.getpwnam(owner), grp.getgrgid(pwd.getpwnam(owner).pw_gid)
            changed |= bool(self.module.set_owner_if_different(str(path), str(user.pw_uid), False))
            changed |= bool(self.module.set_group_if_different(str(path), str(group.gr_gid), False))
        return changed

    def settle(self) -> tuple[bool, list[str]]:
        """Bring the files and the running Redis in line; return whether Redis was reached, and which users differed.

        Redis hears of users before the ACL file is written: a file that it refuses would keep it from starting again.
        """
        if not self.folder.is_dir():
            self.changed.append(str(self.folder))
            if not self.module.check_mode:
                self.folder.mkdir(parents=True)
                self.own(self.folder, self.module.params["owner"], "0750")
        password = self.password()
        shows = self.module.params["certificate"] and self.module.params["daemon"] == "redis"
        rules = OPERATOR_RULES + (TLS_RULES if shows else "")
        operator = f"on #{hashlib.sha256(password.encode()).hexdigest()} {rules}"
        texts = self.texts()
        users = assembled(texts, operator)
        applied, told = (False, []) if self.module.check_mode else self.tell(password, users)
        self.write(self.password_file.with_suffix(".acl"), f"user {OPERATOR} {operator}\n")
        if self.module.params["state"] == "present":
            self.write(self.mine, self.users)
        elif self.mine.exists():
            self.changed.append(str(self.mine))
            if not self.module.check_mode:
                self.mine.unlink()
        self.write(self.file, "".join(f"user {name} {rules}\n" for name, rules in users.items()))
        return applied, told

    def tell(self, password: str, users: dict[str, str]) -> tuple[bool, list[str]]:
        """Give the users to a running Redis; return whether that was possible, and which ones were different."""
        try:
            certificate = self.module.params["certificate"]
            connection = Connection(self.module.params["address"], self.module.params["port"], bool(certificate))
        except OSError:
            return False, []
        try:
            told = tell(connection, password, users)
            if certificate and self.module.params["daemon"] == "redis" and serve(connection, Path(certificate)):
                self.changed.append(certificate)
            return True, told
        except (OSError, RedisError):  # it does not know the password yet, or has no free connection
            return False, []
        finally:
            connection.close()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "users": {"type": "str", "required": True},
            "folder": {"type": "path", "default": "/etc/redis/users.d"},
            "file": {"type": "path", "default": "/etc/redis/users.acl"},
            "password_file": {"type": "path", "default": "/etc/redis/operator.password", "no_log": False},
            "address": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 6379},
            "certificate": {"type": "path", "default": ""},
            "daemon": {"type": "str", "choices": ["redis", "sentinel"], "default": "redis"},
            "owner": {"type": "str", "default": "redis"},
            "forget": {"type": "bool", "default": False},
            "used": {"type": "list", "elements": "str", "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
        no_log=True,
    )
    try:
        users = Users(module)
        applied, told = users.settle()
    except (UsersError, OSError) as error:
        module.fail_json(msg=f"Users of Redis were left as they are: {error}")
    changed = bool(users.changed or told)
    module.exit_json(changed=changed, paths=users.changed, applied=applied, users=told, kept=users.kept)


if __name__ == "__main__":
    main()
