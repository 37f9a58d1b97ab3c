"""For each of the README's promises of verify, a site that breaks it, on which the proof must fail for that."""

from __future__ import annotations

import html
import json
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor import examination
from ansible_collections.channels.stack.plugins.module_utils.doctor.page import page
from ansible_collections.channels.stack.plugins.module_utils.handshake import host as proof_host
from ansible_collections.channels.stack.plugins.module_utils.handshake import prove as whole_proof
from ansible_collections.channels.stack.plugins.module_utils.handshake import sockets
from ansible_collections.channels.stack.plugins.module_utils.handshake.report import report_of
from ansible_collections.channels.stack.plugins.module_utils.handshake.results import Proof, result
from ansible_collections.channels.stack.plugins.module_utils.host import deployed, raw
from ansible_collections.channels.stack.plugins.module_utils.host.programs import text_of
from ansible_collections.channels.stack.plugins.module_utils.host.project import MARK
from ansible_collections.channels.stack.plugins.module_utils.websocket.exchange import opened_exchange
from handshake_site import SECRET, FakeProject, Site, Tool, commands_of, load
from small_server import EXPIRED, GOOD

Proved = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load("modules", "handshake")


@pytest.fixture(scope="module")
def whole_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests: to start its processes takes longer than any of them."""
    with tempfile.TemporaryDirectory(prefix="ws-") as folder:  # a unix socket's path ends at 108 bytes
        site = Site(Path(folder))
        yield site
        site.close()


@pytest.fixture
def site(whole_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    whole_site.reset()
    FakeProject.site = whole_site
    monkeypatch.setattr(proof_host, "Project", FakeProject)
    monkeypatch.setattr(examination, "Project", FakeProject)
    monkeypatch.setattr(deployed, "bundle", lambda _app: dict(whole_site.bundle))
    monkeypatch.setattr(raw, "output", commands_of(whole_site))
    monkeypatch.setattr(proof_host, "START_SECONDS", 0.5)
    monkeypatch.setattr(sockets, "TURNING_AWAY", 0.5)
    return whole_site


@pytest.fixture
def prove(site: Site, module: ModuleType) -> Proved:
    """Run the proof on the host; its results by their ids, each with its code, as far as the proof itself knows it."""

    def run(examined: bool = False, **given: Any) -> dict[str, dict[str, Any]]:
        host, proof = proof_host.Host(site.params(module, **given)), Proof()
        whole_proof.prove(host, proof)
        evidence: dict[str, Any] = {"name": "app-1", "url": site.url, "now": 0.0}
        if examined:
            evidence["host"] = whole_proof.why(host)
        report = report_of(proof.results, evidence)
        assert report["ok"] is not any(each["state"] == "failed" for each in proof.results)
        json.dumps(report)
        return {each["id"]: each for each in report["results"]}

    return run


def failed(results: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, each in results.items() if each["state"] == "failed"}


def test_a_sound_site_passes_all_of_it(prove: Proved) -> None:
    states = {name: each["state"] for name, each in prove().items()}
    assert set(states.values()) == {"passed"}, states
    assert set(states) == {
        "process", "environment", "application", "channel_layer", "http", "handshake_1", "handshake_2",
        "handshake_nginx", "refused_no", "refused_bad", "refused_expired", "idle", "broadcast", "logs",
        "steady", "workers",
    }  # fmt: skip


def test_each_check_says_what_was_tried_and_what_came(prove: Proved, site: Site) -> None:
    """On the page, too: the request and its place, status, headers that say who answered, and times; no token."""
    results = prove()
    assert [name for name, each in results.items() if not each["tried"]] == []
    (shook, echoed) = results["handshake_1"]["tried"]
    assert shook["what"] == f"GET /ws/, Origin http://localhost, at {site.sockets[0]}, with a good token"
    assert shook["came"] == "101 Switching Protocols" and shook["ms"]["handshake"] > 0
    assert "server" in shook["headers"] and "date" not in shook["headers"]
    assert echoed["came"] == "its echo" and echoed["ms"]["echo"] > 0
    assert [each["came"] for each in results["refused_no"]["tried"]] == ["403 Forbidden"] * 2
    assert results["http"]["tried"][0]["came"] == "200 OK" and len(results["http"]["tried"]) == 3
    assert {each["came"] for each in results["logs"]["tried"]} == {"it is there", "not there"}
    site.wrong(handshake=404)
    wrong = prove()
    assert wrong["handshake_2"]["tried"][0]["came"] == "404 Not Found" and wrong["handshake_2"]["state"] == "failed"
    (kept,) = [each for each in wrong["handshake_nginx"]["tried"] if f"127.0.0.1:{site.front.port}" in each["what"]]
    shown = page({"name": "app-1", "url": site.url, "at": "now", **report_of(
        [result(each["id"], each["title"], each["state"], each["seen"], each["tried"]) for each in wrong.values()],
        {"name": "app-1", "url": site.url, "now": 0.0})})  # fmt: skip
    assert shown.count('class="check failed"') == len(failed(wrong)) and html.escape(kept["what"]) in shown
    assert GOOD not in json.dumps([results, wrong]) and GOOD not in shown


# --- 1: processes, and their environment


@pytest.mark.parametrize(("words", "named"), [
    (["gunicorn"], "gunicorn"), (["uwsgi"], "uwsgi"), (["manage.py", "runserver"], "runserver"),
])  # fmt: skip
def test_a_server_without_websockets_in_place_of_daphne(
    prove: Proved, site: Site, words: list[str], named: str
) -> None:
    """By its name, though it answers HTTP, and whatever it makes of a handshake."""
    site.bundle |= {"instances": [*site.instances, "r1-123456-3"], "sockets": [*site.sockets, f"{site.folder}/3.sock"]}
    process = site.start(f"{site.folder}/3.sock", *words)
    try:
        results = prove()
    finally:
        site.end(process)
        (site.folder / "3.all").unlink()
    assert failed(results) == {"process"}
    assert results["process"]["seen"] == f"the sockets are served by {named}, which speaks no WebSocket"


def test_a_socket_without_a_process(prove: Proved, site: Site) -> None:
    gone = f"{site.folder}/gone.sock"
    site.bundle |= {"instances": [*site.instances, "r1-123456-3"], "sockets": [*site.sockets, gone]}
    results = prove()
    assert failed(results) == {"process", "http", "handshake_3"}
    assert results["process"]["seen"] == "no process listens on gone.sock"


def test_a_host_that_has_nothing(prove: Proved, site: Site) -> None:
    site.bundle = {}
    results = prove()
    assert failed(results) == set(results) == {"process"} and results["process"]["code"] == "E117_NOT_DEPLOYED"


def test_a_server_that_is_not_in_the_environment(prove: Proved, site: Site) -> None:
    del site.project["versions"]["daphne"]
    results = prove()
    assert failed(results) == {"process"} and results["process"]["code"] == "E103_SERVER_MISSING"


@pytest.mark.parametrize(("disk", "seen", "code"), [
    ({"SECRET": "another"}, "^SECRET changed", "E114_ENVIRONMENT_STALE"),
    ({"SECRET": SECRET, "NEW": "x"}, "^NEW changed", "E114_ENVIRONMENT_STALE"),
    (None, "cannot be read", "E905_UNEXPLAINED"),
])  # fmt: skip
def test_an_environment_that_is_not_the_one_on_the_disk(
    prove: Proved, site: Site, disk: dict[str, str] | None, seen: str, code: str
) -> None:
    site.disk = disk
    results = prove()
    assert failed(results) == {"environment"} and results["environment"]["code"] == code
    assert re.search(seen, results["environment"]["seen"]), results["environment"]


def test_a_project_without_an_environment_of_its_own(prove: Proved, site: Site) -> None:
    """It needs none: then there is nothing that could differ."""
    site.disk = {}
    assert "environment" not in failed(prove())


# --- 1: what was started stays alive


@pytest.mark.parametrize(("first", "then", "seen"), [
    ({}, {"pid": 0, "age": None, "word": "BACKOFF", "restarts": 41}, r"does not run \(BACKOFF\); .* 41 times$"),
    ({}, {"pid": 0, "age": None, "word": "dead"}, r"does not run \(dead\); it was started again 0 times$"),
    ({}, {"pid": 999, "age": 2.0, "restarts": 1}, "ended while it was looked at; it was started again 1 time$"),
    ({"pid": 0, "age": None}, {"age": 1.0, "restarts": 1}, "ended while it was looked at"),
    ({"restarts": 3, "age": 59.0}, {"restarts": 3, "age": 59.0}, "was started again 3 times, last 59 s ago$"),
])  # fmt: skip
def test_a_worker_that_does_not_stay_alive(
    prove: Proved, site: Site, first: dict[str, Any], then: dict[str, Any], seen: str
) -> None:
    """And why, by its last lines."""
    log = ["Traceback (most recent call last):", "redis.exceptions.NoPermissionError: NOPERM no permissions for 'info'"]
    site.tool = Tool(site.rows(**first), site.rows(**then), log)
    results = prove(examined=bool(first))
    assert failed(results) == {"workers"} and results["workers"]["code"] == "E122_WORKER_UNSTEADY"
    assert re.search("^site-celery@r1-123456-celery-1 " + seen, results["workers"]["seen"]), results["workers"]
    assert "NOPERM no permissions for 'info'" in results["workers"]["cause"]
    assert "redis_extra_users" in results["workers"]["fix"]
    assert "site-generations logs r1-123456" in results["workers"]["fix"]


def test_a_server_that_keeps_dying_between_handshakes(prove: Proved, site: Site) -> None:
    changed = site.rows()
    changed[1]["processes"][1] |= {"pid": 999, "restarts": 2, "age": 1.5}
    site.tool = Tool(site.rows(), changed, ["ModuleNotFoundError: No module named 'celery'"])
    results = prove()
    assert failed(results) == {"steady"} and results["steady"]["code"] == "E121_PROCESS_UNSTEADY"
    assert "release_packages" in results["steady"]["fix"] and results["workers"]["state"] == "passed"


def test_a_worker_that_was_started_again_and_runs_since(prove: Proved, site: Site) -> None:
    """It is told for an hour, and nobody's fault."""
    site.tool = Tool(site.rows(restarts=7, age=900.0))
    results = prove()
    assert failed(results) == set() and results["workers"]["state"] == "warned"
    assert results["workers"]["code"] == "W123_STARTED_AGAIN"
    site.tool = Tool(site.rows(restarts=7, age=4000.0))
    assert prove()["workers"]["state"] == "passed"


