#!/usr/bin/env python3
"""Use this machine itself as the lab's host: say what will change on it, ask first, and say how to open the site.

    local.py ask           find everything that speaks against it; say what will change; go on after yes (or LAB_YES=1)
    local.py greet         say how to open the site
    local.py down          say how to remove it; removes nothing itself

Standard library only, and no YAML: it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APP = "dashboard"
LISTENING = "0A"  # a socket's state in /proc/net/tcp
DAEMONS = {"nginx_http_port": "nginx", "nginx_local_port": "nginx", "redis_port": "redis-server"}
WRITES = {
    "/srv/dashboard": "the project: code, environments, packages that were fetched, database",
    "/etc/dashboard": "a link to the environment that it runs with",
    "/run/dashboard": "its sockets",
    "/opt/uv, /var/cache/uv": "uv, and what it knows of Pythons",
    "/usr/local/bin, sbin, lib": "dashboard-manage, dashboard-generations, and what they read",
    "/etc/nginx": "nginx.conf, sites-enabled/dashboard.conf, conf.d/dashboard-*.conf",
    "/etc/redis": "redis.conf, users.acl, users.d, operator.*",
    "/var/log": "nginx, redis, and supervisor where there is no systemd",
}
WRITES_BY_MANAGER = {
    "systemd": {
        "/etc/systemd/system": "dashboard-daphne@*.service, nginx.service.d, redis-server.service.d",
        "/etc/tmpfiles.d": "dashboard.conf",
    },
    "supervisor": {"/etc/supervisor": "supervisord.conf, conf.d/dashboard-*.conf", "/etc/default": "nginx"},
}


class LocalError(Exception):
    """Something that the user has to fix; its text says how."""


# --- the machine ----------------------------------------------------------------------------------------------------


def setting(role: str, name: str) -> str:
    """Return a role's default, as written."""
    text = (ROOT / "roles" / role / "defaults" / "main.yml").read_text()
    found = re.search(rf"^{name}: (.+)$", text, re.MULTILINE)
    if not found:
        raise LocalError(f"role {role} has no default for {name} on a line of its own")
    return found[1]


def packages(manager: str) -> list[str]:
    """Return the Debian packages of a host that plays every part, from the defaults of role base."""
    text = (ROOT / "roles" / "base" / "defaults" / "main.yml").read_text()
    groups = dict(re.findall(r"^  (\w+): \[(.*)\]$", text.partition("base_packages:")[2], re.MULTILINE))
    return [name for group in ("all", "app", "redis", manager) for name in groups.get(group, "").split(", ") if name]


def manager_of(machine: Path) -> str:
    """Return the service manager that the preflight chooses for a machine: systemd if it is PID 1."""
    return "systemd" if (machine / "proc/1/comm").read_text().strip() == "systemd" else "supervisor"


def starts_services(machine: Path) -> bool:
    """Tell whether a machine's PID 1 starts services when it boots: systemd, or the init of init scripts."""
    return (machine / "proc/1/comm").read_text().strip() in ("systemd", "init")


def missing(names: list[str]) -> list[str]:
    """Return those of the packages that are not installed."""
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names]
    known = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return [name for name in names if f"{name} installed" not in known]


def holder(port: int) -> str:
    """Return the name and id of a process that listens on a TCP port, or nothing."""
    sockets = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for folder in Path("/proc").glob("[0-9]*") if sockets else ():
        if sockets.intersection(open_files(folder)):
            return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
    return "a process that cannot be seen from here" if sockets else ""


def open_files(process: Path) -> list[str]:
    """Return what a process has open, as named in /proc/PID/fd.

    In a container without CAP_SYS_PTRACE, root cannot look into other users' processes, but those users can.
    """
    found = []
    with contextlib.suppress(OSError):  # it has ended
        for entry in (process / "fd").iterdir():
            try:
                found.append(os.readlink(entry))
            except FileNotFoundError:
                continue  # closed meanwhile
            except PermissionError:
                owner = process.stat()
                command = ["find", f"{process}/fd", "-type", "l", "-printf", "%l\n"]
                done = subprocess.run(
                    command, user=owner.st_uid, group=owner.st_gid, capture_output=True, text=True, check=False
                )
                return done.stdout.splitlines()
    return found


# --- obstacles ------------------------------------------------------------------------------------------------------


