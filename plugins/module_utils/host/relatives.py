"""What else of a project sends messages: its workers and commands that run, and those that cron and systemd start."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import proc, raw

#: Commands of manage.py that serve or inspect, and send nothing by themselves.
QUIET = frozenset((
    "runserver", "shell", "shell_plus", "dbshell", "check", "migrate", "makemigrations", "collectstatic", "test",
    "createsuperuser", "daphne",
))  # fmt: skip
#: How many of a project's files are read at most, and how much of each.
MOST_FILES, MOST_BYTES = 2000, 200_000
SENDS = re.compile(r"\bgroup_send\b|\bget_channel_layer\b")


def relatives(server: dict[str, Any]) -> list[dict[str, Any]]:
    """The processes of a server's project that are not servers, and commands that are started by the clock.

    Each has `what` (its command in short), `pid` (0 if it does not run now), and `sends`: a file of the project by
    which it sends over the channel layer; empty if no file shows it.
    """
    folder = server.get("folder") or ""
    if not folder.startswith("/") or folder == "/":
        return []
    found: list[dict[str, Any]] = []
    for pid in proc.pids():
        argv = proc.argv(pid)
        kind, command = kind_of(argv)
        if kind and pid != server["pid"] and _within(proc.link(pid, "cwd"), folder):
            found.append({"what": _short(kind, command), "kind": kind, "command": command, "pid": pid})
    known = {each["what"] for each in found}
    for command in sorted(set(_by_the_clock(folder))):
        if f"manage.py {command}" not in known and command not in QUIET:
            found.append({"what": f"manage.py {command}", "kind": "command", "command": command, "pid": 0})
    once: dict[str, dict[str, Any]] = {}
    for each in found:
        once.setdefault(each["what"], each)
    senders = list(_senders(Path(folder))) if once else []
    for each in once.values():
        each["sends"] = _sender_of(each["kind"], each["command"], senders)
        each["elsewhere"] = _elsewhere(server["pid"], each["pid"])
    return list(once.values())


def _elsewhere(server: int, worker: int) -> list[dict[str, str]]:
    """The variables that name a Redis, and lead a worker to another one than the server: `name`, `server`, `worker`."""
    if not worker:
        return []
    one, other = proc.environment_of(server), proc.environment_of(worker)
    names = [name for name in sorted(one) if other.get(name, one[name]) != one[name] and place_of(one[name])]
    return [{"name": name, "server": place_of(one[name]), "worker": place_of(other[name])} for name in names]


def place_of(url: str) -> str:
    """The host, port and database of a Redis's address, without its password; empty if it is none."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or 6379}/{parts.path.strip('/') or '0'}" if parts.scheme in (
            "redis", "rediss") else ""  # fmt: skip
    except ValueError:
        return ""


def kind_of(argv: list[str]) -> tuple[str, str]:
    """Return what a command line is for a project: `celery`, `runworker` or `command`, and the command's name."""
    names = [os.path.basename(word) for word in argv[:5]]
    if "celery" in names and {"worker", "beat"} & set(argv):
        return "celery", "worker" if "worker" in argv else "beat"
    for other in ("rqworker", "huey_consumer", "huey_consumer.py", "dramatiq", "db_worker", "qcluster", "run_huey"):
        if other in names:
            return "celery", other
    for index, name in enumerate(names[:-1]):
        if name in ("manage.py", "django-admin") and names[index + 1] not in QUIET:
            command = names[index + 1]
            return ("runworker" if command == "runworker" else "command"), command
    return "", ""


def _short(kind: str, command: str) -> str:
    if kind != "celery":
        return f"manage.py {command}"
    return f"celery {command}" if command in ("worker", "beat") else command


def _within(folder: str, project: str) -> bool:
    return folder == project or folder.startswith(project + "/") or project.startswith(folder.rstrip("/") + "/app")


def _by_the_clock(folder: str) -> Iterator[str]:
    """The commands of manage.py in a project's folder that cron or systemd start."""
    tables = [Path("/etc/crontab"), *Path("/etc/cron.d").glob("*"), *Path("/var/spool/cron/crontabs").glob("*")]
    texts = [raw.read(path) for path in tables]
    units = [raw.read(path) for path in Path("/etc/systemd/system").glob("*.service")]
    for line in (line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")):
        if folder in line and (match := re.search(r"manage\.py\s+(\w+)", line)):
            yield match[1]
    for text in units:
        match = re.search(r"^ExecStart=.*manage\.py\s+(\w+)", text, re.MULTILINE)
        if match and folder in text:
            yield match[1]


def _senders(folder: Path) -> Iterator[tuple[str, str]]:
    """The files of a project that use the channel layer from outside consumers, relative, each with its text."""
    count = 0
    for place, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".") and each not in (
            "node_modules", "site-packages", "tests", "__pycache__", "static", "media")]  # fmt: skip
        for name in files:
            if not name.endswith(".py") or name.startswith("test") or (count := count + 1) > MOST_FILES:
                continue
            path = os.path.join(place, name)
            text = raw.read(path, MOST_BYTES)
            if SENDS.search(text):
                yield os.path.relpath(path, folder), text


def _sender_of(kind: str, command: str, senders: list[tuple[str, str]]) -> str:
    """The file by which a process sends over the layer, as far as the code shows it."""
    if kind == "runworker":
        return "runworker itself"
    if kind == "command":
        wanted = f"management/commands/{command}.py"
        return next((path for path, _text in senders if path.endswith(wanted)), "")
    tasks = re.compile(r"@(shared_task|\w+\.task|task|job|db_task|periodic_task|dramatiq\.actor)\b")
    for path, text in senders:
        if "group_send" in text and (tasks.search(text) or re.search(r"(^|/)tasks(\.py|/)", path)):
            return path
    return ""
