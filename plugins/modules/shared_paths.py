#!/usr/bin/python
"""Ansible module: a release's files and folders that outlive it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: shared_paths
short_description: Moves files and folders of a release to a folder that all releases share
description:
  - Each path of the release's code becomes a link to the same path below the shared folder.
  - Where the shared folder lacks one that the release ships, the shipped one is copied there. Where it has one, that
    stays, and what the release ships is set aside as C(<path>.shipped), with a notice, unless it holds nothing else.
  - Copies are writable for the user, and closed to everybody else.
  - Everything below the shared folder is done as its user, who owns it. Root owns the code.
  - If a call is killed at any moment, the next call continues where it stopped.
options:
  code: {description: Folder of the release's code., type: path, required: true}
  shared: {description: Folder that releases share., type: path, required: true}
  user: {description: Name of the user to whom the shared folder belongs., type: str, required: true}
  paths:
    description: Paths relative to both folders. One that ends in a slash is a folder.
    type: list
    elements: str
    required: true
attributes:
  check_mode: {description: Tells what would change., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Let the database and uploads outlive the release
  channels.stack.shared_paths:
    code: /srv/dashboard/releases/0123456789ab/backend
    shared: /srv/dashboard/shared
    user: dashboard
    paths: [db.sqlite3, media/]
"""

RETURN = r"""
paths:
  description: Paths of the code that became links, or would in check mode.
  type: list
  elements: str
  returned: always
notices:
  description: Notices, such as that a release ships a different file than the shared one.
  type: list
  elements: str
  returned: always
"""

import grp
import json
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.basic import AnsibleModule

# Files that SQLite leaves beside a database that was not closed, and that belong to it.
SIDECARS = ("-wal", "-journal")
SEVERAL = 5  # how many names a notice lists


class PathError(Exception):
    """A path cannot be shared; the text says why and what to do."""


class SharedPath:
    """One path of a release: `here` in the code, `there` where all releases share it."""

    def __init__(self, code: Path, shared: Path, name: str, user: str) -> None:
        self.code, self.name, self.user = code, name.rstrip("/"), user
        self.is_folder = name.endswith("/")
        self.here, self.there = code / self.name, shared / self.name
        self.aside = self.here.with_name(f"{self.here.name}.shipped")

    @property
    def linked(self) -> bool:
        """Whether the code already has the link."""
        return self.here.is_symlink() and os.readlink(self.here) == str(self.there)

    @property
    def shipped(self) -> bool:
        """Whether the release brings something of its own at this path."""
        return os.path.lexists(self.here) and not self.linked

    def settle(self) -> None:
        """Share the path. May raise PathError or OSError."""
        self.check()
        self.here.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(self.there):
            self.begin()
        # If a link leads to a file that does not exist yet, the project makes it.
        if self.there.exists() and self.as_user("test", "-w", self.there, check=False):
            raise PathError(
                f"{self.there} is not writable for {self.user}. On the host: chown -R {self.user}: {self.there}"
            )
        gone = self.here.with_name(f".{self.here.name}.gone")
        remove(gone)  # a killed run may have left it
        if self.shipped:
            self.clear(gone)
        if not self.linked:
            part = self.here.with_name(f".{self.here.name}.part")
            part.unlink(missing_ok=True)
            part.symlink_to(self.there)
            part.replace(self.here)

    def check(self) -> None:
        """Raise PathError if what is there is not what was declared."""
        root, parent = os.path.realpath(self.code), os.path.realpath(self.here.parent)
        if os.path.commonpath([root, parent]) != root:
            raise PathError(f"{self.name} leaves the project's folder: a link in it leads to {parent}")
        for path in (self.here, self.there):
            shipped_link = path == self.here and path.is_symlink()  # it is set aside, whatever it leads to
            if path.exists() and not shipped_link and path.is_dir() != self.is_folder:
                kind, wanted = ("a file", self.name) if self.is_folder else ("a folder", f"{self.name}/")
                raise PathError(f"{path} is {kind}. Write {wanted} in release_shared_paths")

    def begin(self) -> None:
        """Make the shared one: from what the release ships, else an empty folder, else just the folder for a file."""
        self.as_user("mkdir", "--parents", "--", self.there.parent)
        if self.shipped and not self.here.is_symlink():
            names = [] if self.is_folder else [self.here.name + end for end in SIDECARS]
            beside = [one for one in map(self.here.with_name, names) if one.is_file()]
            for stale in set(names) - {one.name for one in beside}:
                if os.path.lexists(left := self.there.with_name(stale)):
                    raise PathError(
                        f"{left} belongs to a {self.name} that is not there, and would be written into the one that "
                        f"the release ships. On the host, put the old {self.name} back, or remove {left}"
                    )
            for source in (*beside, self.here):  # the last one shows that all are there
                target = self.there.with_name(source.name)
                part = target.with_name(f".{target.name}.part")
                self.as_user("rm", "--recursive", "--force", "--", part)
                self.as_user("cp", "--recursive", "--no-dereference", "--preserve=timestamps", "--", source, part)
                self.as_user("chmod", "--recursive", "u+rwX", "--", part)  # packed files may deny access to their owner
                self.as_user("mv", "--no-target-directory", "--", part, target)
        elif self.is_folder:
            self.as_user("mkdir", "--", self.there)

    def as_user(self, *words: str | Path, check: bool = True) -> int:
        """Run a command as the shared folder's user, since root must not follow their links; return its status."""
        done = subprocess.run(
            [str(word) for word in words], cwd="/", umask=0o027, capture_output=True, text=True, check=False,
            **self.identity,
        )  # fmt: skip
        if check and done.returncode:
            raise PathError(f"{self.name} cannot be shared: {done.stderr.strip()}")
        return done.returncode

    @property
    def identity(self) -> dict[str, Any]:
        """The shared folder's user, in subprocess's terms; empty if that is the caller."""
        account = pwd.getpwnam(self.user)
        if account.pw_uid == os.geteuid():
            return {}
        groups = [group.gr_gid for group in grp.getgrall() if self.user in group.gr_mem]
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}

    def clear(self, gone: Path) -> None:
        """Move what the release ships out of the way: delete it if the shared one has all of it, else rename it."""
        if not self.here.is_symlink() and not self.lacking(self.here):
            self.here.rename(gone)
            remove(gone)
        else:
            remove(self.aside)
            self.here.rename(self.aside)

    def lacking(self, shipped: Path) -> list[str]:
        """Return the shipped files that the shared path lacks, or has with different content.

        This runs as the user: root would open whatever a link or a pipe there leads to.
        """
        return in_process_of(self.identity, lambda: self._lacking(shipped))

    def _lacking(self, shipped: Path) -> list[str]:
        """Do the work of `lacking`, as the caller."""
        if not shipped.is_dir():
            return [] if alike(shipped, self.there) else [self.name]
        names = [Path(folder, name).relative_to(shipped) for folder, _, files in os.walk(shipped) for name in files]
        return sorted(str(name) for name in names if not alike(shipped / name, self.there / name))

    def notice(self) -> str:
        """What the user should know, usually nothing. Read from the disk, so the run after a killed one reports it."""
        if not os.path.lexists(self.aside):
            return ""
        kept = f"{self.there} stays as it is. What the release ships is kept as {self.aside}"
        if self.aside.is_symlink():
            return f"The release ships {self.name} as a link to {os.readlink(self.aside)}. {kept}."
        lacking = self.lacking(self.aside)
        more = f" and {len(lacking) - SEVERAL} more" if len(lacking) > SEVERAL else ""
        which = f"; there differs or is missing: {', '.join(lacking[:SEVERAL])}{more}" if self.is_folder else ""
        return f"The release ships another {self.name} than the one that releases share. {kept}{which}."


