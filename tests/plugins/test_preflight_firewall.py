"""Values that would shut out who sets a host up, other firewalls, and clocks that differ, are told before anything."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.firewall import (
    firewall_allow,
    firewall_closes_no_neighbour,
    firewall_is_the_only_one,
    firewall_knows_peers,
    firewall_lets_ssh_in,
    firewall_networks,
    firewall_of_others,
    network_fault,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.hardening import (
    clock_is_right,
    hardening_fail2ban,
    hardening_hold,
    hardening_reboot,
    hardening_ssh,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView, Problem, Role

ROOT = Path(__file__).resolve().parents[2]
CAME = "ssh_connection=198.51.100.7 50000 10.0.0.1 22\nssh_ports=22\n"
GIVEN = {
    "group_names": ["app", "redis"], "firewall_enabled": True, "firewall_ssh_from": [], "firewall_site_from": [],
    "firewall_allow": [], "redis_bind": ["127.0.0.1"], "hardening_ssh_keys_only": True, "hardening_clock_seconds": 10,
}  # fmt: skip


def host_of(answer: str = CAME, installs: bool = True, **variables: Any) -> HostView:
    """A host of groups app and redis."""
    roles = {name: Role(name, {}, {}, {}, ["app"]) for name in ("firewall", "hardening", "redis", "postgresql")}
    return HostView("app1", {**GIVEN, PROBE: {"stdout": answer}, **variables}, roles, Templar(), installs)


def one(check: Any, *arguments: str, **variables: Any) -> Problem:
    """The only problem that a check has."""
    (found,) = check(host_of(*arguments, **variables))
    return found


@pytest.mark.parametrize("networks", [["203.0.113.0/24"], ["2001:db8::/32", "198.51.100.8"]])
def test_firewall_that_would_shut_this_machine_out(networks: list[str]) -> None:
    found = one(firewall_lets_ssh_in, firewall_ssh_from=networks)
    assert found.variable == "firewall_ssh_from" and "lacks 198.51.100.7" in found.fault
    assert "[198.51.100.7]" in found.fix


def test_firewall_that_lets_this_machine_in() -> None:
    """By a network or an address; over IPv6, as a link's own, and where IPv4 is written as IPv6."""
    for networks in ([], ["198.51.100.0/24"], ["198.51.100.7"], ["203.0.113.1", "198.51.100.7/32"]):
        for given in (CAME, CAME.replace("198.", "::ffff:198.")):
            assert list(firewall_lets_ssh_in(host_of(given, firewall_ssh_from=networks))) == []
    link = "ssh_connection=fe80::1%eth0 50000 fe80::2 22\nssh_ports=22\n"
    assert list(firewall_lets_ssh_in(host_of(link, firewall_ssh_from=["fe80::/10"]))) == []
    assert len(list(firewall_lets_ssh_in(host_of(link, firewall_ssh_from=["198.51.100.7"])))) == 1
    shut = {"firewall_ssh_from": ["203.0.113.1"]}
    assert list(firewall_lets_ssh_in(host_of("ssh_connection=\n", **shut))) == [], "not over SSH"
    assert list(firewall_lets_ssh_in(host_of("", **shut))) == [], "an answer of nobody"
    assert list(firewall_lets_ssh_in(host_of(installs=False, **shut))) == []
    assert list(firewall_lets_ssh_in(host_of(firewall_enabled=False, **shut))) == []


def test_port_of_ssh_that_nobody_knows_is_told() -> None:
    assert "is unknown" in one(firewall_lets_ssh_in, CAME.replace("ssh_ports=22", "ssh_ports=")).fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("10.0.0.0/8", ""), ("10.0.0.1", ""), ("fd00::/8", ""), ("host.example.org", "is no address"),
        ("10.0.0.1/8", "write 10.0.0.0/8"), ("0.0.0.0/0", "is everywhere"), ("::/0", "is everywhere"), ("", "is no"),
    ],
)  # fmt: skip
def test_networks(text: str, fault: str) -> None:
    assert (fault in network_fault(text)) if fault else network_fault(text) == ""
    for name in ("firewall_ssh_from", "firewall_site_from"):
        found = list(firewall_networks(host_of(**{name: [text]})))
        assert [problem.variable for problem in found] == ([name] if fault else [])
    assert bool(list(hardening_fail2ban(host_of(hardening_fail2ban_ignore=[text])))) == bool(fault)
    assert bool(list(firewall_allow(host_of(firewall_allow=[{"port": 1, "from": [text]}])))) == bool(fault)


