"""Supervisor's programs as its configuration has them, for when supervisord does not run and cannot be asked."""

from __future__ import annotations

import configparser
import glob
import re
from typing import Any

from . import proc, raw
from .servers import server_kind

CONFIGS = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf")


def look() -> dict[str, Any]:
    """Whether supervisord runs, the programs that start servers, and if it does not run, its unit's state and words."""
    programs = [each for file in CONFIGS for each in programs_of(file)]
    running = bool(proc.called("supervisord"))
    found: dict[str, Any] = {"running": running, "programs": programs, "state": "", "log": []}
    if programs and not running:
        shown = raw.output("systemctl", "show", "supervisor.service", "--property=ActiveState,Result,UnitFileState")
        values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        found["state"] = values.get("ActiveState", "")
        found["enabled"] = values.get("UnitFileState", "")
        command = ("journalctl", "--no-pager", "--quiet", "--output=cat", "--unit=supervisor.service", "--lines=30")
        found["log"] = raw.output(*command).splitlines()
    return found


def programs_of(file: str) -> list[dict[str, Any]]:
    """The programs of a configuration and of the files that it includes whose commands start a server."""
    found = []
    for path in [file, *_included(file)]:
        for name, values in _sections(path).items():
            kind, _, program = name.partition(":")
            words = values.get("command", "").split()
            if kind in ("program", "fcgi-program") and (server_kind(words)[0] or server_kind(words[1:])[0]):
                found.append({"program": program, "kind": kind, "file": path, "command": " ".join(words)[:300],
                              "socket": values.get("socket", ""),
                              "autostart": values.get("autostart", "true").lower() != "false"})  # fmt: skip
    return found


def _included(file: str) -> list[str]:
    patterns = _sections(file).get("include", {}).get("files", "").split()
    return [path for pattern in patterns for path in sorted(glob.glob(pattern))]


def _sections(path: str) -> dict[str, dict[str, str]]:
    """A file's sections; a file that cannot be parsed is read line by line."""
    text = raw.read(path)
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";",))
    try:
        parser.read_string(text)
        return {name: dict(parser.items(name)) for name in parser.sections()}
    except configparser.Error:
        pass
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in text.splitlines():
        if match := re.match(r"\[([^\]]+)\]", line):
            section = match[1]
        elif "=" in line and section:
            key, _, value = line.partition("=")
            found.setdefault(section, {})[key.strip().lower()] = value.strip()
    return found