def faults(machine: Path) -> Iterator[str]:
    """Say what prevents using a machine as the host, and what to do about it. Only root checks what only root sees."""
    yield from unsupported(machine)
    yield from root_fault()
    if os.geteuid() == 0:
        yield from ports_taken()
        yield from second_default(machine / "etc/nginx")


def unsupported(machine: Path) -> Iterator[str]:
    """Say that a machine's system is not a supported Debian."""
    release = machine / "etc/os-release"
    lines = release.read_text().splitlines() if release.exists() else []
    values = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    versions = re.findall(r'"(\d+)"', setting("preflight", "preflight_debian_versions"))
    if values.get("ID") != "debian" or values.get("VERSION_ID") not in versions:
        found = values.get("PRETTY_NAME") or "an unknown system"
        yield f"this machine runs {found}, not Debian {' or '.join(versions)}. A container will do: make up"


def root_fault() -> Iterator[str]:
    """Say what is missing to become root, if anything."""
    if os.geteuid() == 0:
        if not shutil.which("ldconfig"):
            yield "the path has no /usr/sbin, as after a plain `su`. Log in as root with: su -"
    elif not shutil.which("sudo"):
        yield "this user is not root, and there is no sudo. Log in as root with: su -"
    # Ignore what sudo remembers: that is for one terminal, and Ansible does not use this one.
    elif subprocess.run(["sudo", "-k", "-n", "true"], capture_output=True, check=False).returncode:
        yield "this user is not root, and sudo asks for a password. Run: sudo make up LAB=local"


def ports_taken() -> Iterator[str]:
    """Say which ports are held by another process than the daemon that needs them."""
    for name, daemon in DAEMONS.items():
        port = int(setting(daemon.partition("-")[0], name))
        found = holder(port)
        if found and not found.startswith(f"{daemon} "):
            yield f"port {port}, for {daemon}, is taken by {found}. Stop that first"


def second_default(nginx: Path) -> Iterator[str]:
    """Say which nginx sites take the requests that name no site, as the example's site does."""
    for path in sorted([*nginx.glob("conf.d/*.conf"), *nginx.glob("sites-enabled/*.conf")]):
        mine = path.name.startswith(f"{APP}.") or path.name.startswith(f"{APP}-")
        if not mine and re.search(r"(^|[{;])\s*listen\s[^;#]*\bdefault(_server)?\b", path.read_text(), re.MULTILINE):
            yield f"{path} is nginx's default site, and so is the example. Take default_server out of it"


# --- what will be done ----------------------------------------------------------------------------------------------


def foreign(path: Path, template: str) -> bool:
    """Tell whether there is a file that this bundle did not write: ours have the template's second line."""
    mark = (ROOT / "templates" / template).read_text().splitlines()[1]
    return path.exists() and mark not in path.read_text().splitlines()[:5]


def replaced(machine: Path) -> Iterator[tuple[str, str]]:
    """Say what is there now and will be replaced, or no longer served; a word says which."""
    nginx = machine / "etc/nginx"
    if foreign(nginx / "nginx.conf", "nginx/nginx.conf.j2"):
        yield "REPLACES", f"{nginx}/nginx.conf: whatever else nginx serves here gets other settings"
        lost = [entry.name for entry in sorted(nginx.glob("sites-enabled/*")) if not entry.name.endswith(".conf")]
        if lost:
            yield "ENDS", f"nginx's {', '.join(lost)}: only sites whose name ends in .conf are served then"
    redis = machine / "etc/redis/redis.conf"
    if foreign(redis, "redis/redis.conf.j2"):
        yield "REPLACES", f"{redis}: Redis asks for a password then, and no longer keeps data of others on the disk"
    supervisor = machine / "etc/supervisor/supervisord.conf"
    if manager_of(machine) == "supervisor" and supervisor.exists() and "Ansible managed" not in supervisor.read_text():
        yield "REPLACES", f"{supervisor}; what is in its conf.d stays"
    home = machine / "srv" / APP
    if home.exists():
        yield "REPLACES", f"what {home} serves now: where that is not this example but a project of yours, do not go on"


