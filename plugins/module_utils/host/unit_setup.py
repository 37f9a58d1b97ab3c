"""What a unit's file asks systemd to do before its program runs, and what of that is not there."""

from __future__ import annotations

import os
import pwd
import re
from typing import Any

from . import raw
from .access import in_the_way
from .servers import application_of

#: The properties that this reads, of those that `systemctl show` prints.
PROPERTIES = "LoadState,FragmentPath,User,Group,WorkingDirectory,ProtectHome,NeedDaemonReload,Type"
HOMES = re.compile(r"/(home|root|run/user)(/|$)")
#: A line that starts a server in a unit's file.
STARTS = re.compile(r"^ExecStart=(.*\b(?:daphne|uvicorn|hypercorn|gunicorn|runserver)\b.*)$", re.MULTILINE)


def setup(values: dict[str, str], path: str, command: str = "") -> dict[str, Any]:
    """What is known of a unit's start, by its properties, the path of its program and its command."""
    folder = values.get("WorkingDirectory", "").lstrip("!-")
    hides = values.get("ProtectHome", "no") not in ("no", "")
    who = _identity(values.get("User", ""))
    return {
        "file": values.get("FragmentPath", ""), "load": values.get("LoadState", ""), "folder": folder,
        "user": values.get("User", ""), "group": values.get("Group", ""),
        "type": values.get("Type", ""), "changed": values.get("NeedDaemonReload", "no") == "yes", "program": path,
        "program_there": os.path.isfile(path), "program_runs": os.access(path, os.X_OK),
        "interpreter": _missing_interpreter(path), "folder_there": os.path.isdir(folder) if folder else True,
        "homes_hidden": [each for each in (path, folder) if hides and HOMES.match(each)],
        "closed": _closed(path, who) or _closed(folder, who), "names_settings": _names_settings(folder, command),
    }  # fmt: skip


def _names_settings(folder: str, command: str) -> bool:
    """Whether the ASGI module of a command names DJANGO_SETTINGS_MODULE; true if the module cannot be read."""
    module = application_of(command.split()).partition(":")[0]
    text = raw.read(os.path.join(folder, *module.split(".")) + ".py", 50_000) if folder and module else ""
    return not text or "DJANGO_SETTINGS_MODULE" in text


def command_in_file(file: str) -> str:
    """The command of a server in a unit's file, as it is written there."""
    found = STARTS.findall(raw.read(file, 20_000)) if file else []
    return found[-1].strip() if found else ""


def _missing_interpreter(path: str) -> str:
    """The interpreter that a script's first line names, if it is not there: a moved environment has such scripts."""
    first = re.match(r"#!\s*(/\S+)", raw.read(path, 200)) if os.path.isfile(path) else None
    return first[1] if first and not os.path.exists(first[1]) else ""


def _identity(user: str) -> tuple[int, int, list[int]] | None:
    try:
        entry = pwd.getpwnam(user)
        return entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)
    except (KeyError, OSError):
        return None


def _closed(path: str, who: tuple[int, int, list[int]] | None) -> str:
    """The first folder on the way to a path that a user may not enter."""
    if not path.startswith("/") or who is None or who[0] == 0:
        return ""
    return next((each["path"] for each in in_the_way(path, who) if each["folder"]), "")
