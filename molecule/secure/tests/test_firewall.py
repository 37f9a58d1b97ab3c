"""What can be reached on a host on the internet, who may log in, and that nobody is locked out along the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_host import PATIENCE, ROOT, SSH_CONFIG, LabHost, Run, echoes, playbook_command
from secure_site import opened
from websockets.sync.client import ClientConnection

# With enough time for a machine that is busy with other scenarios.
PARTS = ("playbooks/provision.yml", "--tags", "base,firewall,hardening", "--timeout", "60")
PROJECTS = "/etc/channels-firewall/projects"
PASSWORD = "correct horse battery staple"
# Runs on the host: a separate network, where one side has the host's rules and the other one can be anybody. What was
# open before the rules is still open afterwards, even if only the other side sends.
NETWORK = """
import json, socket, subprocess, sys, threading, time
PEER, STRANGER = sys.argv[1], sys.argv[2]
def sh(text): subprocess.run(text, shell=True, check=True)
def within(name):
    import ctypes, os
    with open(f"/run/netns/{name}") as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
clean = "for one in wall far; do ip netns del $one 2>/dev/null; done; true"
sh(clean)
try:
    sh("ip netns add wall; ip netns add far; ip link add w0 netns wall type veth peer name f0 netns far")
    sh("for one in wall far; do ip -n $one link set lo up; done; ip -n wall link set w0 up; ip -n far link set f0 up")
    sh("ip -n wall addr add 2001:db8::1/64 dev w0 nodad; ip -n wall addr add 192.0.2.1/24 dev w0")
    for address in (PEER, STRANGER):
        sh(f"ip -n far addr add {address}/24 dev f0")
    sh("ip -n far addr add 2001:db8::2/64 dev f0 nodad; ip -n far addr add 2001:db8::3/64 dev f0 nodad")
    within("far")
    outside = socket.create_server(("::", 7000), family=socket.AF_INET6)
    within("wall")
    ports = [int(port) for port in sys.argv[3].split(",")]
    servers = [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) for port in ports]
    quiet = socket.create_connection(("2001:db8::2", 7000), 10)
    there = outside.accept()[0]
    sh("ip netns exec wall channels-firewall load")
    there.sendall(b"news")
    quiet.settimeout(20)
    found = {"open": quiet.recv(4).decode(), "reached": []}
    within("far")
    jobs = []
    def knock(source, target, port):
        try:
            socket.create_connection((target, port), 4, (source, 0)).close()
            found["reached"].append([source, port])
        except OSError:
            pass
    for source, target in ((PEER, "192.0.2.1"), (STRANGER, "192.0.2.1"), ("2001:db8::2", "2001:db8::1"),
                           ("2001:db8::3", "2001:db8::1")):
        for port in ports:
            jobs.append(threading.Thread(target=knock, args=(source, target, port)))
    for job in jobs: job.start()
    for job in jobs: job.join()
    foreign = "table ip theirs { chain input { type filter hook input priority 10; policy drop; }\\n}"
    subprocess.run(["ip", "netns", "exec", "wall", "nft", "-f", "-"], input=foreign, text=True, check=True)
    probe = subprocess.run(["ip", "netns", "exec", "wall", "sh"], input=sys.argv[4], capture_output=True, text=True)
    found["others"] = [line for line in probe.stdout.splitlines() if line.startswith("firewall_others=")]
    print(json.dumps(found))
finally:
    sh(clean)
"""
# Runs on the other host: which ports of an address accept its connections.
KNOCK = """
import json, socket, sys
reached = []
for port in map(int, sys.argv[2:]):
    try:
        socket.create_connection((sys.argv[1], port), 4).close()
        reached.append(port)
    except OSError:
        pass
print(json.dumps(reached))
"""
LISTEN = """
import contextlib, socket, time
servers = []
for port in (5432, 6379, 9101, 9102):
    with contextlib.suppress(OSError):  # the host's own store is there
        servers.append(socket.create_server(("{address}", port)))
time.sleep(600)
"""


def login(name: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Log in to a host over a new connection."""
    command = ["ssh", "-F", str(SSH_CONFIG), "-S", "none", "-o", "ConnectTimeout=5", *options, name, "id -un"]
    given = os.environ | environment
    return subprocess.run(command, env=given, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL)