def plan(machine: Path) -> str:
    """Say what will be done to a machine."""
    manager = manager_of(machine)
    wanted = packages(manager)
    absent = missing(wanted)
    after = (
        "; also after a restart" if starts_services(machine) else "; not after a restart, since nothing starts it then"
    )
    there = [name for name in wanted if name not in absent]
    tools = [name for name, program in (("git", "git"), ("openssh-client", "ssh")) if not shutil.which(program)]
    ports = {name: setting(daemon.partition("-")[0], name) for name, daemon in DAEMONS.items()}
    writes = {
        str(ROOT): ".venv, .lab (secrets, for you alone), .cache and artifacts",
        **WRITES,
        **WRITES_BY_MANAGER[manager],
    }
    rows = [
        ("installs", f"from Debian, with what they depend on: {', '.join(absent + tools) or 'nothing'}"),
        ("", "from Python's package index: the tools (into .venv here), uv, and what the example needs"),
        *([("uses", f"what is there: {', '.join(there)}")] if there else []),
        ("creates", f"the users {APP} and {APP}_build"),
        *zip(["writes", *[""] * len(writes)], (f"{path:<27}{what}" for path, what in writes.items()), strict=False),
        ("runs", f"nginx, redis-server, {APP} under {manager}{after}"),
        ("listens", f"on port {ports['nginx_http_port']}, for everybody who reaches this machine"),
        ("", f"on loopback, on {ports['nginx_local_port']} (nginx) and {ports['redis_port']} (Redis)"),
        *replaced(machine),
    ]
    head = "This machine itself becomes the host, with no container around it. As root, this\n"
    return "\n".join([head, *(f"  {label:<10}{text}" for label, text in rows)])


def ask(machine: Path = Path("/")) -> None:
    """Say what will be done, and return after a yes; raise LocalError otherwise."""
    if found := list(faults(machine)):
        raise LocalError("nothing was changed:\n" + "\n".join(f"  - {fault}" for fault in found))
    if os.geteuid():  # root can see the ports' processes, and Redis's files
        agreed = f"LAB_YES={os.environ.get('LAB_YES', '')}"
        os.execvp("sudo", ["sudo", "-n", "env", agreed, sys.executable, str(Path(__file__).resolve()), "ask"])
    print(f"\n{plan(machine)}\n", flush=True)
    if os.environ.get("LAB_YES") == "1":
        return
    if not sys.stdin.isatty():
        raise LocalError(
            "nothing was changed: there is no terminal to ask on. If you want this: make up LAB=local LAB_YES=1"
        )
    try:
        answer = input("Go on? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise LocalError("nothing was changed")


# --- afterwards -----------------------------------------------------------------------------------------------------


def greet() -> None:
    """Say how to open what runs."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    mint = f"{sudo}{APP}-manage mint_token --user you"
    done = subprocess.run([*mint.split(), "--ttl", "86400"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise LocalError(f"no token could be made: {mint}")
    token = done.stdout.strip()
    # The address that whoever is logged in has reached it by.
    address = (os.environ.get("SSH_CONNECTION", "").split() or ["", "", "this-machine"])[2]
    user = os.environ.get("USER") or "root"
    print(f"""
The dashboard is up on this machine, and its WebSocket is proven.

  page    http://localhost/#token={token}
          from your own machine: ssh -L 8080:localhost:80 {user}@{address}, then the same with localhost:8080
  token   {token}
          (for 24 hours; another one: {mint})

  Open the socket from a shell, then type {{"type": "status"}} and Enter:

  .venv/bin/websockets 'ws://localhost/ws/{APP}/?token={token}'
""")
    if not starts_services(Path("/")):
        print(
            "  Nothing here starts with the machine. What to run then: docs/managers.md, `Machines without systemd`.\n"
        )


def down() -> None:
    """Say how to end what runs."""
    live = Path("/srv") / APP / "live"
    if not live.is_symlink():
        print(f"There is no {live}: nothing of the lab serves on this machine.")
        return
    print(f"""Nothing was removed: the host is this machine itself. As root, this ends the dashboard and leaves its
files:

  rm /etc/nginx/sites-enabled/{APP}.conf && service nginx reload
  {APP}-generations stop {live.resolve().name}

make up LAB=local has it serve again. It has written to:
""")
    for path, what in {**WRITES, **WRITES_BY_MANAGER[manager_of(Path("/"))]}.items():
        print(f"  {path:<27}{what}")


def main() -> int:
    """Read the command line and do as it says."""
    commands = {"ask": ask, "greet": greet, "down": down}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        commands[sys.argv[1]]()
    except LocalError as error:
        print(f"local: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
