"""Why systemd does not get as far as the server: what is wrong with its unit. Data first."""

from __future__ import annotations

import re
from typing import Any

from ...host.servers import is_to_listen
from ..case import Case, Finding

#: By the status with which systemd ends a process before its program runs (systemd.exec(5)): why, and what to write.
STEPS: dict[str, tuple[str, str]] = {
    "200": ("its folder, {folder}, is not there", "WorkingDirectory=FOLDER, the one that holds manage.py"),
    "216": ("the group {group} does not exist", "Group=, a group of this host"),
    "217": ("the user {user} does not exist", "User=, a user of this host"),
    "226": ("a folder or a file that its sandbox names is not there",
            "correct ReadWritePaths=, BindPaths= and the like, or put - before the path"),
}  # fmt: skip
#: Types of units whose start is over only when the program does something: what that is, and who never does it.
AWAITED: dict[str, tuple[str, re.Pattern[str]]] = {
    "notify": ("sends that it is ready",
               re.compile(r"(?!.*\b(gunicorn|systemd-notify)\b).*\b(daphne|uvicorn|hypercorn)\b")),
    "forking": ("goes into the background",
                re.compile(r"(?!.*\s(-D|--daemon)\b).*\b(daphne|uvicorn|hypercorn|gunicorn)\b")),
}  # fmt: skip
TIMED_OUT = "start operation timed out"
ENVIRONMENT = "Failed to load environment files"
REFUSED = re.compile(r"/\S+:\d+: (?!Unknown|Standard|Support)\S.*")


def unit_start(case: Case, units: list[dict[str, Any]], seen: list[str]) -> Finding | None:
    """The finding for the first of some units that systemd cannot start; None if it gets as far as their programs."""
    for each in units:
        setup, log = each.get("setup") or {}, each.get("log") or []
        told = setup and each["state"] != "active" and _why(each, setup, log)
        if told:
            why, mend, line = told
            file = setup["file"] or each["unit"]
            where = mend if mend.startswith("chmod ") else f"In {file}: {mend}"
            return case.find("E124_UNIT_CANNOT_START", [*seen, line], unit=each["unit"], why=why, mend=where)
    return None


def never_ready(case: Case) -> Finding | None:
    """The finding for a unit whose server runs, while systemd waits for what it never does, and then ends it."""
    for each in case.units:
        setup = each.get("setup") or {}
        does, servers = AWAITED.get(setup.get("type", ""), ("", None))
        if servers is None or not servers.match(each["command"]):
            continue
        listens = any(one["listens"] and one["unit"] == each["unit"] for one in case.host.get("processes", []))
        lines = [line.strip() for line in each.get("log", []) if TIMED_OUT in line]
        if lines or (listens and each["state"] == "activating" and each["sub"] == "start"):
            seen = [f"{each['unit']}: {each['state']} ({each['sub']}), Type={setup['type']}", *lines[-1:]]
            return case.find("E133_NEVER_READY", seen, unit=each["unit"], file=setup["file"] or each["unit"],
                             type=setup["type"], does=does)  # fmt: skip
    return None


def not_reloaded(case: Case, dead: list[dict[str, Any]]) -> Finding | None:
    """The finding for a unit whose file was changed, and whose process still runs with the former one."""
    for each in case.units:
        if dead and each["state"] == "active" and (how := outdated(case, each)):
            seen = [f"nobody listens on {one['address']}" for one in dead]
            running = [one["command"] for one in case.host.get("processes", []) if one["pid"] == each["pid"]]
            seen += [f"{each['unit']}: {each['command']}", *(f"its process: {one}" for one in running)]
            return case.find("E125_UNIT_NOT_RELOADED", seen, unit=each["unit"], file=each["setup"]["file"], how=how)
    return None


def outdated(case: Case, unit: dict[str, Any]) -> str:
    """How a unit that runs differs from its file: systemd has not read it, or its process is older; or nothing."""
    setup = unit.get("setup") or {}
    if setup.get("changed"):
        return "systemd has not read it since"
    places = [each["address"] for each in case.host.get("upstream") or [] if not each["listening"]]
    process = next((each for each in case.processes if each["pid"] == unit["pid"]), None)
    meant = any(is_to_listen("", unit["command"], place) for place in places)
    old = setup and meant and process and not any(is_to_listen("", process["command"], place) for place in places)
    return "its process was started before" if old else ""


def _why(unit: dict[str, Any], setup: dict[str, Any], log: list[str]) -> tuple[str, str, str] | None:
    """Why a unit's program does not run, what to write, and the line of the log that says so."""
    status = unit["status"]
    if setup["load"] == "bad-setting":
        line = _last(log, REFUSED)
        mend = "ExecStart= with the whole path of the server's program" if "absolute path" in line else "correct it"
        return f"systemd refuses its file: {line}", mend, line
    if unit["result"] == "resources" and (line := _last(log, re.compile(ENVIRONMENT))):
        reason = line.partition(ENVIRONMENT)[2].lstrip(": ").lower()
        mend = "EnvironmentFile= with the file's path; or make the file"
        return f"its EnvironmentFile= cannot be read ({reason})", mend, line
    line = _last(log, re.compile(r"Failed at step|Failed to (locate|determine)")) or _last(log, re.compile("status="))
    if status in ("200", "203") and setup["homes_hidden"]:
        return f"ProtectHome= hides {setup['homes_hidden'][0]} from it", "ProtectHome=no, or move it to /srv", line
    if status in ("200", "203") and setup["closed"]:
        user, closed = setup["user"], setup["closed"]
        return f"its user, {user}, may not enter {closed}", f"chmod o+x {closed}; or move what is in it to /srv", line
    if status == "203" and setup["interpreter"]:
        why = f"the first line of {setup['program']} names {setup['interpreter']}, which is not there"
        return why, "ExecStart= with python -m and the server's name; or make the environment anew", line
    if status == "203" and setup["program_there"] and not setup["program_runs"]:
        return f"{setup['program']} may not be run", f"ExecStart=, after chmod +x {setup['program']}", line
    if status == "200" and setup["folder_there"]:
        return None
    if status in STEPS:
        why, mend = STEPS[status]
        return why.format(**setup), mend, line
    return None


def _last(log: list[str], pattern: re.Pattern[str]) -> str:
    return next((line.strip() for line in reversed(log) if pattern.search(line)), "")
