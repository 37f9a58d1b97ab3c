"""The doctor's judgement of an edge of a fleet, and how an edge finds out how app hosts answer it."""

from __future__ import annotations

import copy
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor import controller, edge
from ansible_collections.channels.stack.plugins.module_utils.doctor.answers import NOBODY_MARK
from ansible_collections.channels.stack.plugins.module_utils.doctor.diagnosis import diagnose
from ansible_collections.channels.stack.plugins.module_utils.doctor.rules.edges import trusted
from ansible_collections.channels.stack.plugins.module_utils.host import haproxy
from ansible_collections.channels.stack.plugins.module_utils.host.deployed import fleet_view
from test_doctor import BUNDLE, URL, at, came, healthy

ROOT = Path(__file__).resolve().parents[2]
NO_SOCKET = {"status": 0, "ms": {"name": 1.0}}
REFUSED = {"stage": "tcp", "reason": "Connection refused", **NO_SOCKET}


def server(name: str, **other: Any) -> dict[str, Any]:
    """An app host that this edge sends handshakes to, or what else is said."""
    return {
        "name": name, "state": "up", "check": "L7OK 200", "connections": 3, "address": f"10.0.0.{name[-1]}:80",
        "source": "10.0.0.31", "stage": "", "reason": "", "status": 200, "plain": 0, **other,
    }  # fmt: skip


def whole() -> dict[str, Any]:
    """The evidence of an edge with nothing wrong."""
    trusts = ["10.0.0.31", "10.0.0.32"]
    return {
        "name": "edge-1", "url": URL, "origin": "https://app.example.org", "idle_seconds": 0, "now": 1_800_000_000.0,
        "skew": 0.0, "problem": {}, "token": {"present": True, "length": 100, "claims": {}, "minted": False},
        "outside": [came("outside", to="203.0.113.1:443")],
        "host": {
            "user": "root", "manager": "systemd", "exchanges": [], "bundle": {"app": "app"}, "addresses": ["10.0.0.31"],
            "haproxy": {"running": True, "refusal": "", "silence": "", "servers": [server("app-1"), server("app-2")],
                        "ports": [{"port": 80, "listening": True}, {"port": 443, "listening": True}]},
        },
        "fleet": {
            "hosts": {"app-1": {"drained": False, "trusts": trusts}, "app-2": {"drained": False, "trusts": trusts}},
            "shared": {"address": "10.0.0.100", "holders": ["edge-1"], "all_asked": True},
        },
    }  # fmt: skip


def judged(**changes: Any) -> dict[str, Any]:
    """The report on a whole edge with some changes, whose dots are written as two underscores."""
    evidence = copy.deepcopy(whole())
    for path, value in changes.items():
        at(evidence, path.replace("__", "."), value)
    return diagnose(evidence)


def one(**other: Any) -> dict[str, Any]:
    """Another answer of the first app host."""
    return {"host__haproxy__servers__0": server("app-1", **other)}


DOWN = {"host__haproxy__running": False, "host__haproxy__servers": [], "outside__0": came("outside", **REFUSED)}
CLOSED = {"host__haproxy__ports__1": {"port": 443, "listening": False},
          "outside__0": came("outside", to="203.0.113.1:443", **REFUSED)}  # fmt: skip