@pytest.mark.parametrize("printed", ["", "no JSON", [{"generation": "r1-123456"}], []])
def test_a_tool_that_does_not_say(prove: Proved, site: Site, printed: Any) -> None:
    """It is of an older bundle: that nobody looked is said, and the rest is proven."""
    site.tool = Tool(printed)
    results = prove()
    assert failed(results) == set() and results["steady"]["state"] == "skipped" and "workers" not in results


# --- 2: the application and its channel layer


@pytest.mark.parametrize(("changes", "name", "code"), [
    ({"import_error": "ModuleNotFoundError: No module named 'core.azgi'"}, "application", "E204_IMPORT_ERROR"),
    ({"unasked": "TimeoutExpired: the project has not answered"}, "application", "E204_IMPORT_ERROR"),
    ({"layer_error": "TimeoutError: lost"}, "channel_layer", "E510_LAYER"),
    ({"layer": "channels.layers.InMemoryChannelLayer"}, "channel_layer", "E508_LAYER_MEMORY"),
])  # fmt: skip
def test_a_project_that_says_what_is_wrong(
    prove: Proved, site: Site, changes: dict[str, str], name: str, code: str
) -> None:
    site.project |= changes
    results = prove()
    assert failed(results) == {name} and results[name]["code"] == code


LAYER = """
import asyncio
from channels.layers import BaseChannelLayer

class Layer(BaseChannelLayer):
    def __init__(self, **_config):
        super().__init__()
        self.kept = None

    async def new_channel(self, prefix="specific"):
        return prefix + ".1"

    async def send(self, channel, message):
        self.kept = KEEP

    async def receive(self, channel):
        while self.kept is None:
            await asyncio.sleep(0.01)
        return self.kept
"""


