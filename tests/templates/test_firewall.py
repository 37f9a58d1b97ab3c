"""The rules of the firewall, taken apart as nft reads them, and what else makes a host fit for the internet."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
HOST = {
    "cores": "2", "memory_mb": "1000", "python": "3.11.2", "version": "12", "init": "systemd", "ssh_ports": "22 2222",
}  # fmt: skip
SITE = {"certificate_source": "acme", "nginx_http_port": 80, "nginx_https_port": 8443, "preflight_host": HOST}
FLEET = {
    "groups": {"app": ["host", "app2", "app3"], "redis": ["host"], "monitoring": ["watch"], "proxy": ["edge"]},
    "hostvars": {
        "host": {"private_address": "10.0.0.1"}, "app2": {"private_address": "10.0.0.2"},
        "app3": {"private_address": "fd00::3"}, "watch": {"private_address": "10.0.0.9"},
        "edge": {"private_address": "10.0.0.8"},
    },
}  # fmt: skip


def parsed(text: str) -> dict[str, list[str]]:
    """Chains and sets of one table by their names, each with its statements; blocks within are one statement."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    table = re.fullmatch(r"\s*table inet channels \{(.*)\}\s*", text, re.DOTALL)
    assert table, text
    found: dict[str, list[str]] = {}
    for kind, name, body in re.findall(r"(chain|set) (\S+) \{\n(.*?)\n?    \}\n", table[1], re.DOTALL):
        flat = re.sub(r"\{[^}]*\}", lambda block: " ".join(block[0].split()), body)
        lines = [re.sub(r"\s+", " ", line).strip() for line in flat.splitlines()]
        found[f"{kind} {name}"] = [line for line in lines if line]
    return found


def test_what_all_projects_share(render: Render) -> None:
    """Each line is one without which somebody is shut out, or let in: test_firewall.py of scenario secure tries it."""
    tables = parsed(render("firewall/base.nft.j2"))
    assert tables["chain projects"] == []
    assert tables["set untracked"] == ["type inet_service", "flags interval", "auto-merge"]
    assert tables["chain incoming"] == [
        "type filter hook prerouting priority raw; policy accept;",
        "fib daddr type local tcp dport @untracked notrack",
    ]
    assert tables["chain outgoing"] == [
        "type filter hook output priority raw; policy accept;", "tcp sport @untracked notrack",
    ]  # fmt: skip
    first, *rules = tables["chain input"]
    assert first == "type filter hook input priority filter; policy drop;"
    assert rules[:3] == [
        "iif lo accept", "ct state established,related accept",
        "tcp flags & (fin | syn | rst | ack) != syn accept",
    ]  # fmt: skip
    icmp, icmp6 = (set(re.findall(r"[\w-]+", re.search(r"\{(.*)\}", rule)[1])) for rule in rules[3:5])  # type: ignore[index]
    assert icmp == {"echo-request", "destination-unreachable", "time-exceeded", "parameter-problem"}
    assert icmp6 - icmp == {
        "packet-too-big", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert", "mld-listener-query",
        "mld-listener-report", "mld-listener-done", "mld2-listener-report",
    }  # fmt: skip
    assert icmp <= icmp6
    assert rules[5:] == [
        "udp sport 67 udp dport 68 accept", "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
        "jump projects", 'counter comment "refused"',
    ]  # fmt: skip


def test_single_machine_has_ssh_and_the_site(render: Render) -> None:
    """Stores that nobody else uses stay closed; SSH is where it listens."""
    tables = parsed(render("firewall/project.nft.j2", **SITE))
    assert tables["chain project_dash-board"] == [f"tcp dport {port} accept" for port in (22, 2222, 80, 8443)]
    assert tables["chain projects"] == ["jump project_dash-board"]
    assert tables["set untracked"][-1] == "elements = { 80, 8443 }"


def test_site_without_tls_has_one_port(render: Render) -> None:
    tables = parsed(render("firewall/project.nft.j2", **SITE | {"certificate_source": "none"}))
    assert tables["chain project_dash-board"][2:] == ["tcp dport 80 accept"]
    assert tables["set untracked"][-1] == "elements = { 80 }"


def test_stores_are_for_hosts_of_the_groups_that_use_them(render: Render) -> None:
    """By the addresses that they come from, of either family; none of another group."""
    host = {**SITE, **FLEET, "group_names": ["redis", "database"], "redis_port": 6380, "postgresql_port": 5433}
    tables = parsed(render("firewall/project.nft.j2", **host))
    peers = ("ip saddr 10.0.0.2", "ip6 saddr fd00::3", "ip saddr 10.0.0.9")
    stores = [f"{peer} tcp dport {port} accept" for port in (6380, 5433) for peer in peers]
    # From the host of group monitoring alone.
    metrics = [f"{peers[-1]} tcp dport {port} accept" for port in (9100, 9121, 9187)]
    assert tables["chain project_dash-board"] == ["tcp dport 22 accept", "tcp dport 2222 accept", *stores, *metrics]
    assert "set untracked" not in tables
    # While Redis gets TLS, releases that know of no other port come to the one without.
    tables = parsed(render("firewall/project.nft.j2", **host | {"redis_plain_port": 6379}))
    assert f"{peers[0]} tcp dport 6379 accept" in tables["chain project_dash-board"]
    tables = parsed(render("firewall/project.nft.j2", **host | {"group_names": ["app"]}))
    assert not [rule for rule in tables["chain project_dash-board"] if re.search(r"dport (6380|5433)", rule)]


