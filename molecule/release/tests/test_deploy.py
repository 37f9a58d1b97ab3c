"""Deploys and a rollback cost nobody anything: no handshake, request or message, and no socket before its deadline."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from typing import Any

import pytest
from clients import NAMES, Clients
from lab_host import ROOT
from pair import Copy, Pair, Playbook, deploy, tagged

DRAIN, SPREAD = 15, 6  # seconds; the second deploy starts while the predecessor of the first drains
LONG = 90  # seconds, for a predecessor that is taken back: every rollback ends before its sockets are closed
TAG = "v1.4.2"
HOSTILE = (ROOT / "molecule" / "resources" / "hostile_clients.py").read_text()
ENVIRONMENTS = "stat --format='%n %Y' /srv/dashboard/venvs/*/.complete"


class Story:
    """What happened in three deploys and a rollback under load."""

    server: str
    before: str
    deployed: list[str]
    outputs: list[str]
    environments: tuple[list[str], list[str]]
    after: str
    overlap: dict[tuple[str, str], float]
    deadlines: dict[tuple[str, str], float]
    noticed: dict[str, Any]
    begun: float

    def closings(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """Return the closings of sockets by host and generation."""
        found = defaultdict(list)
        for closing in self.noticed["closings"]:
            found[closing["host"], closing["process"].rpartition("-")[0]].append(closing)
        return found


# One is enough under supervisor: it replaces the other server, which then drains.
@pytest.fixture(scope="module", params=["uvicorn"] if len(NAMES) == 1 else ["uvicorn", "daphne"])
def story(request: pytest.FixtureRequest, lab: Pair, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Three deploys, the second from a git tag and while the first's predecessor drains, and a rollback.

    The first one replaces the other server. The story ends when all drains have ended.
    """
    folder = tmp_path_factory.mktemp("story")
    told = Story()
    told.server, server = request.param, ("-e", f"asgi_server={request.param}")
    lab.settle()
    told.begun, told.before, told.deployed, told.deadlines, told.outputs = time.time(), lab.live(), [], {}, []
    clients = Clients(lab, folder / "report.json", sockets=100, rate=5)
    try:
        for number in range(3):
            copy = Copy(folder / str(number))
            copy.append("core/__init__.py", f"# {folder.name} {number} {told.begun}")
            copy.append(f"dashboard/static/dashboard/only-{number}.txt", folder.name)
            if number == 1:
                told.overlap = lab.deadlines()
            source = tagged(copy.folder, TAG) if number == 1 else ()
            drain = LONG if number == 2 else DRAIN
            run = deploy(copy.folder, *source, *server, drain=drain, spread=SPREAD).succeeded()
            told.outputs.append(run.output)
            told.deployed.append(lab.live())
            if number == 0:
                environments = [host.run(ENVIRONMENTS) for host in lab]
            for host in lab:
                host.reload_nginx()  # as for a renewed certificate: sockets of every generation stay open
            told.deadlines |= lab.deadlines()
            clients.grow()
        options = (f"release_drain_seconds={DRAIN}", f"release_drain_spread_seconds={SPREAD}")
        Playbook("rollback", *(item for option in options for item in ("-e", option))).succeeded()
        told.after = lab.live()
        told.deadlines |= lab.deadlines()
        lab.settle(DRAIN + SPREAD + 30)
        time.sleep(3)  # clients whose sockets were closed last reconnect
        told.noticed = clients.stop()
        told.environments = environments, [host.run(ENVIRONMENTS) for host in lab]
    finally:
        clients.process.kill()
    print("clients:", told.noticed["figures"], "closings:", len(told.noticed["closings"]))
    return told


def test_nothing_fails_in_three_deploys_and_a_rollback(story: Story) -> None:
    assert story.noticed["failures"] == []
    figures = story.noticed["figures"]
    assert min(figures[kind] for kind in ("handshakes", "requests", "echoes", "messages", "deliveries")) > 50, figures


def test_rollback_takes_the_release_before(story: Story) -> None:
    assert len({story.before, *story.deployed}) == 4
    assert story.after == story.deployed[1]
    first = {generation for _, generation in story.overlap}
    assert first == {story.before}, f"the second deploy began while these drained: {story.overlap}"