DRAINED = {"state": "drain", "check": "L7STS 404", "status": 404}
OTHER = {"drained": False, "trusts": ["10.0.0.32"]}
LATE = {"stage": "tcp", "reason": "timed out", "status": 0, "source": "", "state": "down", "check": "L4TOUT"}
#: By code: what is seen, the hop that is broken, and a text that names who or what it is.
ERRORS: dict[str, tuple[dict[str, Any], str, str]] = {
    "E321_EDGE_DOWN": (DOWN, "edge", "edge-1"),
    "E322_EDGE_CONFIG": ({**DOWN, "host__haproxy__refusal": "unknown keyword 'nonsense'"}, "edge", "'nonsense'"),
    "E324_EDGE_PORT": (CLOSED, "edge", "port 443"),
    "E325_EDGE_UNREACHABLE": ({"outside__0": came("outside", to="203.0.113.1:443", **REFUSED)}, "tcp", "edge-1"),
    "E326_HOST_UNREACHABLE": (one(**LATE), "edge", "app-1 (10.0.0.1:80): down"),
    "E327_EDGE_UNKNOWN": ({**one(**DRAINED), "fleet__hosts__app-1": OTHER}, "edge", "10.0.0.31"),
    "E330_HOST_DOWN": (one(state="down", check="L7RSP"), "edge", "L7RSP"),
    "E331_ADDRESS_NOWHERE": ({"fleet__shared__holders": []}, "tcp", "10.0.0.100"),
    "E332_ADDRESS_TWICE": ({"fleet__shared__holders": ["edge-1", "edge-2"]}, "tcp", "edge-1 and edge-2"),
    "E333_PROXY_PROTOCOL": (one(state="down", status=400, plain=404, check="L7STS 400"), "edge", "app-1"),
    "E334_HOST_UNHEALTHY": (one(state="down", status=503, check="L7STS 503"), "edge", "app-1"),
    "E311_LIMIT": ({"outside__0": came("outside", status=429, body="(haproxy_address_sockets)")}, "edge", "429"),
    "E021_CERT_EXPIRED": ({"outside__0": came("outside", to="203.0.113.1:443", stage="tls", reason="expired", verify=10,
                                              **NO_SOCKET)}, "tls", "203.0.113.1"),
    "E022_CERT_NAME": ({"outside__0": came("outside", to="203.0.113.1:443", stage="tls", reason="name", verify=62,
                                           **NO_SOCKET)}, "tls", "203.0.113.1"),
}  # fmt: skip
WARNINGS: dict[str, dict[str, Any]] = {
    "W323_EDGE_CONFIG": {"host__haproxy__refusal": "unknown keyword"},
    "W328_HOST_DRAINED": {**one(**DRAINED), "fleet__hosts__app-1": {"drained": True, "trusts": ["10.0.0.31"]}},
    "W329_HOST_MAINTENANCE": one(state="maintenance"),
    "W336_HOST_LEFT_OUT": {**one(**DRAINED), "fleet__hosts": {}},
}


def test_nothing_is_wrong_with_an_edge_that_works() -> None:
    report = judged()
    assert report["ok"] and not report["noticed"]
    states = {hop["id"]: hop["state"] for hop in report["hops"]}
    assert [states[hop] for hop in ("name", "tcp", "tls", "edge")] == ["ok"] * 4


@pytest.mark.parametrize("code", ERRORS)
def test_edge_and_hop_are_named(code: str) -> None:
    changes, hop, text = ERRORS[code]
    report = judged(**changes)
    finding = report["finding"]
    assert report["verdict"] == code, report
    assert finding["hop"] == hop
    assert text in " ".join([finding["cause"], finding["fix"], *finding["seen"]]), finding
    assert "…" not in finding["cause"] + finding["fix"], finding
    assert [each["code"] for each in report["noticed"]] == [], "only what was proven is told"


@pytest.mark.parametrize("code", WARNINGS)
def test_what_was_done_on_purpose_is_no_error(code: str) -> None:
    report = judged(**WARNINGS[code])
    assert report["ok"] and [each["code"] for each in report["noticed"]] == [code], report
    assert "…" not in report["noticed"][0]["cause"] + report["noticed"][0]["fix"]


def test_hosts_with_the_same_fault_are_told_together() -> None:
    report = judged(host__haproxy__servers=[server("app-1", **LATE), server("app-2", **LATE)])
    assert report["verdict"] == "E326_HOST_UNREACHABLE" and "app-1 and app-2" in report["finding"]["cause"]
    assert [line.partition(" ")[0] for line in report["finding"]["seen"]] == ["app-1", "app-2"]
    assert [each["code"] for each in report["noticed"]] == ["E335_NO_HOST_SERVES"]


def test_edge_with_no_host_left_is_an_error_even_if_each_was_taken_out() -> None:
    out = [server("app-1", **DRAINED), server("app-2", state="maintenance")]
    drained = {"drained": True, "trusts": ["10.0.0.31"]}
    busy = came("outside", status=503, body=f"{NOBODY_MARK}. Try again in a few seconds.\n")
    report = judged(**{"host__haproxy__servers": out, "fleet__hosts__app-1": drained, "outside__0": busy})
    assert report["verdict"] == "E335_NO_HOST_SERVES"
    assert {each["code"] for each in report["noticed"]} == {"W328_HOST_DRAINED", "W329_HOST_MAINTENANCE"}


def test_app_host_blames_no_limit_for_an_edge_without_hosts() -> None:
    """The template still says what the rule looks for."""
    assert NOBODY_MARK in (ROOT / "templates" / "haproxy" / "haproxy.cfg.j2").read_text()
    evidence = healthy()
    evidence["outside"] = [came("outside", status=503, body=f"{NOBODY_MARK}. Try again in a few seconds.\n")]
    assert diagnose(evidence)["verdict"] == "E335_NO_HOST_SERVES"


def test_address_is_nobody_s_only_if_all_edges_have_said_so() -> None:
    assert judged(fleet__shared__holders=[], fleet__shared__all_asked=False)["ok"]
    assert judged(fleet__shared={"address": "", "holders": [], "all_asked": True})["ok"]


