"""The project's commands, run for a deploy as its user, and what root does with their answers.

This file checks what the project says: root links and removes only inside the release, and follows no link on the way.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .locks import Refused
from .prepare import is_in, static_fault

PREPARE = Path(__file__).resolve().with_name("prepare.py")
ANSWER_BYTES = 65536  # more than any answer has
OUTPUT_BYTES = 65536  # only the end of what a project prints is kept


class Failed(Exception):
    """A command of the project failed; the text says how."""


class Project:
    """The project as one generation of it runs."""

    def __init__(self, home: Path, described: dict[str, Any]) -> None:
        """Take the project's folder, and the generation's description."""
        self.home, self.user, self.shared_paths = home, described["user"], described.get("shared_paths", [])
        self.within = home / "generations" / described["generation"] / "within"
        self.code = Path(os.readlink(self.within.with_name("code")))
        self.release = home / "releases" / described["release"]
        self.static = home / "static" / described["release"]

    @property
    def identity(self) -> dict[str, Any]:
        """The project's user, in the form that subprocess takes."""
        account = pwd.getpwnam(self.user)
        if account.pw_uid == os.geteuid():
            return {}
        groups = [group.gr_gid for group in grp.getgrall() if self.user in group.gr_mem]
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}

    def run(self, command: list[str], *inherited: int) -> int:
        """Run a command in the generation's environment; return its status, and pass on the end of its output.

        This doesn't wait for what it leaves running in the background. Processes that inherit the work lock hold it.
        """
        process = subprocess.Popen(
            [str(self.within), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            pass_fds=inherited, cwd="/", **self.identity,
        )  # fmt: skip
        assert process.stdout
        output, stream = bytearray(), process.stdout.fileno()

        def read() -> None:
            while chunk := os.read(stream, 65536):
                output.extend(chunk)
                del output[:-OUTPUT_BYTES]

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        code = process.wait()
        reader.join(1.0)
        with suppress(OSError):  # the run that started this may be dead
            sys.stderr.write(bytes(output).decode(errors="replace"))
            sys.stderr.flush()
        return code

    def prepare(self, wanted: dict[str, Any], lock: int) -> dict[str, Any]:
        """Let the project check itself, collect its static files and migrate; return its answer, checked.

        `wanted` has `applications`, `seconds` for importing them, `collect`, `migrate`, and `commands` before the
        migrations. Raise Failed or Refused if the project is at fault.
        """
        if wanted["collect"]:
            self.make_static()
        wanted = {
            **wanted, "release": str(self.release), "code": str(self.code), "static": str(self.static),
            "shared": str(self.home / "shared"), "shared_paths": self.shared_paths,
        }  # fmt: skip
        given, answer = os.memfd_create("wanted"), os.memfd_create("answer")
        os.write(given, json.dumps(wanted).encode())
        os.lseek(given, 0, os.SEEK_SET)
        line = f"import runpy; runpy.run_path({str(PREPARE)!r})['answer']({given}, {answer}, {lock})"
        code = self.run(["python", "manage.py", "shell", "--command", line], given, answer, lock)
        if code:
            raise Failed(ending(code))
        told = self.checked(os.pread(answer, ANSWER_BYTES + 1, 0), wanted)
        if wanted["collect"] and told["static_root"]:
            told["static"] = self.lead_static(told["static_root"])
        return told

    @staticmethod
    def checked(answer: bytes, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return an answer if it is well-formed; raise Failed if it is not."""
        if not answer:
            raise Failed(
                "The project's process ended before all was done, and without an error (status 0): something that it "
                "imports ends it, such as a call of os._exit() or exit(). Nothing of it can be relied on"
            )
        try:
            told = json.loads(answer[: ANSWER_BYTES + 1])
            texts = [told[name] for name in ("layer", "static_root", "static_url")]
            sound = all(isinstance(text, str) and "\0" not in text for text in texts)
            sound = sound and told["migrated"] is wanted["migrate"] and isinstance(told["changed"], bool)
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound or len(answer) > ANSWER_BYTES:
            raise Failed("What the project's process answered is not what was asked: something in it answered before")
        return {**dict.fromkeys(["static"], ""), **told}

    def make_static(self) -> None:
        """Create the folder for collected files, which the project may write to."""
        self.static.mkdir(mode=0o755, exist_ok=True)
        account = pwd.getpwnam(self.user)
        os.chown(self.static, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def lead_static(self, root: str) -> str:
        """Make the project's STATIC_ROOT lead to the collected files; return what was done.

        Returns "own" if it is that folder already, "linked", or "elsewhere" if it is not in the release: then nothing
        is done. Files that the release ships there are still served, unless a file with the same name was collected.
        """
        root = os.path.abspath(root)
        if os.path.realpath(root) == os.path.realpath(self.static):
            return "own"
        release = os.path.realpath(self.release)
        place = os.path.join(os.path.realpath(os.path.dirname(root)), os.path.basename(root))
        if fault := static_fault(root, str(self.release), str(self.code), str(self.home / "shared")):
            raise Refused(fault)
        if place == release or not is_in(place, release):
            return "elsewhere"
        try:
            self._link_static(root, release, place)
        except OSError as error:
            raise Refused(f"STATIC_ROOT of the project's settings is {root}, which cannot be had: {error}") from None
        return "linked"

    def _link_static(self, root: str, release: str, place: str) -> None:
        """Make a place in the release a link to the collected files. May raise Refused or OSError."""
        with inside(release, os.path.dirname(place)) as folder:
            name = os.path.basename(place)
            try:
                kind = os.lstat(name, dir_fd=folder)
            except FileNotFoundError:
                kind = None
            if kind and not stat.S_ISLNK(kind.st_mode):
                if not stat.S_ISDIR(kind.st_mode):
                    raise Refused(f"STATIC_ROOT of the project's settings is {root}, which is a file of the project")
                # Run as the user: the collected files belong to the user, and a link among them could lead root
                # anywhere. nginx follows no link among static files, and those that the release ships were checked to
                # stay in it.
                copy = [
                    "cp",
                    "--recursive",
                    "--dereference",
                    "--no-clobber",
                    "--no-target-directory",
                    "--",
                    place,
                    str(self.static),
                ]
                done = subprocess.run(copy, check=False, cwd="/", stderr=subprocess.PIPE, text=True, **self.identity)
                if done.returncode:
                    raise Refused(
                        f"Files that the release ships at STATIC_ROOT cannot be served: {done.stderr.strip()}"
                    )
                shutil.rmtree(name, dir_fd=folder)
            part = f".{name}.part"
            with suppress(FileNotFoundError):  # a killed run may have left it
                os.unlink(part, dir_fd=folder)
            os.symlink(self.static, part, dir_fd=folder)
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)


@contextmanager
def inside(root: str, folder: str) -> Iterator[int]:
    """Yield a descriptor of a folder below a root, creating it if missing; no link is followed on the way."""
    options = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    here = os.open(root, options)
    try:
        for name in Path(folder).relative_to(root).parts:
            try:
                there = os.open(name, options, dir_fd=here)
            except FileNotFoundError:
                os.mkdir(name, 0o755, dir_fd=here)
                there = os.open(name, options, dir_fd=here)
            os.close(here)
            here = there
        yield here
    finally:
        os.close(here)


def ending(code: int) -> str:
    """Return how a command of the project ended, for a person."""
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", perhaps because the memory was full" if name == "SIGKILL" else ""
        return f"The project's command was ended by {name}{memory}"
    return f"The project's command failed with {code}"
