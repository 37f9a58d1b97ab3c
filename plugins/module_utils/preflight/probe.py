"""What is wrong with a machine itself, judged by the probe's output. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .systems import UNTESTED, for_people, system_of
from .view import HostView, Problem, last_line, listed, probe_facts


def version_tuple(version: str) -> tuple[int, ...]:
    """`3.11.2` as numbers, for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def by_hand(host: HostView) -> str:
    """The command that shows an operator what Ansible saw when it could not connect."""
    connection = str(host.get("ansible_connection") or "ssh")
    if connection.rpartition(".")[2] not in ("ssh", "smart", "paramiko_ssh", "paramiko"):
        return f"Look whether connection {connection} reaches it:\n  ansible {host.name} -m ansible.builtin.ping"
    words = ["ssh"]
    for option, names in (("-p", ("ansible_port", "ansible_ssh_port")), ("-i", ("ansible_ssh_private_key_file",))):
        words += next(([option, str(host.get(name))] for name in names if host.get(name)), [])
    words += [str(host.get(name)) for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args") if host.get(name)]
    user = host.get("ansible_user") or host.get("ansible_ssh_user")
    target = host.get("ansible_host") or host.get("ansible_ssh_host") or host.name
    return "Try by hand, and correct ansible_host, ansible_port, ansible_user or the key:\n  " + " ".join(
        [*words, f"{user}@{target}" if user else str(target), "true"]
    )


def host_problems(host: HostView, versions: list[str], minimum_python: str) -> Iterator[Problem]:
    """What is wrong with a machine itself: not reachable, not root, not a supported Debian, no Python."""
    facts = probe_facts(host.probe)
    if host.probe.get("unreachable"):
        line = re.sub(r"^.*Failed to connect to the host via ssh: ", "", last_line(host.probe.get("msg")))
        yield Problem("", f"unreachable: {line}", by_hand(host) + way_on(host))
    elif not host.probe or host.probe.get("skipped"):
        yield Problem("", "was not probed", "Run the role preflight as a whole, without skipping its tags.")
    elif "user" not in facts:
        said = last_line(host.probe.get("stderr")) or last_line(host.probe.get("msg")) or "no output"
        yield Problem("", f"no command can be run on it as root: {said}", root_fix())
    else:
        let_in = system_of(facts) in (UNTESTED if allows_untested(host) else ())
        yield from machine_problems(facts, versions, minimum_python, host.name, let_in)


def may_be_left_out(host: HostView) -> bool:
    """Whether the others can go on without a host: none of them needs an app host, but all need the stores.

    Without one Redis of a group, the others have a primary all the same.
    """
    has_only_redis = "redis" in host.groups and host.get("redis_failover") is not True
    return "app" in host.groups and "database" not in host.groups and not has_only_redis


def way_on(host: HostView) -> str:
    """How to go on without a host that stays down, to append to what else to do; empty if nothing works without it."""
    if not may_be_left_out(host):
        return ""
    return "\nIf it stays down, go on without it; the next run catches up:\n  -e preflight_skip_unreachable=true"


def skippable(hosts: list[HostView]) -> list[str]:
    """The names of unreachable hosts that a run can go on without; none if no app host would be left."""
    down = [host.name for host in hosts if host.probe.get("unreachable") and may_be_left_out(host)]
    left = [host for host in hosts if "app" in host.groups and not host.probe.get("unreachable")]
    return down if left else []


def allows_untested(host: HostView) -> bool:
    """Whether a host may run a system that none of this bundle's tests run."""
    return host.get("preflight_allow_untested") is True


def untested_notices(host: HostView) -> Iterator[str]:
    """Notices that a host runs such a system."""
    system = system_of(probe_facts(host.probe))
    if system in UNTESTED and allows_untested(host):
        yield f"{host.name} runs {for_people(system)}, on which this bundle is not tested (preflight_allow_untested)."


def root_fix() -> str:
    """How to have commands run as root."""
    return (
        "Set ansible_become: true for it, with ansible_become_password in the vault if sudo asks (or run with "
        "--ask-become-pass), or ansible_user: root."
    )


def machine_problems(
    facts: Mapping[str, str], versions: list[str], minimum: str, name: str, let_in: bool
) -> Iterator[Problem]:
    """What is wrong with a machine that answered; with `let_in`, it may run an unsupported system."""
    if facts["user"] != "root":
        yield Problem("", f'commands run as "{facts["user"] or "nobody known"}", not as root', root_fix())
    umask = facts.get("umask", "")
    # Code, environment and static files belong to root; nobody else could read a line of them.
    if re.fullmatch(r"[0-7]+", umask) and int(umask, 8) & 0o055:
        fix = "Write UMASK 022 in its /etc/login.defs. Where it is the controller itself, run there before Ansible:"
        yield Problem("", f"new files are closed to the project's user (umask {umask})", f"{fix}\n  umask 022")
    supported = f"Debian {listed(versions)}"
    if not let_in and system_of(facts) not in [f"debian {version}" for version in versions]:
        found, untested = system_of(facts) or "an unknown system", listed(for_people(one) for one in UNTESTED)
        fix = f"Give it {supported}, or take it out. preflight_allow_untested: true lets in {untested}, untested."
        yield Problem("", f"runs {found}; supported: {supported}", fix)
        supported = ""
    elif facts.get("apt") != "yes":
        yield Problem("", "has no apt-get", "Use a Debian image that has apt.")
    python = facts.get("python", "")
    install = f"  ansible {name} -m ansible.builtin.raw -a 'apt-get update && apt-get install -y python3'"
    if not python:
        fix = "Install it, or correct ansible_python_interpreter:\n" + install
        yield Problem("", "has no Python 3", fix)
    elif supported and version_tuple(python) < version_tuple(minimum):
        fix = f"Install Debian's own, and let ansible_python_interpreter name it if it is set:\n{install}"
        yield Problem("", f"has Python {python}, older than {minimum}", fix)
