"""Logs that go to a collector: over TLS alone, without tokens, and late rather than never."""

from __future__ import annotations

import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_host import ROOT, LabHost, Run
from testinfra import get_host
from testinfra.host import Host

sys.path.insert(0, str(ROOT / "collections"))
from ansible_collections.channels.stack.plugins.module_utils.certificates.pairs import Authority

testinfra_hosts = ["ansible://day-two-site"]

INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
PATIENCE = 240  # seconds; rsyslog asks a collector that is away ever more rarely
PORT = 6514
NAME = "collector.test"
GOT = "/root/collected"
PROVISION = ("playbooks/provision.yml", "--tags", "base,nginx,logs", "--limit", "day-two-site")
SECRETS = ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "hunter2secret", "p4ssw0rd!", "c00kie-value")


class Collector:
    """The collector, on the host that watches the site."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.address = host, host.run("hostname -I").stdout.split()[0]
        self.authorities = {name: Authority(folder / name) for name in ("ours", "others")}
        self.host.run(f"cat > /root/collector.py <<'END'\n{Path(__file__).with_name('collector.py').read_text()}\nEND")
        for name, authority in self.authorities.items():
            pair = authority.issue([NAME])
            self.host.run(f"umask 077; cat > /root/{name}.pem <<'END'\n{pair.key}{pair.chain}\nEND")

    def start(self, authority: str = "ours") -> None:
        """Listen, with a certificate of an authority."""
        self.stop()
        listen = f"python3 /root/collector.py {PORT} /root/{authority}.pem {GOT} > /root/collector.out 2>&1"
        self.host.run(f"nohup setsid sh -c 'echo $$ > /root/collector.pid; exec {listen}' > /dev/null 2>&1 &")
        self.await_that("ready", "/root/collector.out")

    def stop(self) -> None:
        """Listen no longer."""
        self.host.run("[ ! -e /root/collector.pid ] || kill -9 $(cat /root/collector.pid); rm -f /root/collector.*[td]")

    def got(self, path: str = GOT) -> str:
        """What has come."""
        return str(self.host.run(f"cat {path}").stdout)

    def await_that(self, text: str, path: str = GOT) -> str:
        """Wait until a text has come; return its line."""
        deadline = time.monotonic() + PATIENCE
        while text not in (came := self.got(path)):
            assert time.monotonic() < deadline, f"{text} did not come: {came[-2000:]}"
            time.sleep(0.3)
        return next(line for line in came.splitlines() if text in line)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector that listens, and gets the site's logs; afterwards, they stay on the host again."""
    folder = tmp_path_factory.mktemp("collector")
    collector = Collector(get_host("ansible://day-two-watch", ansible_inventory=str(INVENTORY)), folder)
    given = ["-e", f"logs_target={collector.address}:{PORT}", "-e", f"logs_peer={NAME}"]
    given += ["-e", f"logs_authority={collector.authorities['ours'].path}", "-e", "logs_queue_mb=50"]
    collector.start()
    try:
        done = Run(*PROVISION, *given)
        assert done.changed("day-two-site") >= 2, done.output
        assert Run(*PROVISION, *given).changed("day-two-site") == 0
        yield collector
    finally:
        collector.stop()


def say(lab: LabHost, text: str) -> None:
    """Have a process of the project log a line."""
    lab.run("logger --tag dashboard-daphne -- %s", text)


def test_handshake_can_be_followed_at_the_collector(lab: LabHost, collector: Collector) -> None:
    """The access log's line, with the request's ID, and what the process says."""
    agent = f"agent-{uuid.uuid4().hex}"
    lab.connect(user_agent_header=agent).close()
    line = collector.await_that(agent)
    assert re.match(r"<190>1 \d{4}-\d\d-\d\dT\S+ \S+ dashboard\.access dashboard\.access - - \{", line), line
    assert re.search(r'"id":"[0-9a-f]{32}"', line) and '"query":"token=[hidden]"' in line
    assert " dashboard-daphne " in collector.await_that("connect: user=")


def test_no_secret_leaves_the_host(lab: LabHost, collector: Collector) -> None:
    jwt, token, password, cookie = SECRETS
    mark = uuid.uuid4().hex
    for text in (
        f"open with {jwt} there",
        f"token={token}&room=7 code=1006",
        f"""{{'api_key': '{token}', "password": "{password}"}} Cookie: session={cookie}""",
        f"Authorization: Bearer {token}xyz",
        f"redis://channels:{password}@10.0.0.1:6379/0 and amqp://:{token}@queue",
        " ".join(f"token={token}{number}" for number in range(20)),
    ):
        say(lab, f"{mark} {text}")
    say(lab, f"the last of {mark}")
    collector.await_that(f"the last of {mark}")
    came = collector.got()
    assert not [secret for secret in SECRETS if secret in came], [line for line in came.splitlines() if mark in line]
    assert f"{mark} token=[hidden]&room=7 code=1006" in came, "what is harmless can still be read"


def test_what_a_collector_misses_comes_later(lab: LabHost, collector: Collector) -> None:
    """From a queue that has a limit, on the disk if rsyslog ends meanwhile; nobody waits for it."""
    mark = uuid.uuid4().hex
    collector.stop()
    deadline = time.monotonic() + PATIENCE
    # TCP tells a sender that nobody listens only when it sends again. What is on its way until then is lost.
    while lab.run(f"ss --no-header --tcp --numeric state connected dport = :{PORT}").strip():
        assert time.monotonic() < deadline, "rsyslog does not notice that the collector is away"
        say(lab, "is anybody there?")
        time.sleep(0.5)
    many = f"seq --format='{mark}-%%03g' %s %s | logger --tag dashboard-daphne"
    lab.run(many, "0", "299")
    while not lab.run("grep -rl %s /var/lib/channels-logs || true", f"{mark}-299").strip():
        # What it has read by then goes to the disk when it ends; the rest is still in the journal.
        assert time.monotonic() < deadline, lab.run("ls -laR /var/lib/channels-logs")
        time.sleep(2)
        lab.run("systemctl restart dashboard-shipping")
    lab.run(many, "300", "399")
    collector.start()
    collector.await_that(f"{mark}-399")
    collector.await_that(f"{mark}-299")
    numbers = sorted(set(map(int, re.findall(rf"{mark}-(\d+)", collector.got()))))
    assert numbers == list(range(400)), f"{400 - len(numbers)} lines are missing"
    assert 'queue.maxDiskSpace="50m"' in lab.run("cat /etc/channels-logs/dashboard.conf")


def test_collector_that_cannot_prove_itself_gets_nothing(lab: LabHost, collector: Collector) -> None:
    mark = uuid.uuid4().hex
    collector.start("others")
    say(lab, f"{mark} is not for others")
    collector.await_that("a client has left", "/root/collector.out")  # having seen the certificate
    assert mark not in collector.got()
    collector.start()
    collector.await_that(mark)
