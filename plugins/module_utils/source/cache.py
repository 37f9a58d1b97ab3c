"""Files in the controller's caches: complete, or not there at all."""

from __future__ import annotations

import contextlib
import functools
import os
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

SETTING = "release_cache names another folder"
KEPT_DAYS = 60  # after its last use; making a file again takes seconds


@functools.cache  # once per process: what is old when a run begins is still old at its end
def prune(folder: Path) -> None:
    """Delete files below a folder that nobody has written or read for `KEPT_DAYS`; a failure is ignored."""
    limit = time.time() - KEPT_DAYS * 86400
    for path in list(folder.rglob("*")):
        with contextlib.suppress(OSError):
            found = path.lstat()
            if not path.is_dir() and max(found.st_mtime, found.st_atime) < limit:
                path.unlink()


@contextlib.contextmanager
def whole_file(path: Path, mode: int = 0o666, folder_mode: int = 0o777) -> Iterator[t.BinaryIO]:
    """Open a file for writing; it replaces what is there once all of it is on the disk.

    If it cannot be written, raise an OSError that names the path and what to do, and leave nothing behind.
    """
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=folder_mode, parents=True, exist_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}. Make room there, or {SETTING}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
