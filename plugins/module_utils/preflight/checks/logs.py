"""Whether a collector of logs can be reached as the inventory says. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path

from ...certificates.pairs import CertificateError, read_chain
from ..view import HostView, Problem, check, probe_facts
from .stores import is_loopback

TARGET = "logs_target"
EXAMPLE = f"Write the collector's name and its port for syslog over TLS:\n  {TARGET}: logs.example.org:6514"


def place_of(text: str) -> tuple[str, int] | None:
    """Return the host and port of a target; None if it isn't one."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)):([0-9]{1,5})", text)
    if not found or not 0 < int(found[3]) < 65536:
        return None
    if found[1]:
        try:
            ipaddress.IPv6Address(found[1])
        except ValueError:
            return None
    return found[1] or found[2], int(found[3])


@check("logs")
def logs_target(host: HostView) -> Iterator[Problem]:
    """The target is a host and a port, and what is sent is encrypted on its way."""
    text = str(host.get(TARGET) or "")
    if not text or not host.installs:
        return
    place = place_of(text)
    if not place:
        yield Problem(TARGET, f'is "{text}", which is no HOST:PORT', EXAMPLE)
        return
    if probe_facts(host.probe).get("init", "systemd") != "systemd" and "app" not in (host.raw("group_names") or ()):
        fix = f"Write {TARGET}: '' for this host, or give it systemd: Debian's rsyslog has no script for another init."
        yield Problem(TARGET, "is set, and nothing on this host can run rsyslog", fix)
    if host.get("logs_tls") is False and not is_loopback(host, place[0]):
        fault = f"is false, and the logs would travel to {place[0]} unencrypted"
        yield Problem("logs_tls", fault, "Delete the line. Only a collector on the host itself may do without TLS.")


@check("logs")
def logs_authority(host: HostView) -> Iterator[Problem]:
    """The collector's authority is a file with certificates, on this machine."""
    text = str(host.get("logs_authority") or "")
    if not text or not host.get(TARGET) or not host.installs:
        return
    fix = 'Write the path of a file on this machine:\n  logs_authority: "{{ inventory_dir }}/files/collector-ca.pem"'
    path = Path(text).expanduser()
    if not path.is_file():
        yield Problem("logs_authority", f"is {text}, which is no file on this machine", fix)
        return
    try:
        read_chain(path.read_text(errors="replace"))
    except CertificateError as error:
        yield Problem("logs_authority", f"is {text}, and that is no certificate: {error}", fix)


@check("logs")
def logs_what(host: HostView) -> Iterator[Problem]:
    """What is sent has names that rsyslog can read, and there is room for it."""
    if not host.get(TARGET) or not host.installs:
        return
    for variable, form, words in (
        ("logs_redacted_names", r"[A-Za-z0-9_-]+", "letters, digits, _ and -"),
        ("logs_programs", r"[A-Za-z0-9_.-]+", "letters, digits, _, - and ."),
        ("logs_files", r"/[A-Za-z0-9_@./-]*[A-Za-z0-9_@.*-]+", "a whole path, with * in the file's name alone"),
    ):
        for item in host.items(variable):
            if not re.fullmatch(form, str(item)):
                yield Problem(variable, f'has "{item}"', f"Each has {words}.")
    for variable, least in (("logs_queue_mb", 10), ("logs_file_mb", 1)):
        number = host.get(variable)
        if isinstance(number, int) and number < least:
            yield Problem(variable, f"is {number}, which is too little", f"Write {least} or more.")