def await_login(name: str, seconds: float = 240) -> None:
    """Wait until this machine can log in to a host."""
    deadline = time.monotonic() + seconds
    while (done := login(name)).returncode:
        assert time.monotonic() < deadline, f"{name} lets nobody in: {done.stderr}"
        time.sleep(1)


def on(name: str, script: str, *arguments: str) -> Any:
    """Run a Python script on a host, over a new connection; return the JSON that it prints."""
    command = ["ssh", "-F", str(SSH_CONFIG), "-S", "none", name, "python3", "-", *arguments]
    return json.loads(subprocess.run(command, input=script, text=True, capture_output=True, check=True).stdout)


class Walled:
    """A host with the firewall, and everything else that these tests are about."""

    def __init__(self, lab: LabHost, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        here, there = ("trixie", "bookworm") if "trixie" in lab.name else ("bookworm", "trixie")
        self.other = lab.name.replace(here, there)
        self.addresses = {name: self.address(name) for name in (lab.name, self.other)}
        self.before = self.foreign()
        self.first: Run
        self.kept = self.accepted = False

    @staticmethod
    def address(name: str) -> str:
        """The address at which other hosts reach this one."""
        script = "import json, socket; print(json.dumps(socket.gethostbyname(socket.gethostname())))"
        return on(name, script)

    def command(self, **more: Any) -> tuple[str, ...]:
        """The arguments of a run with the firewall."""
        file = self.folder / f"{len(list(self.folder.iterdir()))}.json"
        file.write_text(json.dumps({
            "firewall_enabled": True, "hardening_ssh_keys_only": True, "hardening_upgrades": True,
            "hardening_fail2ban": True, "private_address": "{{ addresses[inventory_hostname] }}",
            "addresses": self.addresses, "firewall_allow": [
                {"port": 9101, "from": ["203.0.113.0/24"]}, {"port": "9102-9103"},
                {"port": 9104, "from": ["192.0.2.2", "2001:db8::2"]},
            ], **more,
        }))  # fmt: skip
        return (*PARTS, "--limit", self.lab.name, "-e", f"@{file}")

    def run(self, *options: str, **more: Any) -> Run:
        """Provision the host with it."""
        return Run(*self.command(**more), *options)

    def rules(self) -> str:
        """The firewall's current rules, without their counters."""
        return self.lab.run("nft --stateless list table inet channels")

    def foreign(self) -> str:
        """Somebody else's rules: Docker adds some to a lab host to resolve names."""
        return self.lab.run("iptables-save -t nat 2>/dev/null | grep -v '^#' | sed 's/\\[.*//' || true") + self.lab.run(
            "if command -v nft >/dev/null; then nft list tables | grep -v channels | grep -v f2b; fi; true"
        )

    def password_login(self) -> bool:
        """Whether a password login works."""
        ask = self.folder.parent / f"{self.lab.name}-ask"
        ask.write_text(f"#!/bin/sh\necho '{PASSWORD}'\n")
        ask.chmod(0o700)
        way = ("PubkeyAuthentication=no", "PreferredAuthentications=password,keyboard-interactive", "User=visitor")
        options = [item for option in way for item in ("-o", option)]
        done = login(
            self.lab.name, *options, "-o", "NumberOfPasswordPrompts=1",
            SSH_ASKPASS=str(ask), SSH_ASKPASS_REQUIRE="force", DISPLAY=":0",
        )  # fmt: skip
        return done.returncode == 0 and done.stdout.strip() == "visitor"


@pytest.fixture(scope="module")
def open_before(lab: LabHost) -> Iterator[ClientConnection]:
    """A WebSocket that was open before all of this."""
    with opened(lab) as websocket:
        yield websocket


@pytest.fixture(scope="module")
def walled(lab: LabHost, open_before: ClientConnection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walled]:
    """A host with a firewall; at the end it has none, and SSH accepts what it accepted before."""
    made = Walled(lab, tmp_path_factory.mktemp("firewall"))
    lab.run(f"useradd --create-home visitor && echo 'visitor:{PASSWORD}' | chpasswd")
    listen = LISTEN.format(address=made.addresses[lab.name])
    lab.run("systemd-run --quiet --collect --unit=firewall-test python3 -c %s", listen)
    try:
        assert made.password_login(), "nobody gets in by a password as it is"
        made.first = made.run()
        made.kept = made.first.code == 0 and echoes(open_before)
        yield made
    finally:
        end = Run(*PARTS, "--limit", lab.name)
        lab.run("systemctl stop firewall-test; systemctl disable --now --quiet fail2ban; true")
        lab.run("nft delete table inet f2b-table; userdel --remove visitor; true")
    assert end.changed(lab.name) > 0
    assert lab.host.run("nft list table inet channels").rc != 0, "rules have stayed"
    assert "passwordauthentication yes" in lab.run("sshd -T").splitlines()


def test_firewall_comes_and_nobody_notices(walled: Walled) -> None:
    assert walled.first.changed(walled.lab.name) > 0
    assert walled.kept, "the firewall has cost an open socket"
    assert walled.foreign().splitlines()[: len(walled.before.splitlines())] == walled.before.splitlines()
    assert walled.run("--check").changed(walled.lab.name) == 0
    assert walled.run().changed(walled.lab.name) == 0
    assert walled.lab.run("ls /var/lib/channels-trial").split() == ["lock"], "something is still on trial"


def test_site_is_open_and_the_rest_is_for_those_who_need_it(walled: Walled) -> None:
    """From another host: its group's store, one port that is open to everybody, and no other listening port."""
    tracked = "grep ESTABLISHED /proc/net/nf_conntrack | grep -o ' src=.* sport=.* dport=%s src=' | sort"
    before = walled.lab.run(tracked % 443)
    with opened(walled.lab) as websocket:
        assert echoes(websocket)
        assert walled.lab.run(tracked % 22), "nothing is in the kernel's table of connections at all"
        assert set(walled.lab.run(tracked % 443).splitlines()) <= set(before.splitlines()), "sockets fill the table"
    ports = ("22", "80", "443", "5432", "6379", "9101", "9102")
    store = 5432 if "trixie" in walled.lab.name else 6379
    assert on(walled.other, KNOCK, walled.addresses[walled.lab.name], *ports) == [22, 80, 443, store, 9102]


def test_rules_hold_over_ipv6_too(walled: Walled) -> None:
    """An allowed client and a stranger try each port, over IPv4 and IPv6, where neighbour discovery works too."""
    probe = (ROOT / "roles" / "preflight" / "files" / "probe.sh").read_text()
    ports = "22,80,443,5432,6379,9101,9102,9104,9105"
    # Another project on the host, which needs one more port.
    second = f"{PROJECTS}/second.nft"
    more = "s/dashboard/second/; s/dport 443/dport 9105/; s/80, 443/80, 9105/"
    walled.lab.run(f"sed {more!r} {PROJECTS}/dashboard.nft >{second}")
    try:
        found = json.loads(walled.lab.python(NETWORK, "192.0.2.2", "192.0.2.3", ports, probe))
    finally:
        walled.lab.run(f"rm {second}")
    assert found["open"] == "news", "a connection that only listens was cut"
    for source in ("192.0.2.2", "192.0.2.3", "2001:db8::2", "2001:db8::3"):
        reached = {port for one, port in found["reached"] if one == source}
        assert reached == {22, 80, 443, 9102, 9105} | ({9104} if source.endswith("2") else set()), source
    assert found["others"] == ["firewall_others=ip theirs input;"], "the preflight does not see another firewall"


def test_passwords_are_refused(walled: Walled) -> None:
    shown = walled.lab.run("sshd -T").splitlines()
    assert {"passwordauthentication no", "kbdinteractiveauthentication no"} <= set(shown)
    assert not walled.password_login()
    assert login(walled.lab.name).stdout.strip() == "root"


def test_security_upgrades_come_by_themselves(walled: Walled) -> None:
    said = walled.lab.run("unattended-upgrade --dry-run --verbose")
    (origins,) = [line for line in said.splitlines() if line.startswith("Allowed origins")]
    # The second one is for an untested system that is allowed anyway, and matches nothing here.
    assert origins.count("origin=") == 2 and "label=Debian-Security" in origins and "origin=Ubuntu" in origins
    assert 'APT::Periodic::Unattended-Upgrade "1"' in walled.lab.run("apt-config dump")


def test_host_keeps_what_one_of_its_projects_wants(walled: Walled) -> None:
    """Another project on the host wants none of it, then its own; whichever runs last, the host ends up the same."""
    lab, wish = walled.lab, "/etc/channels-hardening/second.json"
    wishes = {"ssh_keys_only": False, "upgrades": True, "upgrades_hold": ["second$"], "upgrades_reboot": "04:30"}
    wishes |= {"project": "second", "fail2ban": False, "fail2ban_ignore": []}
    try:
        lab.run("echo %s > %s", json.dumps(wishes), wish)
        second = walled.run(hardening_ssh_keys_only=False, hardening_upgrades=False)
        assert second.changed(lab.name) > 0
        assert "passwordauthentication yes" in lab.run("sshd -T").splitlines(), "nobody wants keys alone"
        settings = lab.run("apt-config dump")
        assert 'Package-Blacklist:: "second$"' in settings and 'Automatic-Reboot-Time "04:30"' in settings
        lab.run("echo %s > %s", json.dumps(wishes | {"ssh_keys_only": True}), wish)
        assert walled.run(hardening_ssh_keys_only=False, hardening_upgrades=False).changed(lab.name) > 0
        assert "passwordauthentication no" in lab.run("sshd -T").splitlines()
        assert walled.run(hardening_ssh_keys_only=False, hardening_upgrades=False).changed(lab.name) == 0
    finally:
        lab.run("rm %s", wish)
    assert walled.run().changed(lab.name) > 0
    assert "second" not in lab.run("apt-config dump")


def test_failing_logins_are_shut_out(walled: Walled) -> None:
    """Those from another host are; this machine's address never is."""
    target = walled.addresses[walled.lab.name]
    script = (
        "import json, subprocess\n"
        "way = ['ssh', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'ConnectTimeout=5']\n"
        "try:\n"
        f"    for _ in range(8): subprocess.run([*way, 'no-one@{target}'], stderr=subprocess.DEVNULL, timeout=15)\n"
        # Shut out in the middle of a login, ssh would wait for longer than the ban lasts.
        "except subprocess.TimeoutExpired: pass\n"
        "print(json.dumps(None))"
    )
    on(walled.other, script)
    deadline = time.monotonic() + PATIENCE
    while walled.addresses[walled.other] not in walled.lab.run("fail2ban-client get sshd banip"):
        assert time.monotonic() < deadline, walled.lab.run("fail2ban-client status sshd")
        time.sleep(1)
    assert on(walled.other, KNOCK, target, "22", "443") == [443]
    assert login(walled.lab.name).returncode == 0
    walled.lab.run("fail2ban-client unban --all")


def test_who_would_be_shut_out_is_told_before(walled: Walled) -> None:
    rules = walled.rules()
    run = walled.run(firewall_ssh_from=["203.0.113.0/24"])
    assert run.code and "would shut this machine out" in run.output, run.output
    assert walled.rules() == rules


def test_rules_that_shut_out_are_taken_back(walled: Walled) -> None:
    """SSH's port is closed without preflight noticing, and the host itself restores the rules."""
    rules = walled.rules()
    run = walled.run(_firewall_ssh_ports=["2222"], firewall_confirm_seconds=90)
    assert run.code and "lets no new connection of this machine in" in run.output, run.output
    await_login(walled.lab.name)
    deadline = time.monotonic() + PATIENCE
    while walled.rules() != rules:
        assert time.monotonic() < deadline, walled.rules()
        time.sleep(1)
    assert walled.run().changed(walled.lab.name) == 0


def test_start_of_the_host_keeps_what_was_confirmed(walled: Walled) -> None:
    """A run is killed while rules on trial shut everybody out, and the host restarts before the timer fires."""
    lab, rules = walled.lab, walled.rules()
    command, environment = playbook_command(*walled.command(_firewall_ssh_ports=["2222"], firewall_confirm_seconds=900))
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as run:
        while "dport 2222" not in walled.rules():
            assert run.poll() is None, "the run has ended without rules on trial"
            time.sleep(0.5)
        os.killpg(run.pid, signal.SIGKILL)
    assert login(lab.name).returncode == 255, "the rules let this machine in, and there is nothing to see here"
    subprocess.run(["docker", "restart", lab.name], check=True, capture_output=True)
    await_login(lab.name)
    lab.run("systemctl is-system-running --wait; true")
    lab.run("channels-firewall loaded")
    assert walled.rules() == rules
    lab.run("for _ in $(seq 300); do [ -S %s ] && exit; sleep 1; done; exit 1", lab.live["sockets"][-1])
    lab.await_serving()
    with opened(lab) as websocket:
        assert echoes(websocket)
    assert walled.run().changed(lab.name) == 0
