"""Servers of Python by their command lines, and by the addresses where they should listen."""

from __future__ import annotations

import os
import re
import stat

from . import raw

#: Servers that cannot speak WebSocket.
WSGI = ("gunicorn", "uwsgi", "waitress-serve", "mod_wsgi-express")
ASGI = ("daphne", "uvicorn", "hypercorn", "granian")
_APPLICATION = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?$")


def server_kind(argv: list[str]) -> tuple[str, bool]:
    """Return the server that a command line starts, and whether it may speak WebSocket; an empty name for none."""
    if not argv:
        return "", False
    words = [os.path.basename(word) for word in argv[:4]]
    first = words[0].split(":")[0].split(" ")[0]
    if not re.match(r"python|pypy|uwsgi$|gunicorn|uvicorn|daphne|hypercorn|granian|waitress", first):
        return "", False
    if "runserver" in argv[:4]:
        return "runserver", False
    if "uvicorn.workers" in " ".join(argv) or "uvicorn_worker" in " ".join(argv):
        return "gunicorn with uvicorn workers", True
    named = {word.split(":")[0].removesuffix(".py") for word in words}
    for name in (*ASGI, *WSGI):
        if name in named:
            return name, name in ASGI
    return "", False


def workers_of_gunicorn(argv: list[str], folder: str, environ: dict[str, str]) -> str:
    """The workers of a gunicorn that may speak WebSocket: `uvicorn` or `asgi`; empty for others.

    Their class may be on the command line, in GUNICORN_CMD_ARGS, or in a file of settings.
    """
    words = [*argv, *environ.get("GUNICORN_CMD_ARGS", "").split()]
    given = option(words, "-k", "--worker-class")
    if not given:
        file = option(words, "-c", "--config") or "gunicorn.conf.py"
        text = raw.read(os.path.join(folder, file.removeprefix("file:")), 50_000)
        lines = re.findall(r"^\s*worker_class\s*=\s*[\"']([\w.]+)", text, re.MULTILINE)
        given = lines[-1] if lines else ""
    return "uvicorn" if "uvicorn" in given else "asgi" if given == "asgi" else ""


def application_of(argv: list[str]) -> str:
    """The ASGI or WSGI path on a command line."""
    return next((word for word in argv[1:] if _APPLICATION.match(word)), "")


def option(argv: list[str], *names: str) -> str:
    """The value of an option on a command line, or nothing."""
    for index, word in enumerate(argv):
        for name in names:
            if word == name and index + 1 < len(argv):
                return argv[index + 1]
            if word.startswith(name + "="):
                return word[len(name) + 1 :]
    return ""


def number(argv: list[str], default: float, *names: str) -> float:
    """The value of an option that is a number."""
    try:
        return float(option(argv, *names))
    except ValueError:
        return default


def is_to_listen(name: str, command: str, address: str) -> bool:
    """Whether a process should listen at an address, by the name of its unit or by its command."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        instance = re.escape(os.path.basename(path).removesuffix(".sock"))
        return path in command or re.search(rf"\b{instance}\b", name) is not None
    return re.search(rf"[\s:=]{address.rpartition(':')[2]}\b", command) is not None


def leftovers(addresses: list[str], listening: set[str]) -> list[str]:
    """The unix sockets among some addresses whose file exists and on which nobody listens."""
    found = []
    for address in addresses:
        path = address.removeprefix("unix:")
        if address.startswith("unix:") and address not in listening:
            try:
                if stat.S_ISSOCK(os.stat(path).st_mode):
                    found.append(path)
            except OSError:
                continue
    return found
