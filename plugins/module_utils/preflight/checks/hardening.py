"""Check that SSH will not refuse whoever sets it up, and that the host's clock is right. Controller only."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from ..view import HostView, Problem, check, probe_facts
from .firewall import network_fault

PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")


@check("hardening")
def hardening_ssh(host: HostView) -> Iterator[Problem]:
    """SSH is limited to keys only if this machine logs in with one."""
    if not host.installs or not host.get("hardening_ssh_keys_only"):
        return
    if any(host.raw(name) for name in PASSWORDS):
        fix = "Log in with a key (ssh-copy-id puts it there) and delete the password, or write false."
        yield Problem("hardening_ssh_keys_only", "is true, and this machine logs in with a password", fix)


@check("hardening")
def hardening_fail2ban(host: HostView) -> Iterator[Problem]:
    """fail2ban has a log to read, and lists of networks hold only networks."""
    for text in host.items("hardening_fail2ban_ignore"):
        if fault := network_fault(text):
            fix = "Write addresses and networks:\n  hardening_fail2ban_ignore: [198.51.100.0/24]"
            yield Problem("hardening_fail2ban_ignore", fault, fix)
            break


@check("hardening")
def hardening_reboot(host: HostView) -> Iterator[Problem]:
    """A host reboots at a valid time of day."""
    text = str(host.get("hardening_upgrades_reboot") or "")
    if text and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        fix = 'Write it in quotes:\n  hardening_upgrades_reboot: "04:30"'
        yield Problem("hardening_upgrades_reboot", f'"{text}" is no time of the day', fix)


@check("hardening")
def hardening_hold(host: HostView) -> Iterator[Problem]:
    """Packages to hold back are named by valid expressions."""
    for item in host.items("hardening_upgrades_hold"):
        try:
            re.compile(str(item))
            fault = '"' in str(item) or not str(item)
        except re.error:
            fault = True
        if fault:
            fix = "Write names, each with a $ at its end:\n  hardening_upgrades_hold: [redis-server$]"
            yield Problem("hardening_upgrades_hold", f"'{item}' is no regular expression", fix)


@check("hardening")
def clock_is_right(host: HostView) -> Iterator[Problem]:
    """The host's clock agrees with this machine's: tokens have a start and an end."""
    facts = probe_facts(host.probe)
    found, limit = re.fullmatch(r"(\d+) (\d+)", facts.get("clock", "")), host.get("hardening_clock_seconds")
    if not found or not host.installs or not isinstance(limit, int):
        return
    # The host was asked after this machine took its own time, and answered before now. That delay is not its fault.
    asked, there = int(found[1]), int(found[2])
    off = min(there - asked, 0) or max(there - int(time.time()), 0)
    comes = host.get("hardening_time") and facts.get("clock_own") == "1" and "time_daemon" not in facts
    if abs(off) > limit and not comes:
        fault = f"is {limit}, and the host's clock is {abs(off)} s {'ahead of' if off > 0 else 'behind'} this machine's"
        fix = "Tokens would be refused. Have the wrong one of the two set (timedatectl set-ntp true), or write more."
        yield Problem("hardening_clock_seconds", fault, fix)
