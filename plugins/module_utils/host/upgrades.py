"""What an upgrade of this host's packages would do, whether a reboot is due, and what either costs. Only reads."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cmp_to_key
from pathlib import Path
from typing import Any

APT = ("apt-get", "--simulate", "--quiet", "--quiet", "--option", "Debug::NoLocking=true")
KINDS = {"safe": ("upgrade", "--with-new-pkgs"), "full": ("dist-upgrade",)}
INSTALLED = re.compile(r"^Inst (?P<name>\S+)(?: \[(?P<old>[^\]]*)\])? \((?P<new>\S+)", re.MULTILINE)
REMOVED = re.compile(r"^Remv (\S+)", re.MULTILINE)
# Packages whose upgrade restarts what holds sockets, by the group whose hosts have them.
HOLDERS = {
    "app": re.compile(r"^(nginx($|-core$|-light$|-full$|-extras$|-common$)|supervisor$)"),
    "proxy": re.compile(r"^haproxy$"),
    "redis": re.compile(r"^redis(-server|-tools)?$"),
    "database": re.compile(r"^postgresql-\d+$"),
}
NEW_BOOT = re.compile(r"^linux-image-")
# A library that was replaced while a process uses it. Other deleted files, such as those in memory, are of no interest.
OLD_LIBRARY = re.compile(r" (/(?:usr/)?lib\S*\.so[.\d]*) \(deleted\)$", re.MULTILINE)
UNIT = re.compile(r"/([^/]+)\.(?:service|scope)(?:/|$)", re.MULTILINE)
#: The group of Redises that a host belongs to; role redis writes it.
REDIS_GROUP = Path("/etc/redis/primary.json")
#: What it costs to restart Redis, by its part in a group.
REDIS_COSTS = {
    "": "Redis restarts: handshakes fail meanwhile, and channels_redis's core layer closes every socket",
    "broken": "Redis restarts, and not all Redises of its group work (redis-primary status): handshakes may fail, and "
    "channels_redis's core layer may close every socket",
    "primary": "another Redis becomes the primary first",
    "replica": "Redis restarts, and the primary is on another host",
}
DRAINED_BY_UPGRADE = "playbooks/upgrade.yml "


class UpgradeError(Exception):
    """The host does not say what can be upgraded; the text says why, for a person."""


def answer(command: Sequence[str]) -> str:
    """A command's output. May raise UpgradeError with its last line."""
    surroundings = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines() or [f"it ended with {done.returncode}"]
        raise UpgradeError(f"`{' '.join(command)}`: {told[-1]}")
    return done.stdout


def packages_in(simulated: str) -> list[dict[str, str]]:
    """The packages that apt would install: `name`, `old` version (empty if it is a new one) and `new` version."""
    return [{key: text or "" for key, text in match.groupdict().items()} for match in INSTALLED.finditer(simulated)]


def removed_in(simulated: str) -> list[str]:
    """The packages that apt would remove."""
    return REMOVED.findall(simulated)


def newest_kernel(names: Iterable[str], newer: Any) -> str:
    """The newest of the installed kernels; `newer(a, b)` is below, at or above 0. Empty if there is none."""
    return max(names, key=cmp_to_key(newer), default="")


def compared(one: str, other: str) -> int:
    """Whether a version is below (-1), at or above (1) another, as dpkg sorts them."""
    if one == other:
        return 0
    below = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0
    return -1 if below else 1


