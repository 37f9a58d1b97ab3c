"""What a deploy may change besides the code: the service manager, and how many processes a channel layer allows."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from clients import NAMES, Clients
from pair import Copy, Pair, Playbook, deploy


@pytest.mark.skipif(len(NAMES) > 1, reason="it is the same on any host, so the scenario that has one is enough")
def test_channel_layer_of_each_process_gets_one_process(lab: Pair, copy: Callable[..., Copy]) -> None:
    """With two processes, half of all messages would be lost between them."""
    environment = lab.hosts[0].environment()
    given = {name: environment[name] for name in ("ALLOWED_HOSTS", "SQLITE_PATH")} | {"CHANNEL_LAYER": "memory"}
    made = copy("memory")
    told = deploy(made.folder, "-e", json.dumps({"release_environment": given})).succeeded().output
    assert "InMemoryChannelLayer" in told and "One process is run" in " ".join(told.split())
    for host in lab:
        assert len(host.overview()[0]["instances"]) == host.overview()[0]["running"] == 1
    again = deploy(made.folder, "-e", json.dumps({"release_environment": given})).succeeded()
    assert set(again.changed().values()) == {0}, again.output
    insisting = json.dumps({"release_environment": given, "asgi_processes": 2})
    told = deploy(made.folder, "-e", insisting).succeeded().output
    assert "messages to groups will be lost" in " ".join(told.split())
    for host in lab:
        assert host.overview()[0]["running"] == 2
    deploy(made.folder).succeeded()
    lab.settle()


@pytest.mark.skipif(not any("release" in name for name in NAMES), reason="its hosts have no other manager")
def test_another_manager_is_a_deploy_like_any_other(lab: Pair, copy: Callable, clients: Callable[..., Clients]) -> None:
    """No handshake fails on the way to supervisor and back."""
    running = clients()
    supervisor = ("-e", "asgi_manager=supervisor")
    Playbook("provision", *supervisor).succeeded()
    made = copy("managers")
    for options, manager in ((supervisor, "supervisor"), ((), "systemd")):
        deploy(made.folder, *options, drain=180).succeeded()
        for host in lab:
            assert {row["state"]: row["manager"] for row in host.overview()}["live"] == manager
    running.unharmed()
    lab.settle(90)
    for host in lab:
        host.run("apt-get -qq purge --yes supervisor")
    lab.assert_settled()