def test_site_of_a_fleet_is_for_its_edges(render: Render) -> None:
    """They alone reach the app hosts, and everybody reaches them."""
    tables = parsed(render("firewall/project.nft.j2", **SITE | FLEET, group_names=["app"]))
    site = [rule for rule in tables["chain project_dash-board"] if "dport 80 " in rule]
    assert site == ["ip saddr 10.0.0.8 tcp dport 80 accept"]
    tables = parsed(render("firewall/project.nft.j2", **SITE | FLEET, group_names=["proxy"]))
    assert "tcp dport 80 accept" in tables["chain project_dash-board"]


def test_networks_of_the_users_own(render: Render) -> None:
    given = {
        "firewall_ssh_from": ["198.51.100.0/24", "2001:db8::/32"], "firewall_site_from": ["203.0.113.7"],
        "firewall_allow": [
            {"port": 9100, "from": ["10.0.0.0/8"]}, {"port": "6000-6100", "protocol": "udp"},
            {"port": 53, "protocol": "udp", "from": []},
        ],
    }  # fmt: skip
    host = {**HOST, "ssh_ports": "22"}
    tables = parsed(render("firewall/project.nft.j2", **SITE | given | {"preflight_host": host}))
    assert tables["chain project_dash-board"] == [
        "ip saddr 198.51.100.0/24 tcp dport 22 accept", "ip6 saddr 2001:db8::/32 tcp dport 22 accept",
        "ip saddr 203.0.113.7 tcp dport 80 accept", "ip saddr 203.0.113.7 tcp dport 8443 accept",
        "ip saddr 10.0.0.0/8 tcp dport 9100 accept", "udp dport 6000-6100 accept", "udp dport 53 accept",
    ]  # fmt: skip


def test_tool_loads_all_projects_at_once(tmp_path: Path) -> None:
    """In one transaction, with a digest by which it knows them again; without a project there is no table."""
    nft, home = tmp_path / "nft", tmp_path / "home"
    nft.write_text(f'#!/bin/sh\ncase "$*" in *list*) cat {tmp_path}/there ;; *) echo "$*"; cat ;; esac\n')
    nft.chmod(0o755)
    (home / "projects").mkdir(parents=True)
    tool = tmp_path / "tool"
    text = (ROOT / "roles/firewall/files/channels-firewall").read_text().replace("/etc/channels-firewall", str(home))
    tool.write_text(text.replace("/run/systemd/system", str(tmp_path / "no")))
    tool.chmod(0o755)

    def run(verb: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            ["sh", tool, verb], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, text=True, capture_output=True, check=False
        )
        return done.returncode, done.stdout.splitlines()

    (home / "base.nft").write_text("# base\n")
    assert run("load") == (0, ["-f -", "add table inet channels; delete table inet channels"])
    assert run("loaded")[0] == 0, "no table is there, and none is meant"
    (home / "projects" / "one.nft").write_text("# one\n")
    (home / "projects" / "two.nft").write_text("# two\n")
    code, lines = run("apply")
    assert code == 0 and lines[0] == "-f -" and lines[3:] == ["# base", "# one", "# two"]
    named = re.fullmatch(r'add table inet channels \{ (comment "\w{32}"); \}', lines[2])
    assert named
    assert run("check")[1] == ["-c -f -", *lines[1:]]
    (tmp_path / "there").write_text(f"table inet channels {{\n\t{named[1]}\n}}\n")
    assert run("loaded")[0] == 0
    (home / "projects" / "two.nft").write_text("# changed\n")
    assert run("loaded")[0] == 1
    (home / "projects" / "two.nft").unlink()
    (home / "projects" / "one.nft").unlink()
    assert run("loaded")[0] == 1, "a table has stayed"
    assert run("open")[1] == ["-f -", "add table inet channels; delete table inet channels"]
    assert run("what")[0] == 2


def apt_settings(text: str) -> dict[str, list[str]]:
    """Values by their names, as apt reads them: the last one counts, and a list is emptied by #clear."""
    text = re.sub(r"^//.*\n", "", text, flags=re.MULTILINE)
    found = {name: [] for name in re.findall(r"^#clear (\S+);$", text, re.MULTILINE)}
    for name, value in re.findall(r'^([\w:-]+) "(.*)";$', text, re.MULTILINE):
        found[name] = [value]
    for name, block in re.findall(r"^([\w:-]+) \{\n(.*?)\};$", text, re.MULTILINE | re.DOTALL):
        found[name] = found.get(name, []) + re.findall(r'^    "(.*)";$', block, re.MULTILINE)
    return found


