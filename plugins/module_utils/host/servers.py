"""What a host knows of its servers: processes, sockets, units, logs, nginx, Redis. Everything here only reads."""

from __future__ import annotations

import glob
import json
import os
import pwd
import re
import shlex
import socket
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import nginx as doctor_nginx

#: Servers that speak no WebSocket.
WSGI = ("gunicorn", "uwsgi", "waitress-serve", "mod_wsgi-express")
ASGI = ("daphne", "uvicorn", "hypercorn", "granian")
_APPLICATION = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?$")


def listed_in(environment: dict[str, str], values: list[str]) -> str:
    """The name of the variable that lists some values, separated by commas or spaces; empty where none does."""
    return next((name for name, text in environment.items() if values and re.split(r"[,\s]+", text) == values), "")


def output(*command: str, timeout: float = 10, errors: bool = False) -> str:
    """Return what a command prints, or nothing where it is missing, fails to start or takes too long."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, text=True, errors="replace", timeout=timeout, check=False,
            env={**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/bin"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def read(path: str | Path, limit: int = 1_000_000) -> str:
    """Return a file's text, or nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


# --- processes and what they listen on


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


def sockets() -> dict[str, str]:
    """Return the addresses that are listened on, by the socket's inode: `unix:/path` or `tcp:address:port`."""
    found = {}
    for line in read("/proc/net/unix").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[3] == "00010000":  # flag __SO_ACCEPTCON: it listens
            found[fields[6]] = "unix:" + fields[7]
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in read(f"/proc/net/{name}").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # TCP_LISTEN
                address, _, port = fields[1].partition(":")
                raw = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
                found[fields[9]] = f"tcp:{socket.inet_ntop(family, raw)}:{int(port, 16)}"
    return found


def processes() -> list[dict[str, Any]]:
    """Return the servers that run, and every process that listens; `argv` and `environ` are for this host only."""
    listening, found = sockets(), []
    for folder in Path("/proc").glob("[0-9]*"):
        argv = [word for word in read(folder / "cmdline").split("\0") if word]
        kind, speaks = server_kind(argv)
        held = _held(folder)
        listens = sorted({listening[inode] for inode in held[0] if inode in listening})
        if kind or listens:
            found.append(_process(folder, argv, kind, speaks, listens, held[1]))
    return sorted(found, key=lambda each: each["pid"])


def _held(folder: Path) -> tuple[set[str], int]:
    """The inodes of the sockets that a process holds, and how many files it has open."""
    targets = []
    try:
        entries = os.listdir(folder / "fd")
        for entry in entries:
            targets.append(os.readlink(folder / "fd" / entry))
    except PermissionError:
        targets = as_its_user(folder, "find", f"{folder}/fd", "-type", "l", "-printf", "%l\\n").splitlines()
    except OSError:
        pass  # it ended meanwhile
    return {target[8:-1] for target in targets if target.startswith("socket:[")}, len(targets)