def kernel_reason(root: Path, running: str) -> list[str]:
    """Whether a newer kernel than the running one is installed. Containers have none of their own."""
    names = [path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*")]
    newest = newest_kernel(names, compared)
    if running in names and newest != running:
        return [f"kernel {newest} is installed, and {running} runs"]
    return []


def asked_reason(root: Path) -> list[str]:
    """What packages have asked for, in the file that Debian's scripts write."""
    if not (root / "run" / "reboot-required").exists():
        return []
    try:
        names = sorted(set((root / "run" / "reboot-required.pkgs").read_text(errors="replace").split()))
    except OSError:
        names = []
    return [f"{', '.join(names) or 'a package'} asked for it (/run/reboot-required)"]


def outdated(root: Path) -> list[str]:
    """The units that run with libraries which were replaced after they started."""
    found = set()
    for process in (root / "proc").glob("[0-9]*"):
        try:
            if OLD_LIBRARY.search((process / "maps").read_text(errors="replace")):
                units = UNIT.findall((process / "cgroup").read_text(errors="replace"))
                found.add(units[-1] if units else (process / "comm").read_text(errors="replace").strip())
        except OSError:  # it has ended
            continue
    return sorted(found - {name for name in found if name.startswith("session-")})


def reboot_reasons(root: Path, running: str) -> list[str]:
    """Why a reboot is due; empty if it is not."""
    late = outdated(root)
    libraries = [f"{', '.join(late)} still run{'' if len(late) > 1 else 's'} with replaced libraries"] if late else []
    return [*asked_reason(root), *kernel_reason(root, running), *libraries]


def holders(packages: Iterable[Mapping[str, str]], groups: Iterable[str]) -> dict[str, list[str]]:
    """The packages whose upgrade restarts what holds sockets or data, by group."""
    names = [package["name"].partition(":")[0] for package in packages if package["old"]]
    found = {group: [name for name in names if HOLDERS[group].search(name)] for group in groups if group in HOLDERS}
    return {group: names for group, names in found.items() if names}


def redis_part(tool: Path = Path("/usr/local/sbin/redis-primary")) -> str:
    """This host's part in a group of Redises that all work: `primary` or `replica`; `broken` if not all do.

    Empty if the host's Redis is by itself, or there is none.
    """
    if not tool.exists():
        return ""
    done = subprocess.run([str(tool), "status"], capture_output=True, text=True, check=False)
    try:
        said, own = json.loads(done.stdout), json.loads(REDIS_GROUP.read_text())["address"]
    except (OSError, ValueError, KeyError):
        return "broken"
    return said["redis"].get(own, "broken") if said["healthy"] else "broken"


def costs(
    groups: Sequence[str],
    packages: Sequence[Mapping[str, str]],
    reboots: bool,
    others: Mapping[str, int],
    redis: str = "",
) -> list[dict[str, Any]]:
    """What an upgrade costs whom: `text`, and whether it `closes` sockets that cannot be moved before.

    `others` has how many other hosts each group has: an app host's sockets move if there is an edge and another one.
    `redis` is the host's part in a group of Redises.
    """
    found: list[dict[str, Any]] = []
    held, movable = holders(packages, groups), others.get("proxy") and others.get("app")
    if "app" in groups and (reboots or (packages if movable else "app" in held)):
        if movable:
            found.append({"text": "its sockets move to other hosts first", "closes": False})
        else:
            found.append({"text": "all its sockets close, because no other host can take them", "closes": True})
    if "proxy" in groups and (reboots or "proxy" in held):
        way = "clients come back through another edge" if others.get("proxy") else "nobody reaches the site meanwhile"
        found.append({"text": f"all sockets through this edge close, and {way}", "closes": True})
    if "redis" in groups and (reboots or "redis" in held):
        found.append({"text": REDIS_COSTS[redis], "closes": redis not in ("primary", "replica")})
    if "database" in groups and (reboots or "database" in held):
        found.append({"text": "PostgreSQL restarts: requests that need it fail meanwhile", "closes": False})
    return found


def drained_by(flag: Path) -> str:
    """Who took this app host out of its fleet: `upgrade`, `operator`, or nobody."""
    try:
        return "upgrade" if flag.read_text(errors="replace").startswith(DRAINED_BY_UPGRADE) else "operator"
    except OSError:
        return ""


def lists_age(folder: Path = Path("/var/lib/apt/lists")) -> int:
    """Hours since this host last asked for new packages; -1 if it never has."""
    times = [path.stat().st_mtime for path in folder.glob("*Packages*")]
    return int((time.time() - max(times)) / 3600) if times else -1


def told(state: Mapping[str, Any]) -> list[str]:
    """What would be done, for people."""
    count, reasons = len(state["packages"]), state["reboot_reasons"]
    changes = [f"{one['name']} {one['old']} -> {one['new']}" for one in state["packages"] if one["old"]]
    changes += [f"{one['name']} {one['new']} (new)" for one in state["packages"] if not one["old"]]
    lines = [f"{count} package{'' if count == 1 else 's'} to upgrade" + (f": {', '.join(changes)}" if changes else "")]
    if state["removed"]:
        lines.append(f"to remove: {', '.join(state['removed'])}")
    if state["unfinished"]:
        lines.append("an earlier run of dpkg was interrupted; it is finished first")
    lines.append(f"a reboot is due: {'; '.join(reasons)}" if reasons else "no reboot is due")
    if state["drained"]:
        who = {"upgrade": "an earlier upgrade: it comes back", "operator": "somebody: it stays out"}[state["drained"]]
        lines.append(f"taken out of the fleet by {who}")
    return lines + [one["text"] for one in state["costs"]]