def test_names_among_trusted_addresses_prove_nothing() -> None:
    assert trusted("10.0.0.31", ["edge.example.org"]) and trusted("10.0.0.31", ["unix:", "10.0.0.0/24"])
    assert not trusted("10.0.0.31", ["10.0.0.32", "fd00::/64"])


def test_edge_that_could_not_be_examined_is_judged_from_outside() -> None:
    evidence = whole() | {"host": None, "problem": {"code": "E901_UNREACHABLE", "error": "ssh"}}
    evidence["outside"] = [came("outside", **REFUSED)]
    assert diagnose(evidence)["verdict"] == "E011_TCP_REFUSED"


def test_edge_without_a_token_is_not_blamed_for_a_refusal() -> None:
    """As with --limit: tokens are made on app hosts."""
    refused = came("outside", status=403)
    token = {"present": False, "length": 0, "claims": {}, "minted": False}
    assert judged(outside__0=refused, token=token)["ok"]
    assert judged(outside__0=refused)["verdict"] == "E402_TOKEN_BAD"
    assert not judged(outside__0=came("outside", status=500), token=token)["ok"]


# --- what an edge finds out


class Answering(threading.Thread):
    """A server that answers each connection as it is told to, by what came."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        super().__init__(daemon=True)
        self.answer = answer
        self.way = socket.create_server(("127.0.0.1", 0))
        self.port = self.way.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self.way.accept()
            except OSError:
                return
            with client:
                sent = b""
                while not sent.endswith(b"close\r\n\r\n") and (part := client.recv(4096)):
                    sent += part  # the header of the PROXY protocol may come alone
                client.sendall(self.answer(sent))


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[bytes], bytes]], int]]:
    started: list[Answering] = []

    def start(answer: Callable[[bytes], bytes]) -> int:
        started.append(Answering(answer))
        return started[-1].port

    yield start
    for each in started:
        each.way.close()


def test_host_that_wants_the_proxy_protocol(answering: Callable[..., int]) -> None:
    def answer(sent: bytes) -> bytes:
        asked = b"GET /health HTTP/1.1\r\nHost: shop\r\n" in sent
        return b"HTTP/1.1 200 OK\r\n\r\n" if asked and sent.startswith(edge.LOCAL) else b""

    found = edge.answers(f"127.0.0.1:{answering(answer)}", "/health", "shop")
    assert found == {"source": "127.0.0.1", "stage": "", "reason": "", "status": 200, "plain": 0}


def test_host_that_does_not_know_it(answering: Callable[..., int]) -> None:
    answer = lambda sent: b"HTTP/1.1 %d x\r\n\r\n" % (200 if sent.startswith(b"GET") else 400)  # noqa: E731
    found = edge.answers(f"127.0.0.1:{answering(answer)}", "/health", "shop")
    assert (found["status"], found["plain"]) == (400, 200)


def test_host_that_speaks_tls(tmp_path: Path, answering: Callable[..., int]) -> None:
    """Behind the header of the PROXY protocol, as HAProxy's checks do; whatever the certificate."""
    pair = tmp_path / "pair.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*command, "-keyout", pair, "-out", tmp_path / "c", "-subj", "/CN=x"], check=True, capture_output=True
    )
    pair.write_text(pair.read_text() + (tmp_path / "c").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    way = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            client, _ = way.accept()
            with client:
                if client.recv(16, socket.MSG_PEEK) == edge.LOCAL:
                    client.recv(16)
                    with context.wrap_socket(client, server_side=True) as inner:
                        inner.recv(4096)
                        inner.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with way:
        found = edge.answers(f"127.0.0.1:{way.getsockname()[1]}", "/health", "shop", True)
        thread.join(30)
    assert (found["status"], found["plain"], found["stage"]) == (404, 0, "")


def test_host_that_is_not_there() -> None:
    found = edge.answers("127.0.0.1:1", "/health", "shop")
    assert (found["stage"], found["reason"], found["status"]) == ("tcp", "Connection refused", 0)
    assert edge.answers("nonsense", "/", "x")["stage"] == "tcp"


def test_check_is_the_one_that_haproxy_makes() -> None:
    config = "    http-check send meth GET uri /.well-known/health ver HTTP/1.1 hdr Host shop.example.org\n"
    assert edge.check_of(config) == ("/.well-known/health", "shop.example.org", False)
    encrypted = "    default-server check inter 1s\n    default-server ssl verify required\n"
    assert edge.check_of(config + encrypted)[2] and edge.check_of("") == ("/", "localhost", False)


def test_check_of_a_configuration_is_no_haproxy_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {1: ["haproxy", "-c", "-f", "x"], 2: ["/usr/sbin/haproxy", "-Ws", "-f", "x"]}
    monkeypatch.setattr(edge.proc, "argv", words.__getitem__)
    for pids, runs in (([1], False), ([1, 2], True), ([], False)):
        monkeypatch.setattr(edge.proc, "called", lambda name, pids=pids: pids)
        assert edge.runs() is runs


@pytest.mark.parametrize(
    ("shown", "refused"),
    [
        ("Configuration file is valid\n", ""),
        ("[ALERT]    (12) : config : [x:3] : unknown keyword\nREFUSED\n", "config : [x:3] : unknown keyword"),
        ("sh: haproxy: not found\nREFUSED\n", "sh: haproxy: not found\nREFUSED\n"),
    ],
)  # fmt: skip
def test_refusal_of_a_configuration(monkeypatch: pytest.MonkeyPatch, shown: str, refused: str) -> None:
    monkeypatch.setattr(edge.os.path, "exists", lambda path: True)
    monkeypatch.setattr(edge.raw, "output", lambda *words, **options: shown)
    assert edge.refusal() == refused


def test_look_puts_all_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answering: Callable[..., int]) -> None:
    port = answering(lambda sent: b"HTTP/1.1 200 OK\r\n\r\n" if sent.startswith(edge.LOCAL) else b"")
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        f"# The edge of shop: TLS\nfrontend plain\n    bind 0.0.0.0:{port}\n    bind [::]:1 v6only\nfrontend health\n"
        "    bind unix@/run/haproxy/health.sock mode 666\n"
        "backend app\n    http-check send meth GET uri /h ver HTTP/1.1 hdr Host shop\n"
    )
    monkeypatch.setattr(edge, "CONFIG", str(config))
    monkeypatch.setattr(edge, "refusal", lambda: "")
    seen = {"name": "app-1", "state": "up", "check": "L7OK 200", "connections": 1, "address": f"127.0.0.1:{port}"}
    monkeypatch.setattr(edge.haproxy, "servers", lambda backend: [seen])
    found = edge.look("shop")
    assert found["bundle"] == {"app": "shop"} and "127.0.0.1" in found["addresses"]
    assert found["haproxy"]["ports"] == [{"port": 1, "listening": False}, {"port": port, "listening": True}]
    assert found["haproxy"]["servers"][0]["status"] == 200 and found["haproxy"]["servers"][0]["state"] == "up"

    def silent(backend: str) -> Any:
        raise haproxy.HaproxyError("HAProxy does not answer")

    monkeypatch.setattr(edge.haproxy, "servers", silent)
    assert edge.look("pad")["haproxy"]["silence"] == "HAProxy does not answer" and edge.look("pad")["bundle"] == {}