def in_process_of(identity: dict[str, Any], look: Callable[[], list[str]]) -> list[str]:
    """Return what a function returns in a process of another user; raise PathError if it fails."""
    if not identity:
        return look()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(identity["extra_groups"])
            os.setgid(identity["group"])
            os.setuid(identity["user"])
            with os.fdopen(writing, "w") as answer:
                json.dump(look(), answer)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    if os.waitpid(child, 0)[1]:
        raise PathError("what the release ships cannot be compared with what is shared")
    return [str(name) for name in json.loads(text)]


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's content, piece by piece."""
    return iter(lambda: file.read(1 << 20), b"")


def alike(one: Path, other: Path) -> bool:
    """Whether two files visibly have the same content. This does not wait for a pipe in place of a shared file."""
    try:
        with open(one, "rb") as first, open(os.open(other, os.O_RDONLY | os.O_NONBLOCK), "rb") as second:
            if not all(stat.S_ISREG(os.fstat(file.fileno()).st_mode) for file in (first, second)):
                return False
            return all(left == right for left, right in zip_longest(pieces(first), pieces(second)))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
        return False


def remove(path: Path) -> None:
    """Remove what is at a path, be it a file, a link, a folder or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "code": {"type": "path", "required": True},
            "shared": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "paths": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    code, shared, user = Path(module.params["code"]), Path(module.params["shared"]), module.params["user"]
    changed, notices = [], []
    for name in module.params["paths"]:
        path = SharedPath(code, shared, name, user)
        if not path.linked:
            changed.append(str(path.here))
        try:
            if not module.check_mode:
                path.settle()
            notices.append(path.notice())
        except (PathError, OSError) as error:
            module.fail_json(msg=f"release_shared_paths: {error}", paths=changed)
    module.exit_json(changed=bool(changed), paths=changed, notices=[notice for notice in notices if notice])


if __name__ == "__main__":
    main()
