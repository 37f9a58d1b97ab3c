"""The group of Redises as a test sees it: who is the primary, what breaks, and what processes notice."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pytest
from fleet import PATIENCE, Fleet
from lab_host import LabHost, ask, await_message
from websockets.sync.client import ClientConnection

# Runs on a host: sends a command to this host's own Redis as some user, and prints its answer.
CLIENTS = """
import json, sys, time
sys.dont_write_bytecode = True
import importlib.machinery, importlib.util
loader = importlib.machinery.SourceFileLoader("tool", "/usr/local/sbin/redis-primary")
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("tool", loader))
loader.exec_module(tool)
settings = json.loads(tool.SETTINGS.read_text())
settings["user"], settings["password"] = sys.argv[1:3]
for pause in (0.1, 0.2, 0.4, 0.8, 1.6, None):  # after a switch, clients of a replica are sent away for some seconds
    try:
        with tool.connected(settings, *tool.mine(settings)) as redis:
            print(redis.ask(*sys.argv[3:]))
        break
    except tool.AnswerError as error:
        print(error)
        break
    except OSError:
        if pause is None:
            raise
        time.sleep(pause)
"""


class Group:
    """All hosts of group redis."""

    def __init__(self, lab: Fleet) -> None:
        self.lab, self.apps = lab, lab.apps
        self.hosts = [host for host in lab.hosts if host.host.file("/etc/redis/primary.json").exists]
        self.places = {lab.address(host.name): host for host in self.hosts}

    def status(self, lab: LabHost) -> dict[str, Any]:
        """Return what all say, as one host hears it."""
        return json.loads(lab.run("redis-primary status"))

    def healthy(self) -> LabHost:
        """Wait until all agree; return the primary's host."""
        deadline = time.monotonic() + PATIENCE
        while not all((said := self.status(lab))["healthy"] for lab in self.hosts):
            assert time.monotonic() < deadline, f"the group does not agree: {said}"
        return self.places[said["primary"]]

    def others(self, lab: LabHost) -> list[LabHost]:
        """Return all hosts but one."""
        return [one for one in self.hosts if one is not lab]

    def as_project(self, lab: LabHost, *words: str) -> str:
        """Send a command to one host's own Redis as the project's user; return its answer."""
        return lab.python(CLIENTS, "channels", self.password, *words).strip()

    @cached_property
    def password(self) -> str:
        """The project's password for Redis."""
        return self.apps[0].secrets()["Redis password"]

    def foreign_clients(self, lab: LabHost) -> str:
        """Return processes that are connected to a host's Redis, with their addresses."""
        return lab.run("ss -Htnp state established '( dport = :6379 )' | grep -e daphne || true") if lab else ""

    def failed_scripts(self) -> int:
        """Count what Sentinels have called in vain, since the hosts were made."""
        log = "/var/log/redis/redis-sentinel.log"
        return sum(int(lab.run(f"grep -c -e -script-error {log} || true")) for lab in self.hosts)

    def replace_programs(self) -> int:
        """Put other files in the places of those that Sentinel runs, as upgrades do; count what has failed so far."""
        for lab in self.hosts:
            for program in ("/usr/local/sbin/redis-primary", '"$(readlink -f /usr/bin/python3)"'):
                lab.run(f"cp -p {program} {program}.new && mv {program}.new {program}")
        return self.failed_scripts()

    @contextlib.contextmanager
    def cut_off(self, lab: LabHost) -> Iterator[None]:
        """Drop everything between one host and all others of the fleet for a while, without a word to either side."""
        rules = [
            f"nft add rule inet cut {chain} ip {end} {self.lab.address(one.name)} drop"
            for one in self.lab.hosts
            for chain, end in (("input", "saddr"), ("output", "daddr"))
            if one is not lab
        ]
        hooks = [
            f"nft add chain inet cut {chain} '{{ type filter hook {chain} priority -200; }}'"
            for chain in ("input", "output")
        ]
        lab.run(" && ".join(["nft add table inet cut", *hooks, *rules]))
        try:
            yield
        finally:
            lab.run("nft delete table inet cut")

    def led_by_app_host(self) -> LabHost:
        """Have a Redis on an app host be the primary; return that host."""
        primary = self.healthy()
        if primary not in self.apps:
            primary.run("redis-primary switch")
            primary = self.healthy()
        assert primary in self.apps
        return primary


def reaches(sender: ClientConnection, receivers: list[ClientConnection], text: str) -> None:
    """Send a message again each second until it has reached all; fail the test if it does not."""
    waiting = list(receivers)
    for _ in range(PATIENCE):
        sender.send(json.dumps({"type": "message", "text": text}))
        for receiver in list(waiting):
            with contextlib.suppress(TimeoutError):
                await_message(receiver, text, 1 / len(receivers))
                waiting.remove(receiver)
        if not waiting:
            return
    pytest.fail(f"{text!r} has not reached {len(waiting)} of {len(receivers)} sockets")


def speaks(websocket: ClientConnection) -> bool:
    """Tell whether a socket is still open to its consumer."""
    return ask(websocket, {"type": "echo", "text": "here"})["text"] == "here"