def as_its_user(folder: Path, *command: str) -> str:
    """Return what a command prints when it is run as the user of a process, or nothing.

    In a container without CAP_SYS_PTRACE, as engines start them by default, root may not look into processes of other
    users, but these may themselves.
    """
    if os.geteuid():
        return ""
    try:
        owner = folder.stat()
        done = subprocess.run(
            command,
            user=owner.st_uid,
            group=owner.st_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _process(folder: Path, argv: list[str], kind: str, speaks: bool, listens: list[str], files: int) -> dict[str, Any]:
    limit = re.search(r"Max open files\s+(\d+)", read(folder / "limits"))
    status = read(folder / "status")
    uid = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
    parent = re.search(r"^PPid:\s+(\d+)", status, re.MULTILINE)
    unit = re.search(r"/([^/\n]+\.service)", read(folder / "cgroup"))
    return {
        "pid": int(folder.name),
        "parent": int(parent[1]) if parent else 0,
        "server": kind,
        "name": os.path.basename(argv[0].split(" ")[0]).rstrip(":") if argv else "",
        "speaks": speaks,
        "command": " ".join(argv)[:300],
        "argv": argv,
        "user": _user(int(uid[1])) if uid else "",
        "uid": int(uid[1]) if uid else 0,
        "folder": _link(folder / "cwd"),
        "application": application_of(argv),
        "ping": number(argv, 20, "--ping-interval", "--ws-ping-interval"),
        # 0 for none: daphne's own is a day, which is not worth a word.
        "websocket_timeout": max(0.0, number(argv, 0, "--websocket_timeout")),
        "connect_timeout": number(argv, 5, "--websocket_connect_timeout"),
        "listens": listens,
        "files": files,
        "limit": int(limit[1]) if limit else 0,
        "unit": unit[1] if unit else "",
    }


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def age(pid: int) -> float:
    """For how many seconds a process has run; negative where there is none."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    try:
        return round(float(read("/proc/uptime").split()[0]) - int(fields[19]) / os.sysconf("SC_CLK_TCK"), 1)
    except (IndexError, ValueError):
        return -1.0


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    file = f"/proc/{pid}/environ"
    entries = (read(file) or as_its_user(Path(file).parent, "cat", file)).split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


# --- who starts them


def is_to_listen(name: str, command: str, address: str) -> bool:
    """Whether a process should listen at an address, by the name of its unit or by its command."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        instance = re.escape(os.path.basename(path).removesuffix(".sock"))
        return path in command or re.search(rf"\b{instance}\b", name) is not None
    return re.search(rf"[\s:=]{address.rpartition(':')[2]}\b", command) is not None


def units(prefix: str, known: set[str]) -> list[dict[str, Any]]:
    """The units of servers: those named, those with a prefix, and those whose command starts a server."""
    wanted = "Id,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainCode,ExecStart,MainPID,MemoryMax"
    wanted += ",MemoryLimit"  # its name under cgroup v1
    shown = output("systemctl", "show", "*.service", "--all", f"--property={wanted}")
    found = []
    for part in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        name, command = values.get("Id", ""), values.get("ExecStart", "")
        path = re.search(r"path=(\S+) ;", command)
        argv = re.search(r"argv\[\]=(.*?) ;", command)
        words = (argv[1] if argv else "").split()
        starts = bool(server_kind(words)[0]) or bool(path and _script_starts(path[1]))
        if name and (name in known or (prefix and name.startswith(prefix)) or starts):
            found.append({
                "unit": name, "state": values.get("ActiveState", ""), "sub": values.get("SubState", ""),
                "result": values.get("Result", ""), "restarts": int(values.get("NRestarts") or 0),
                "status": values.get("ExecMainStatus", ""), "pid": int(values.get("MainPID") or 0),
                "command": argv[1][:300] if argv else "", "path": path[1] if path else "", "memory_max": _limit(values),
            })  # fmt: skip
    return found


def _limit(values: dict[str, str]) -> str:
    """A unit's limit of memory in bytes, or `infinity`."""
    limits = [values.get(name, "infinity") for name in ("MemoryMax", "MemoryLimit")]
    return next((limit for limit in limits if limit.isdigit() and int(limit) < 2**60), "infinity")


def _script_starts(path: str) -> bool:
    """Whether a script starts a server."""
    text = read(path, 4096)
    return text.startswith("#!") and re.search(r"^[^#]*\b(daphne|uvicorn|gunicorn|runserver)\b", text, re.M) is not None


def manager() -> str:
    """What starts services on this host: `systemd`, or `init` where systemd does not run."""
    return "systemd" if os.path.isdir("/run/systemd/system") else "init"


def supervised() -> list[dict[str, Any]]:
    """The programs of supervisor, where it runs."""
    found = []
    for line in output("supervisorctl", "status", timeout=5).splitlines():
        fields = line.split(None, 2)
        if len(fields) >= 2 and fields[1].isupper():
            text = fields[2] if len(fields) > 2 else ""
            pid = re.match(r"pid (\d+),", text)
            found.append({"program": fields[0], "state": fields[1], "text": text, "pid": int(pid[1]) if pid else 0})
    return found


def journal(names: list[str], *options: str) -> list[str]:
    """The log lines of some units."""
    if not names:
        return []
    command = ["journalctl", "--no-pager", "--output=cat", "--quiet", *options]
    return output(*command, *(f"--unit={name}" for name in names)).splitlines()


def program_log(name: str, lines: int = 40) -> list[str]:
    """The last lines of a supervisor program's own log, of both kinds."""
    shown = [output("supervisorctl", "tail", "-4000", name, kind, timeout=5) for kind in ("stdout", "stderr")]
    return [line for line in "\n".join(shown).splitlines() if line.strip()][-lines:]


def file_logs(pids: list[int]) -> dict[str, int]:
    """The regular files that processes write their output to, with their sizes now."""
    return _sizes(Path(f"/proc/{pid}/fd/{number}") for pid in pids for number in (1, 2))


def supervisor_logs() -> dict[str, int]:
    """The regular files that supervisor has open, its programs' logs among them, with their sizes now."""
    masters = [folder for folder in Path("/proc").glob("[0-9]*") if "supervisord" in read(folder / "comm", 64)]
    return _sizes(entry for folder in masters for entry in _entries(folder / "fd"))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _sizes(links: Iterable[Path]) -> dict[str, int]:
    found = {}
    for path in map(_link, links):
        try:
            kept = os.stat(path) if path.startswith("/") else None
        except OSError:
            continue
        if kept and stat.S_ISREG(kept.st_mode):
            found[path] = kept.st_size
    return found


def new_lines(sizes: dict[str, int]) -> list[str]:
    """What was written to files since their sizes were noted."""
    lines: list[str] = []
    for path, size in sizes.items():
        try:
            with open(path, "rb") as file:
                file.seek(size)
                lines += file.read(200_000).decode("utf-8", "replace").splitlines()
        except OSError:
            continue
    return lines


# --- the bundle, nginx, Redis


def bundle(app: str) -> dict[str, Any]:
    """What serves here of this bundle's project `app`; without a name, of the only project there is."""
    found = glob.glob(f"/srv/{app or '*'}/live/generation.json")
    if len(found) != 1:
        return {}
    try:
        described = json.loads(read(found[0]))
    except ValueError:
        return {}
    return {**described, "home": os.path.dirname(found[0])}


def shared(bundle: dict[str, Any]) -> list[dict[str, str]]:
    """What is wrong with files and folders that outlive releases: `seen`, and `mend`, the command that mends it."""
    found = []
    for path in bundle.get("shared_paths", []):
        user, name = bundle["user"], path.rstrip("/")
        here, there = (
            os.path.realpath(bundle["home"] + "/code") + f"/{name}",
            f"{os.path.dirname(bundle['home'])}/shared/{name}",
        )
        one, other = shlex.quote(here), shlex.quote(there)
        if os.path.realpath(here) != os.path.realpath(there):
            aside = f"mv {one} {one}.aside && " if os.path.lexists(here) else ""
            found.append({"seen": f"{here} does not lead to {there}", "mend": f"{aside}ln -s {other} {one}"})
        elif not os.path.exists(there):
            if path.endswith("/"):  # a file is made by the project
                found.append({"seen": f"{there} is not there", "mend": f"install -d -o {user} -g {user} {other}"})
        elif not output("runuser", "--user", user, "--", "sh", "-c", 'test -w "$1" && echo yes', "sh", there):
            found.append({"seen": f"{there} is not writable for {user}", "mend": f"chown -R {user}: {other}"})
    return found


def nginx(host: str, port: int, path: str) -> dict[str, Any]:
    """Whether nginx is there, runs and has a sound configuration, and the way that a path takes through it."""
    binary = next((name for name in ("/usr/sbin/nginx", "/usr/local/sbin/nginx") if os.path.exists(name)), "")
    if not binary:
        return {"present": False}
    running = any(
        read(folder / "cmdline").startswith("nginx: master") for folder in Path("/proc").glob("[0-9]*")
    )  # fmt: skip
    shown = output(binary, "-T", errors=True)
    error = re.search(r"^(?:nginx:|\S+ \S+) \[emerg\] (?:\d+#\d+: )?(.*)$", shown, re.MULTILINE)
    routes = doctor_nginx.routes(shown)
    route = doctor_nginx.choose(routes, host, port, path)
    others = sorted(
        {address for each in routes for address in each["upstream"]} - set((route or {}).get("upstream", []))
    )
    return {"present": True, "running": running, "error": error[1] if error else "", "route": route, "others": others}


def redis() -> dict[str, Any]:
    """The Redis of this host: whether it runs, its version, and what its configuration says."""
    binary = next(
        (name for name in ("/usr/bin/redis-server", "/usr/local/bin/redis-server") if os.path.exists(name)), ""
    )
    file = next((name for name in ("/etc/redis/redis.conf", "/etc/redis.conf") if os.path.exists(name)), "")
    if not binary:
        return {"present": False}
    settings = {}
    for line in read(file).splitlines() if file else ():
        name, _, value = line.strip().partition(" ")
        if name in ("maxmemory-policy", "maxmemory", "timeout", "maxclients", "port"):
            settings[name] = value.strip()
    version = re.search(r"v=([\d.]+)", output(binary, "--version"))
    running = any("redis-server" in read(folder / "comm", 64) for folder in Path("/proc").glob("[0-9]*"))
    return {"present": True, "running": running, "version": version[1] if version else "", "file": file, **settings}


def kernel_kills(since: float) -> list[str]:
    """What the kernel killed for want of memory since a time, as far as its log can be read."""
    shown = output("journalctl", "--no-pager", "--quiet", "-k", "--output=cat", f"--since=@{int(since)}", timeout=5)
    if manager() != "systemd":
        shown = output("dmesg", f"--since=@{int(since)}", timeout=5)
    return [line for line in shown.splitlines() if "Killed process" in line][-5:]


def leftovers(addresses: list[str], listening: set[str]) -> list[str]:
    """The unix sockets among some addresses whose file is there and which nobody listens on."""
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