@pytest.mark.parametrize(("keep", "error"), [
    ("message", ""), ("None", "a message that was sent did not come back within 0.5 s"),
    ("{'type': 'other'}", "another message came back"),
])  # fmt: skip
def test_a_layer_that_loses_its_messages(tmp_path: Path, keep: str, error: str) -> None:
    """A real layer, in the process that is asked."""
    (tmp_path / "lossy.py").write_text(LAYER.replace("KEEP", keep))
    (tmp_path / "settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = []\nCHANNEL_LAYERS = {'default': {'BACKEND': 'lossy.Layer'}}\n"
    )
    (tmp_path / "served.py").write_text("application = 1\n")
    probe = text_of("probe.py").replace("LAYER_SECONDS = 3", "LAYER_SECONDS = 0.5")
    assert probe != text_of("probe.py")
    done = subprocess.run(
        [sys.executable, "-c", probe, MARK, "served:application", "{}", ""], cwd=tmp_path, capture_output=True,
        text=True, env={"DJANGO_SETTINGS_MODULE": "settings"}, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.rpartition(MARK)[2])
    assert found["layer"] == "lossy.Layer" and error in found.get("layer_error", ""), found
    assert bool(error) is ("layer_error" in found)


# --- 3: plain HTTP


def test_a_process_that_answers_http_with_an_error(prove: Proved, site: Site) -> None:
    site.wrong(http=500, only=site.instances[1])
    results = prove()
    assert failed(results) == {"http"} and f"process {site.instances[1]}: 500" in results["http"]["seen"]