def test_address_of_a_server_is_read() -> None:
    answer = "# pxname,svname,status,check_status,check_code,scur,addr,\napp,app-1,UP,L7OK,200,3,10.0.0.1:80,\n"
    (found,) = haproxy.servers_in(answer, "app")
    assert found["address"] == "10.0.0.1:80" and found["connections"] == 3


def test_what_edges_cannot_see_of_an_app_host(monkeypatch: pytest.MonkeyPatch) -> None:
    site = "    set_real_ip_from 10.0.0.31;\n    set_real_ip_from 10.0.0.0/24;\n    # set_real_ip_from 10.9.9.9;\n"
    monkeypatch.setattr("ansible_collections.channels.stack.plugins.module_utils.host.raw.read", lambda path: site)
    assert fleet_view("nobody-has-this") == {"drained": False, "trusts": ["10.0.0.0/24", "10.0.0.31"]}


# --- from the controller


@pytest.mark.parametrize(
    ("text", "place"),
    [("10.0.0.1:443", ("10.0.0.1", 443)), ("[fd00::1]:8443", ("fd00::1", 8443)), ("", None), ("nonsense", None)],
)
def test_place_to_connect_to(text: str, place: tuple[str, int] | None) -> None:
    assert controller.place_of(text) == place


def test_each_edge_is_tried_at_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def attempt(url: str, **options: Any) -> dict[str, Any]:
        tried.append(options["connect_to"])
        return came("outside")

    monkeypatch.setattr(controller.exchange, "attempt", attempt)
    args = {"name": "edge-1", "url": URL, "connect_to": "203.0.113.1:443", "fleet": {"hosts": {}}}
    evidence = controller.evidence_of(args, {"evidence": {"exchanges": []}, "token": "x"})
    assert tried == [("203.0.113.1", 443)] and evidence["fleet"] == {"hosts": {}}
    assert "http2" not in evidence and BUNDLE