def test_deploy_tells_what_it_did_and_how_long_it_took(story: Story) -> None:
    for output, generation in zip(story.outputs, story.deployed, strict=True):
        for name in NAMES:
            assert re.search(rf"dashboard on {name}: \S+ \({generation}\) serves", output), output
        phases = re.findall(r"prepared in \d+\.\d s, passed its gate in \d+\.\d s, switched in \d+\.\d s\.", output)
        assert len(phases) == len(NAMES), output
    assert f"dashboard on {NAMES[0]}: {TAG} (" in story.outputs[1]


def test_pages_of_the_release_before_find_their_files(story: Story, lab: Pair) -> None:
    """After the rollback, they are the third's; the first's were removed with the switch to the third."""
    for host in lab:
        got = [host.get(f"/static/dashboard/only-{number}.txt")[0] for number in range(3)]
        assert got == [404, 200, 200], f"{host.name} answers {got}"


def test_unchanged_requirements_install_nothing(story: Story) -> None:
    before, after = story.environments
    assert before == after


def test_no_socket_is_closed_before_its_deadline(story: Story) -> None:
    for (host, generation), closings in story.closings().items():
        assert generation != story.after, f"sockets of what serves were closed on {host}: {closings}"
        deadline = story.deadlines[host, generation]
        early = [closing for closing in closings if closing["at"] < deadline]
        assert not early, f"{len(early)} sockets of {generation} were closed before {deadline}: {early[:5]}"


def test_old_sockets_are_closed_one_after_another(story: Story) -> None:
    closings = story.closings()
    for host in NAMES:
        moments = sorted(closing["at"] for closing in closings[host, story.before])
        assert len(moments) >= 100, f"{len(moments)} sockets of {story.before} were closed on {host}, of 100"
        spread = moments[-1] - moments[0]
        busiest = max(Counter(int(moment) for moment in moments).values())
        print(f"{host}: {len(moments)} sockets closed over {spread:.1f} s, at most {busiest} in a second")
        assert SPREAD / 2 < spread < SPREAD + 10
        assert busiest <= len(moments) / 2, f"{busiest} sockets were closed within one second"
    left = {held["process"].rpartition("-")[0] for held in story.noticed["open"]}
    assert left == {story.after}, f"sockets were open on {left} at the end"


def test_consumers_were_told(story: Story, lab: Pair) -> None:
    """Each socket that was closed at a deadline ran its consumer's disconnect()."""
    for host in lab:
        for (name, generation), closings in story.closings().items():
            if name != host.name:
                continue
            lines = host.run(f"dashboard-generations logs --plain --lines=100000 {generation}")
            # Uvicorn says 1005. Both raise in a consumer that sends at the moment its socket ends.
            told = len(re.findall(r"(?:disconnect|ended): user='load' (?:code=100[56]|by \w*Disconnected)", lines))
            assert told >= len(closings), f"{told} of {len(closings)} consumers of {generation} were told on {name}"


def test_server_is_what_was_asked_for(story: Story, lab: Pair) -> None:
    """uvicorn runs its fast parts; neither server compresses or logs tokens, and nobody gets around nginx."""
    for host in lab:
        host.assert_only_nginx_reaches(host.overview()[0]["sockets"])
        assert host.overview()[0]["server"] == story.server
        with host.connect(compression="deflate") as websocket:
            assert websocket.protocol.extensions == [], "messages are compressed"
        if story.server == "uvicorn":
            for pid in host.overview()[0]["pids"]:
                loaded = host.run(f"cat /proc/{pid}/maps")
                assert "uvloop" in loaded and "httptools" in loaded
        logged = host.run(f"dashboard-generations logs --lines=100000 {story.after}")
        assert "connect: user=" in logged
        assert host.token() not in logged


def test_long_frame_takes_no_memory(story: Story, lab: Pair) -> None:
    """100 MB to each process: uvicorn says that it is too much, Daphne just ends the socket; others notice nothing."""
    for host in lab:
        told = json.loads(host.python(HOSTILE, "long_frame", host.token()))
        assert set(told["codes"]) == {1009 if story.server == "uvicorn" else None}, told
        assert told["grown kB"] < 2**14, told
        assert all(told["witnesses"]) and told["new"]


def test_nothing_of_old_generations_is_left(story: Story, lab: Pair) -> None:
    lab.assert_settled()


def test_channel_layer_holds_nobody_who_left(story: Story, lab: Pair) -> None:
    """All clients have left, most because they were closed: nobody is subscribed to their group any more."""
    assert lab.redis("pubsub numsub asgi__group__dashboard")[1] == "0"