def test_a_page_that_redirects_to_itself(prove: Proved, site: Site) -> None:
    site.wrong(loops="http")
    seen = prove()["http"]["seen"]
    assert [f"process {name}: 301, which leads back to /" in seen for name in site.instances] == [True, True], seen


@pytest.mark.parametrize(("page", "state", "code"), [
    ({}, "passed", ""), ({"secure": False}, "warned", "W417_HTTPS_UNKNOWN"),
    ({"secure": False, "redirects": True}, "failed", "E417_HTTPS_LOOP"),
])  # fmt: skip
def test_settings_that_do_not_know_of_tls(
    prove: Proved, site: Site, page: dict[str, bool], state: str, code: str
) -> None:
    sound = {"origin": "https://a", "secure": True, "redirects": False, "csrf": False, "host": "a", "trusted": []}
    site.project["page"] = {**sound, "cookies": {}, **page}
    result = prove()["pages"]
    assert (result["state"], result["code"]) == (state, code)


def test_a_local_port_that_is_closed(prove: Proved, site: Site) -> None:
    results = prove(local_port=1)
    assert failed(results) == {"http", "handshake_nginx", "logs"}
    assert "port 1: No TCP connection" in results["http"]["seen"]


def test_gunicorn_beside_the_sockets_that_does_not_answer(prove: Proved, site: Site) -> None:
    site.bundle["wsgi"] = {"instances": ["r1-123456-1.wsgi"], "sockets": [f"{site.folder}/gone.sock"]}
    results = prove()
    assert failed(results) == {"http"} and "process r1-123456-1.wsgi: No connection" in results["http"]["seen"]


# --- 4 and 5: handshakes


@pytest.mark.parametrize(("accepted", "name"), [
    ("none", "refused_no"), ("bad", "refused_bad"), ("expired", "refused_expired"),
])  # fmt: skip
def test_a_token_that_is_accepted_and_must_not(prove: Proved, site: Site, accepted: str, name: str) -> None:
    site.wrong(accepts=[accepted])
    results = prove()
    assert failed(results) == {name} and results[name]["code"] == "W412_TOKEN_UNCHECKED"
    assert results[name]["seen"] == "it was accepted with 101"