def test_security_upgrades_alone_come_by_themselves(render: Render) -> None:
    upgrades = "Unattended-Upgrade::"
    plain = apt_settings(render("hardening/unattended_upgrades.conf.j2"))
    assert plain == {
        f"{upgrades}Allowed-Origins": [], f"{upgrades}Package-Blacklist": [], f"{upgrades}Automatic-Reboot": ["false"],
        f"{upgrades}Origins-Pattern": [
            "origin=Debian,codename=${distro_codename}-security,label=Debian-Security",
            "origin=Ubuntu,archive=${distro_codename}-security",
        ],
        "APT::Periodic::Update-Package-Lists": ["1"], "APT::Periodic::Unattended-Upgrade": ["1"],
    }  # fmt: skip
    given = {
        "hardening_upgrades": True, "hardening_upgrades_hold": ["redis-server$", "^nginx"],
        "hardening_upgrades_reboot": "04:30",
    }  # fmt: skip
    assert apt_settings(render("hardening/unattended_upgrades.conf.j2", **given)) == plain | {
        f"{upgrades}Package-Blacklist": ["^nginx", "redis-server$"], f"{upgrades}Automatic-Reboot": ["true"],
        f"{upgrades}Automatic-Reboot-Time": ["04:30"],
    }  # fmt: skip


def test_projects_of_a_host_have_its_upgrades_in_common(render: Render) -> None:
    """Each one's packages are held back, and the host starts anew at the earliest time; its own old wish is gone."""

    def wish(project: str, **values: Any) -> dict[str, Any]:
        none = {"ssh_keys_only": False, "upgrades": False, "upgrades_hold": [], "upgrades_reboot": ""}
        return none | {"project": project, "fail2ban": False, "fail2ban_ignore": []} | values

    of_others = [
        wish("dash-board", upgrades=True, upgrades_hold=["old$"], upgrades_reboot="01:00"),
        wish("second", upgrades=True, upgrades_hold=["nginx$"], upgrades_reboot="04:30"),
        wish("third", upgrades_hold=["third$"], upgrades_reboot="02:00"),
    ]
    host = {**HOST, "hardening_projects": json.dumps(of_others)}
    given = {"hardening_upgrades_hold": ["redis$"], "hardening_upgrades_reboot": "05:00", "preflight_host": host}
    for upgrades in (True, False):
        found = apt_settings(render("hardening/unattended_upgrades.conf.j2", hardening_upgrades=upgrades, **given))
        held = found["Unattended-Upgrade::Package-Blacklist"]
        assert held == (["nginx$", "redis$"] if upgrades else ["nginx$"])
        assert found["Unattended-Upgrade::Automatic-Reboot-Time"] == ["04:30"]


@pytest.mark.parametrize(
    ("unit", "kept"),
    [
        ("dash-board-daphne@0123-1.service", True), ("nginx.service", True), ("redis-server.service", True),
        ("postgresql@15-main.service", True), ("supervisor.service", True), ("cron.service", False),
        ("my-dash-board-x.service", False), ("nginx-exporter.service", False),
    ],
)  # fmt: skip
def test_needrestart_leaves_what_has_sockets(render: Render, unit: str, kept: bool) -> None:
    lines = render("hardening/needrestart.conf.j2").splitlines()
    rules = [re.fullmatch(r"\$nrconf\{override_rc\}\{qr\((.*)\)\} = 0;", line) for line in lines if line[0] != "#"]
    assert all(rules) and bool([rule for rule in rules if rule and re.search(rule[1], unit)]) == kept


def test_ssh_takes_keys_alone(render: Render) -> None:
    lines = [line.split() for line in render("hardening/sshd.conf.j2").splitlines() if line[0] != "#"]
    assert lines == [["PasswordAuthentication", "no"], ["KbdInteractiveAuthentication", "no"]]


@pytest.mark.parametrize("init", ["systemd", "init"])
def test_fail2ban_never_shuts_out_who_sets_it_up(render: Render, init: str) -> None:
    host: dict[str, Any] = {**HOST, "init": init, "ssh_connection": "198.51.100.7 50000 10.0.0.1 22"}
    given = configparser.ConfigParser()
    ignored = {"hardening_fail2ban": True, "hardening_fail2ban_ignore": ["10.0.0.0/8"]}
    given.read_string(render("hardening/fail2ban.conf.j2", preflight_host=host, **ignored))
    assert shlex.split(given["DEFAULT"]["ignoreip"]) == ["127.0.0.1/8", "::1", "198.51.100.7", "10.0.0.0/8"]
    assert given["DEFAULT"]["banaction"] == "nftables-multiport"
    assert given["DEFAULT"]["banaction_allports"] == "nftables-allports"
    assert given["DEFAULT"].getboolean("ignoreself")
    jail = given["sshd"]
    assert jail.getboolean("enabled") and jail["port"] == "22,2222"
    assert (jail["backend"], jail.get("logpath")) == (
        ("systemd", None) if init == "systemd" else ("auto", "/var/log/auth.log")
    )