@pytest.mark.parametrize(
    ("port", "good"),
    [(22, True), ("6000-6100", True), ("65535", True), (0, False), (65536, False), ("http", False), ("9-8", False),
     ("1-", False), ("1-2-3", False), (None, False), ("22; flush ruleset", False)],
)  # fmt: skip
def test_ports(port: Any, good: bool) -> None:
    assert bool(list(firewall_allow(host_of(firewall_allow=[{"port": port}])))) != good


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("firewall_ufw=yes", "ufw is on"), ("firewall_firewalld=77", "firewalld runs"),
        ("firewall_others=ip filter INPUT;", "ip filter INPUT"), ("firewall_legacy=-P INPUT DROP;", "iptables"),
    ],
)  # fmt: skip
def test_another_firewall_is_told(answer: str, word: str) -> None:
    found = one(firewall_is_the_only_one, answer)
    assert word in found.fault and "firewall_enabled: false" in found.fix
    assert list(firewall_is_the_only_one(host_of(answer, firewall_enabled=False))) == []


def test_no_other_firewall() -> None:
    nothing = "firewall_ufw=no\nfirewall_firewalld=\nfirewall_others=\nfirewall_legacy=\n"
    assert list(firewall_is_the_only_one(host_of(nothing))) == list(firewall_is_the_only_one(host_of(""))) == []