def test_a_token_that_is_accepted_through_nginx(prove: Proved, site: Site) -> None:
    site.front.wrong.add("token")
    results = prove()
    assert failed(results) == {"refused_no", "refused_bad", "refused_expired"}
    assert results["refused_bad"]["seen"] == "through nginx: it was accepted with 101"
    assert {results[name]["code"] for name in failed(results)} == {"W412_TOKEN_UNCHECKED"}


@pytest.mark.parametrize(("code", "passes"), [(4401, True), (1000, True), (1008, True), (1011, False)])
def test_a_project_that_accepts_and_then_turns_away(prove: Proved, site: Site, code: int, passes: bool) -> None:
    """With a word before the close, too. A consumer that fails is no refusal."""
    site.wrong(turns_away=code)
    results = prove()
    assert failed(results) == (set() if passes else {"refused_no", "refused_bad", "refused_expired"})
    assert str(code) in results["refused_bad"]["seen"]


def test_a_server_that_takes_handshakes_for_pages(prove: Proved, site: Site) -> None:
    site.wrong(handshake=404)
    results = prove()
    assert failed(results) == {"handshake_1", "handshake_2", "handshake_nginx"}
    assert "404" in results["handshake_1"]["seen"]
    assert results["idle"]["state"] == results["refusals"]["state"] == "skipped", "who lets nobody in proves nothing"


def test_a_proxy_that_loses_the_upgrade(prove: Proved, site: Site) -> None:
    site.front.wrong.add("upgrade")
    assert failed(prove()) == {"handshake_nginx"}


def test_a_socket_that_loses_the_echo(prove: Proved, site: Site) -> None:
    site.wrong(loses=["echo"], only=site.instances[1])
    results = prove()
    assert {"handshake_2"} <= failed(results) <= {"handshake_2", "handshake_nginx"}
    assert results["handshake_2"]["code"] == "E416_NO_ECHO"
    assert "the echo did not come back: nothing came within 2 s" in results["handshake_2"]["seen"]


def test_a_subprotocol_that_is_not_taken(prove: Proved) -> None:
    results = prove(subprotocols=["chat"])
    assert failed(results) >= {"handshake_1", "handshake_2", "handshake_nginx"}
    assert "none of the subprotocols" in results["handshake_1"]["seen"]


@pytest.mark.parametrize(("kind", "name"), [("good", "token"), ("expired", "refused_expired")])
def test_a_token_that_cannot_be_made(prove: Proved, site: Site, kind: str, name: str) -> None:
    del site.project["minted"][kind]
    site.project["not_minted"] = {kind: "no such user"}
    results = prove()
    assert failed(results) == {name} and results[name]["code"] == "E411_TOKEN_COMMAND"


# --- 6 and 7: silence, and all processes


@pytest.mark.parametrize(("code", "seen"), [(1000, "1000"), (4408, "4408"), (1006, "1006")])
def test_a_consumer_that_closes_every_socket_after_a_while(prove: Proved, site: Site, code: int, seen: str) -> None:
    """The seconds are those since the handshake, whatever was tried meanwhile, and the doctor has no other cause."""
    site.wrong(close_after=2, code=code, turns_away=4401)
    results = prove(examined=True, idle_seconds=3)
    assert failed(results) == {"idle"}
    assert re.fullmatch(rf"3 of 3 were closed, \S+ with {seen} [1-3].\d s after its handshake", results["idle"]["seen"])
    assert results["idle"]["code"] == "E604_IDLE_SERVER"
    assert re.search(rf"closed with {seen} after [1-3]\.\d s", results["idle"]["cause"]), results["idle"]
    assert results["broadcast"]["state"] == "skipped"


