"""Files of the controller's caches: there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import typing as t
from collections.abc import Iterator
from pathlib import Path

SETTING = "release_cache names another folder"


@contextlib.contextmanager
def whole_file(path: Path, mode: int = 0o666, folder_mode: int = 0o777) -> Iterator[t.BinaryIO]:
    """Open a file to be written, which takes the place of what is there when all of it is on the disk.

    Raise OSError, whose text has the path and what to do, where it cannot be written; nothing is left of it then.
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