def test_probe_tells_whose_rules_refuse(tmp_path: Path) -> None:
    """By what nft says: Docker's rules, fail2ban's and our own are no firewall of somebody else's."""
    ruleset = """
table ip nat {
	chain DOCKER {
		drop
	}
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
	}
}
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		counter packets 0 bytes 0 drop
	}
}
table inet f2b-table {
	chain f2b-chain {
		type filter hook input priority filter - 1; policy accept;
		tcp dport 22 ip saddr @addr-set-sshd reject with icmp port-unreachable
		drop
	}
}
table inet channels {
	chain input {
		type filter hook input priority filter; policy drop;
	}
}
table inet soft {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 23 drop
		ct state invalid drop
	}
}
"""
    nft = tmp_path / "nft"
    nft.write_text(f"#!/bin/sh\ncat {tmp_path}/rules\n")
    nft.chmod(0o755)
    closed = ruleset.replace("\t\ttcp dport 23 drop\n", "\t\tcounter packets 7 bytes 420 drop\n")
    policy = ruleset.replace("priority filter; policy accept", "priority filter; policy drop")
    for rules, told in ((ruleset, ""), (closed, "inet soft input;"), (policy, "inet soft input;")):
        (tmp_path / "rules").write_text(rules)
        probe = ROOT / "roles" / "preflight" / "files" / "probe.sh"
        done = subprocess.run(
            ["sh", probe], env={"PATH": f"{tmp_path}:/usr/bin:/bin:/usr/sbin:/sbin", "python": "python3"}, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert f"firewall_others={told}" in done.stdout.splitlines()


def test_hosts_whose_address_nobody_knows_are_told() -> None:
    groups, hosts = {"app": ["app1", "app2", "app3"]}, {"app2": {"private_address": "10.0.0.2"}, "app3": {}}
    for name, bind in (("redis_bind", "Redis"), ("postgresql_bind", "PostgreSQL")):
        found = one(firewall_knows_peers, groups=groups, hostvars=hosts, **{name: ["-10.0.0.1", "127.0.0.1"]})
        assert "app3 come to" in found.fault and bind in found.fault and "private_address" in found.fix
    known = {**hosts, "app3": {"private_address": "10.0.0.3"}}
    assert list(firewall_knows_peers(host_of(groups=groups, hostvars=known, redis_bind=["10.0.0.1"]))) == []
    assert list(firewall_knows_peers(host_of(groups=groups, hostvars=hosts))) == [], "it listens for nobody else"


def test_ssh_with_a_password_is_told() -> None:
    for name in ("ansible_password", "ansible_ssh_pass"):
        assert "logs in with a password" in one(hardening_ssh, **{name: "x"}).fault
        assert list(hardening_ssh(host_of(hardening_ssh_keys_only=False, **{name: "x"}))) == []
    assert list(hardening_ssh(host_of())) == []


def test_times_and_expressions() -> None:
    for text, good in (("04:30", True), ("", True), ("23:59", True), ("24:00", False), ("4:30", False), ("now", False)):
        assert bool(list(hardening_reboot(host_of(hardening_upgrades_reboot=text)))) != good, text
    for item, good in (("redis-server$", True), ("linux-.*", True), ("(", False), ('a"b', False), ("", False)):
        assert bool(list(hardening_hold(host_of(hardening_upgrades_hold=[item])))) != good, item


@pytest.mark.parametrize(
    ("asked", "there", "word"),
    [(0, 0, ""), (-60, 0, ""), (-60, -60, ""), (-5, -14, ""), (0, -30, "30 s behind"), (-60, -90, "30 s behind"),
     (-5, 3600, "ahead of"), (0, 8, "")],
)  # fmt: skip
def test_clocks(asked: int, there: int, word: str) -> None:
    """Only what cannot come of the time that the way there has taken counts; a daemon that comes may set it first."""
    now = int(time.time())
    answer = f"clock={now + asked} {now + there}\ntime_daemon=chrony\nclock_own=1\n"
    found = list(clock_is_right(host_of(answer, hardening_time=True)))
    assert [word in problem.fault for problem in found] == ([True] if word else [])
    assert list(clock_is_right(host_of(answer, installs=False))) == []
    comes = answer.replace("time_daemon=chrony\n", "")
    assert list(clock_is_right(host_of(comes, hardening_time=True))) == []
    assert bool(list(clock_is_right(host_of(comes, hardening_time=False)))) == bool(word)


def test_firewall_of_a_neighbour_that_knows_nothing_of_this_site() -> None:
    told = f"{CAME}firewall_projects=chat shop \n"
    found = one(firewall_of_others, told, firewall_enabled=False, release_app="shop")
    assert found.variable == "firewall_enabled" and "the firewall of chat on the host" in found.fault
    for answer, options in (
        (told, {}), (told, {"firewall_enabled": False, "installs": False}), (CAME, {"firewall_enabled": False}),
        (f"{CAME}firewall_projects=shop \n", {"firewall_enabled": False}),
    ):  # fmt: skip
        assert list(firewall_of_others(host_of(answer, **{"release_app": "shop", **options}))) == []


CHAT = "site:chat=listen 80 default_server;listen [::]:80;listen 8443 ssl;listen 127.0.0.1:8001;server_name x.test;\n"


def test_firewall_that_would_close_a_neighbour() -> None:
    """A project that has no rules yet, as it never asked for the firewall."""
    ours: dict[str, Any] = {
        "release_app": "shop", "nginx_http_port": 81, "nginx_https_port": 444, "certificate_source": "none",
    }  # fmt: skip
    found = one(firewall_closes_no_neighbour, CAME + CHAT, **ours)
    assert found.variable == "firewall_enabled" and "port 80 and 8443 of chat" in found.fault
    assert "- {port: 80}\n    - {port: 8443}" in found.fix and "8001" not in found.fix
    for answer, options in (
        (f"{CAME}{CHAT}firewall_projects=chat \n", {}),
        (CAME + CHAT, {"firewall_enabled": False}),
        (CAME + CHAT, {"installs": False}),
        (CAME + CHAT, {"firewall_allow": [{"port": 80}, {"port": "8000-9000"}]}),
        (CAME + CHAT, {"nginx_http_port": 80, "nginx_https_port": 8443, "certificate_source": "acme"}),
        (CAME + CHAT.replace("chat", "shop"), {}),
    ):
        assert list(firewall_closes_no_neighbour(host_of(answer, **{**ours, **options}))) == []
    for options in (
        {"firewall_allow": [{"port": 80, "protocol": "udp"}, {"port": 8443}]},
        {"nginx_https_port": 80, "firewall_allow": [{"port": "8443-8444"}]},
    ):
        assert "port 80 of chat" in one(firewall_closes_no_neighbour, CAME + CHAT, **{**ours, **options}).fault