def test_silent_sockets_that_redis_py_closes(prove: Proved, site: Site) -> None:
    """The doctor, which was not silent itself, takes over how the proof's own sockets ended."""
    site.project |= {"layer": "channels_redis.core.RedisChannelLayer"}
    site.project["versions"]["redis"] = "8.0.1"
    site.wrong(close_after=3, code=1011)
    results = prove(examined=True, idle_seconds=4)
    assert failed(results) == {"idle"} and results["idle"]["code"] == "E603_REDIS_PY_8"
    assert re.search(r"closed with 1011 after [34]\.\d s", results["idle"]["cause"]), results["idle"]


def test_a_proxy_that_cuts_silent_sockets(prove: Proved, site: Site) -> None:
    site.front.wrong.add("idle")
    results = prove(idle_seconds=2)
    assert failed(results) == {"idle"} and results["idle"]["code"] == "E601_IDLE_PROXY"
    assert "1 of 3 were closed, nginx with 1006" in results["idle"]["seen"]


@pytest.mark.parametrize("broadcast", ["", '{"type": "all", "text": "{nonce}"}'])
def test_a_socket_that_is_deaf_after_the_silence(prove: Proved, site: Site, broadcast: str) -> None:
    """It is open, and that is not enough."""
    site.wrong(deaf_after=1)
    results = prove(broadcast=broadcast, idle_seconds=1.5, timeout=1)
    (name,) = failed(results)
    assert name == ("broadcast" if broadcast else "idle") and results[name]["code"] == "E609_DEAF"
    assert "nothing came within 1 s" in results[name]["cause"]


def test_a_broadcast_that_stays_in_one_process(prove: Proved, site: Site) -> None:
    site.wrong(all_but_others=True)
    results = prove()
    assert failed(results) == {"broadcast"} and results["broadcast"]["code"] == "E512_NOT_SHARED"
    assert f"not received by {site.instances[1]}" in results["broadcast"]["seen"]


def test_a_broadcast_that_is_lost(prove: Proved, site: Site) -> None:
    site.wrong(loses=["all"])
    results = prove()
    assert failed(results) == {"broadcast"} and f"by {site.instances[0]}: nothing" in results["broadcast"]["seen"]


def test_a_message_that_was_sent_too_early_is_sent_again(prove: Proved, site: Site) -> None:
    """A layer may still be joining the groups of a new socket; that is no fault of the site."""
    site.wrong(loses_first=["all"])
    results = prove()
    assert failed(results) == set() and "1 sent before, so soon" in results["broadcast"]["seen"]
    site.wrong()
    assert "sent before" not in prove()["broadcast"]["seen"]


# --- 8: logs


def test_an_access_log_without_the_attempt(prove: Proved, site: Site) -> None:
    site.front.wrong.add("silent")
    results = prove()
    assert failed(results) == {"logs"} and results["logs"]["code"] == "E415_NOT_LOGGED"


def test_an_access_log_with_the_query(prove: Proved, site: Site) -> None:
    """The token's own signs are escaped in it, so it does not stand there as it is."""
    site.front.wrong.add("query")
    results = prove(expired_token_command=[])
    assert GOOD not in site.access.read_text()
    assert failed(results) == {"logs"} and results["logs"]["code"] == "E414_TOKEN_LOGGED"
    assert str(site.access) in results["logs"]["seen"]


