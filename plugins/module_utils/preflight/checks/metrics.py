"""Whether metrics reach whoever asks for them, and alerts reach people. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ..view import HostView, Problem, check, listed

WATCHERS = "monitoring"
PORTS = {
    "metrics_node_port": {"app", "redis", "database", "proxy", "monitoring"},
    "metrics_redis_port": {"redis"},
    "metrics_postgresql_port": {"database"},
    "metrics_haproxy_port": {"proxy"},
    "monitoring_port": {"monitoring"},
    "monitoring_alerts_port": {"monitoring"},
}
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


def watchers(host: HostView) -> list[str]:
    """The hosts of group monitoring."""
    return list((host.raw("groups") or {}).get(WATCHERS) or [])


@check("metrics")
def metrics_way(host: HostView) -> Iterator[Problem]:
    """Who scrapes a host reaches it, at an address that is not everybody's."""
    if host.get("metrics_enabled") is not True:
        return
    others = [name for name in watchers(host) if name != host.name]
    if others and not host.get("private_address"):
        fault = f"is not set, and {listed(others)} cannot scrape {host.name} without it"
        yield Problem("private_address", fault, "Write the address at which other hosts know it:\n  private_address: …")
    for network in host.items("metrics_scrapers"):
        try:
            ipaddress.ip_network(str(network), strict=False)
        except ValueError:
            yield Problem("metrics_scrapers", f"has {network!r}, which is no address or network", "Write 10.0.0.9.")
    address = str(host.get("metrics_address") or "")
    try:
        every = ipaddress.ip_address(address).is_unspecified
    except ValueError:
        yield Problem(
            "metrics_address", f"is {address!r}, which is no address", "Delete the line, or write an address."
        )
        return
    if every and host.get("firewall_enabled") is not True:
        fix = "Write the private address, or let the firewall keep others out:\n  firewall_enabled: true"
        yield Problem("metrics_address", f"is {address}, so that everybody may read the metrics", fix)


@check("metrics")
def metrics_ports(host: HostView) -> Iterator[Problem]:
    """No two of its daemons share a port."""
    if host.get("metrics_enabled") is not True:
        return
    taken: dict[int, str] = {}
    for variable in [name for name, groups in PORTS.items() if groups & host.groups]:
        port = host.get(variable)
        if not isinstance(port, int):
            continue
        if not 1 <= port <= 65535:
            yield Problem(variable, f"is {port}", "Write a number from 1 to 65535.")
        elif port in taken:
            yield Problem(variable, f"is {port}, and so is {taken[port]}", "Let them differ.")
        taken.setdefault(port, variable)


@check("metrics")
def metrics_probe(host: HostView) -> Iterator[Problem]:
    """The probe knows what to wait for, and leaves the project time for its users."""
    if host.get("metrics_enabled") is not True or host.get("metrics_probe") is not True:
        return
    for variable in ("metrics_probe_send", "metrics_probe_broadcast"):
        text = str(host.get(variable) or "")
        if text and "{nonce}" not in text:
            fix = "Write {nonce} where a text goes that comes back."
            yield Problem(variable, "has no {nonce}, so no answer could be told from another one", fix)
    seconds = host.get("metrics_probe_seconds")
    if isinstance(seconds, int) and not 5 <= seconds <= 60:
        yield Problem("metrics_probe_seconds", f"is {seconds}", "Write a number from 5 to 60: alerts wait for minutes.")


@check("monitoring")
def monitoring_receiver(host: HostView) -> Iterator[Problem]:
    """Alerts can be sent to whom they should reach."""
    people = host.items("monitoring_mail_to")
    for address in people:
        if not ADDRESS.fullmatch(str(address)):
            yield Problem("monitoring_mail_to", f"has {address!r}, which is no mail address", "Write ops@example.org.")
    if people:
        if not ADDRESS.fullmatch(str(host.get("monitoring_mail_from") or "")):
            fix = "Write the sender that your mail server accepts:\n  monitoring_mail_from: alerts@example.org"
            yield Problem("monitoring_mail_from", "is no mail address, and monitoring_mail_to has some", fix)
        server = str(host.get("monitoring_mail_server") or "")
        if not re.fullmatch(r"\S+:\d+", server):
            fix = "Write host and port:\n  monitoring_mail_server: mail.example.org:587"
            yield Problem("monitoring_mail_server", f"is {server!r}", fix)
    if host.get("monitoring_mail_user") and not host.get("monitoring_mail_password"):
        fix = 'Put it into the vault:\n  monitoring_mail_password: "{{ vault_mail_password }}"'
        yield Problem("monitoring_mail_password", "is empty, and monitoring_mail_user is not", fix)
    url = str(host.get("monitoring_webhook_url") or "")
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        yield Problem("monitoring_webhook_url", "is no URL (not shown, it may be a secret)", "Write https://….")
    for variable, most in (("monitoring_keep_days", 3650), ("monitoring_repeat_hours", 120)):
        value = host.get(variable)
        if isinstance(value, int) and not 1 <= value <= most:
            yield Problem(variable, f"is {value}", f"Write a number from 1 to {most}.")
    hours, days = host.get("monitoring_report_hours"), host.get("monitoring_keep_days")
    longest = 24 * days if isinstance(days, int) and days > 0 else 24 * 3650
    if isinstance(hours, int | float) and not 0.1 <= hours <= longest:
        fix = f"Write a number of hours from 0.1 to {longest}: Prometheus keeps no more (monitoring_keep_days)."
        yield Problem("monitoring_report_hours", f"is {hours}", fix)
    if (keep := host.get("monitoring_keep_mb")) and isinstance(keep, int) and keep < 100:
        yield Problem("monitoring_keep_mb", f"is {keep}", "Write at least 100.")


@check("monitoring")
def monitoring_rules(host: HostView) -> Iterator[Problem]:
    """Files with rules of the team's own are there, and none takes another one's place."""
    names: set[str] = set()
    for path in host.items("monitoring_rules"):
        name = str(path).rpartition("/")[2]
        if not host_file(str(path)):
            yield Problem("monitoring_rules", f"has {path}, and there is no such file", "Correct the path.")
        elif not name.endswith(".yml") or name in names:
            yield Problem("monitoring_rules", f"has {path}", "Give each file a name of its own that ends in .yml.")
        names.add(name)


def host_file(path: str) -> bool:
    """Whether there is such a file on the controller."""
    return Path(path).expanduser().is_file()