@pytest.mark.parametrize("token", [GOOD, EXPIRED])
def test_another_log_with_a_token(prove: Proved, site: Site, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """nginx's error log, and what the processes said."""
    checked = whole_proof.check_logs

    def late(*arguments: Any) -> None:
        site.error.write_text(f"upstream timed out, request: GET /ws/?token={token}\n")
        checked(*arguments)

    monkeypatch.setattr(whole_proof, "check_logs", late)
    results = prove()
    assert failed(results) == {"logs"} and str(site.error) in results["logs"]["seen"]
    monkeypatch.setattr(whole_proof, "check_logs", checked)
    assert failed(prove()) == set(), "what was logged before the proof began is no fault of now"
    monkeypatch.setattr(raw, "output", commands_of(site, f"INFO connection with {token} accepted"))
    assert "the token stands in journal" in prove()["logs"]["seen"]


# --- what is not asked is told


def test_what_cannot_be_tried_is_said(prove: Proved, site: Site) -> None:
    site.wrong(accepts=["none", "bad"])
    results = prove(send="", broadcast="", idle_seconds=0, token_command=[], expired_token_command=[], access_log="")
    site.wrong()
    skipped = {name for name, each in results.items() if each["state"] == "skipped"}
    assert failed(results) == set() and skipped == {"echo", "refusals", "idle", "broadcast", "logs"}
    assert prove(send="")["idle"]["state"] == "passed"
    assert prove(broadcast="")["idle"]["seen"] == "3 of 3, and each answers"
    assert "whether they receive is not tested" in prove(send="", broadcast="")["idle"]["seen"]
    assert prove(expired_token_command=[])["refused_expired"]["state"] == "skipped"


# --- from the controller


@pytest.fixture(scope="module")
def action() -> ModuleType:
    return load("action", "handshake_report")


@pytest.fixture
def outside(site: Site, action: ModuleType, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the action as a task does; what it returns, with the results of the report by their ids."""

    def run(**given: Any) -> dict[str, Any]:
        report = tmp_path / "app-1.json"
        args = {
            "name": "app-1", "collected": {"results": [], "token": GOOD, "versions": {}, "evidence": {"exchanges": []}},
            "url": site.url, "query": "token={token}", "origin": "http://localhost", "timeout": 2,
            "foreign_origin": "https://foreign.invalid", "send": '{"type": "echo", "text": "{nonce}"}',
            "report": str(report), **given,
        }  # fmt: skip
        task = SimpleNamespace(args=args, check_mode=False, async_val=0)
        made = action.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
        made._connection = MagicMock()
        returned: dict[str, Any] = made.run(task_vars={})
        told = json.loads(report.read_text())
        assert told["ok"] is not returned.get("failed", False)
        return returned | {"report": told, "by_id": {each["id"]: each for each in told["results"]}}

    return run


def test_a_sound_site_passes_from_the_controller(outside: Callable[..., dict[str, Any]]) -> None:
    states = {name: each["state"] for name, each in outside()["by_id"].items()}
    assert states == {"outside": "passed", "foreign_origin": "passed"}


def test_a_foreign_origin_that_is_accepted(outside: Callable[..., dict[str, Any]], site: Site) -> None:
    """The run fails, by a code and with both ways to mend it; an inventory that asks for none is not asked."""
    site.wrong(accepts=["foreign"])
    done = outside()
    (name,) = failed(done["by_id"])
    assert name == "foreign_origin" and done["failed"] and done["report"]["verdict"] == "W407_ORIGIN_UNCHECKED"
    assert done["by_id"][name]["seen"] == "it was accepted with 101"
    for way in ("AllowedHostsOriginValidator", 'handshake_foreign_origin: ""'):
        assert way in done["by_id"][name]["fix"] and way in done["msg"]
    unasked = outside(foreign_origin="")
    assert unasked["by_id"]["foreign_origin"]["state"] == "skipped" and "failed" not in unasked
    assert unasked["report"]["not_proven"] == ["Handshake with a foreign Origin is refused"]


@pytest.mark.parametrize(("code", "passes"), [(4403, True), (1011, False)])
def test_a_foreign_origin_that_is_turned_away_after_101(
    outside: Callable[..., dict[str, Any]], site: Site, code: int, passes: bool
) -> None:
    site.wrong(turns_away=code)
    assert failed(outside()["by_id"]) == (set() if passes else {"foreign_origin"})


@pytest.mark.parametrize(("faults", "seen"), [
    ({"handshake": 404}, "404"), ({"loses": ["echo"]}, "the echo did not come back"),
    ({"close_after": 0, "code": 1011}, "1011"), ({"close_after": 0, "code": 1006}, "cut without a close frame"),
])  # fmt: skip
@pytest.mark.parametrize("send", ["", '{"type": "echo", "text": "{nonce}"}'])
def test_a_socket_that_fails_from_the_controller(
    outside: Callable[..., dict[str, Any]], site: Site, faults: dict[str, Any], seen: str, send: str
) -> None:
    site.wrong(**faults)
    done = outside(send=send)
    expected = set() if faults == {"loses": ["echo"]} and not send else {"outside"}
    assert failed(done["by_id"]) - {"foreign_origin"} == expected
    assert not expected or seen in done["by_id"]["outside"]["seen"], done["by_id"]["outside"]


def test_a_subprotocol_that_is_not_taken_from_the_controller(outside: Callable[..., dict[str, Any]]) -> None:
    assert "none of the subprotocols" in outside(subprotocols=["chat"])["by_id"]["outside"]["seen"]


def test_a_site_that_is_not_reached_from_the_controller(outside: Callable[..., dict[str, Any]]) -> None:
    assert failed(outside(url="ws://127.0.0.1:1/ws/")["by_id"]) == {"outside", "foreign_origin"}


def test_what_failed_on_the_host_fails_the_run(outside: Callable[..., dict[str, Any]]) -> None:
    entry = result("broadcast", "Message", "failed", "lost", guess="E512_NOT_SHARED")
    collected = {"results": [entry], "token": GOOD, "versions": {}, "evidence": {"exchanges": []}}
    done = outside(collected=collected)
    assert done["failed"] and done["report"]["verdict"] == "E512_NOT_SHARED" and GOOD not in json.dumps(done["report"])


def test_edge_that_fails_is_named_and_looked_through(outside: Callable[..., dict[str, Any]], site: Site) -> None:
    """The others pass, and the evidence is of the way that does not."""
    way = site.url.split("/")[2]
    done = outside(edges={"edge-1": way, "edge-2": "127.0.0.1:1"})
    states = {(each["edge"], each["state"]) for each in done["report"]["results"]}
    assert states == {("edge-1", "passed"), ("edge-2", "failed")}
    assert "app-1" in done["msg"] and "through edge-2" in done["msg"]
    assert [each["to"] for each in done["report"]["evidence"]["outside"]] == ["127.0.0.1:1"]
    assert done["report"]["verdict"] == "E011_TCP_REFUSED"


def test_a_proof_ends_with_what_is_amiss_and_passes(outside: Callable[..., dict[str, Any]]) -> None:
    noted = {"app": "dashboard", "site": True, "watched": False, "times": []}
    done = outside(notices=noted)
    assert "failed" not in done
    assert [line.split(".")[0] for line in done["lines"][-2:]] == [
        "note Nothing watches this site", "note No backup is set up",
    ]  # fmt: skip
    assert not [line for line in outside()["lines"] if line.startswith("note ")]


def test_each_edge_is_judged_by_what_itself_answers(
    outside: Callable[..., dict[str, Any]], raw_server: Callable[..., SimpleNamespace]
) -> None:
    """An edge is down, and the address that edges share answers that no app host serves: its port is not closed."""
    body = b"No host can serve this now. Try again in a few seconds.\n"

    def nobody(way: socket.socket, _request: bytes) -> None:
        way.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    shared = raw_server(nobody).url.split("/")[2]
    evidence = {"exchanges": [opened_exchange("proxy", "nginx", {})]}
    collected = {"results": [], "token": GOOD, "versions": {}, "evidence": evidence}
    done = outside(edges={"edge-1": "127.0.0.1:1", "keepalived_address": shared}, collected=collected)
    told = {(each["edge"], each["code"]) for each in done["report"]["results"]}
    assert told == {("edge-1", "E011_TCP_REFUSED"), ("keepalived_address", "E335_NO_HOST_SERVES")}
    (noticed,) = done["report"]["noticed"]
    assert done["report"]["verdict"] == "E011_TCP_REFUSED" and noticed["code"] == "E335_NO_HOST_SERVES"
    assert not any("keepalived_address" in line for line in done["report"]["finding"]["seen"])
    assert any("keepalived_address" in line for line in noticed["seen"]) and "503" in done["msg"]
