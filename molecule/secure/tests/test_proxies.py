"""Behind somebody else's balancer: who is believed, what the project sees, who gets in, and what a balancer is told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from lab_host import LabHost, Run
from secure_site import PARTS

BALANCER, STRANGER, CLIENT = "127.0.0.5", "127.0.0.9", "127.0.0.77"  # all of them addresses of the same host
HEALTH = "/.well-known/health"
# Runs on the host: sends requests from chosen addresses, and prints the answers.
ASK = r"""
import json, socket, ssl, sys
def answered(asked):
    way = socket.socket()
    way.settimeout(15)
    try:
        way.bind((asked.get("source", "127.0.0.1"), 0))
        way.connect((asked.get("to", "127.0.0.1"), asked.get("port", 443)))
        way.sendall(asked.get("before", "").encode())
        if asked.get("tls", True):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            way = context.wrap_socket(way, server_hostname=asked.get("name", "localhost"))
        headers = {"Host": "localhost", **asked.get("headers", {})}
        if asked.get("socket"):
            headers |= {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        else:
            headers |= {"Connection": "close"}
        lines = [f"{asked.get('method', 'GET')} {asked.get('path', '/')} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        way.sendall("\r\n".join([*lines, "", ""]).encode())
        came = b""
        while part := way.recv(65536):
            came += part
            head, _, body = came.partition(b"\r\n\r\n")
            # What the scope tells comes in one frame; a refused handshake leaves the connection open.
            if came.startswith(b"HTTP/1.1 101") and (not asked.get("frame") or body.endswith(b"}")):
                break
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if lengths and len(body) >= int(lengths[0].split(b":")[1]):
                break
    except OSError as error:
        return {"status": 0, "headers": [], "body": repr(error)}
    finally:
        way.close()
    head, _, body = came.decode("latin-1").partition("\r\n\r\n")
    first, *others = head.split("\r\n")
    pairs = [(line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in others]
    return {"status": int((first.split() + ["0", "0"])[1]), "headers": pairs, "body": body}
print(json.dumps([answered(asked) for asked in json.loads(sys.argv[1])]))
"""
# The project's own server and settings, with an application that shows its scope and what Django makes of it.
TELL = """
import io, json
from core.asgi import django_application
from django.core.handlers.asgi import ASGIRequest
async def application(scope, receive, send):
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    if scope["type"] == "websocket":
        request = ASGIRequest({**scope, "type": "http", "method": "GET"}, io.BytesIO())
    else:
        request = ASGIRequest(scope, io.BytesIO())
    told = json.dumps({"client": scope["client"][0], "headers": headers, "secure": request.is_secure(),
                       "address": request.META["REMOTE_ADDR"], "uri": request.build_absolute_uri("/x")})
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return await send({"type": "websocket.send", "text": told})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told.encode()})
"""
TELLER = "/run/dashboard/teller.sock"
# HAProxy as somebody might run it: TLS ends there or passes through; what it says about a client is its own word.
HAPROXY = """
defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen pages
    mode http
    bind 127.0.0.1:9443 ssl crt /etc/haproxy/site.pem
    bind 127.0.0.1:9080
    option forwardfor
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    http-request set-header X-Forwarded-Proto http if ! { ssl_fc }
    server site 127.0.0.1:80 source 127.0.0.5
listen through
    mode tcp
    bind 127.0.0.1:9444
    server site 127.0.0.1:443 send-proxy source 127.0.0.5
listen ends
    mode tcp
    bind 127.0.0.1:9445 ssl crt /etc/haproxy/site.pem
    tcp-request content set-dst-port int(443)
    server site 127.0.0.1:80 send-proxy-v2 source 127.0.0.5
"""


def asked(lab: LabHost, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """Send requests on the host, each from its `source`; return `status`, `headers` (pairs) and `body` of each."""
    return json.loads(lab.python(ASK, json.dumps(requests)))


def named(answer: dict[str, Any], name: str) -> list[str]:
    """The values of a header, one for each time it occurs."""
    return [value for found, value in answer["headers"] if found == name]


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """What the project reports that it saw."""
    body = answer["body"]
    assert "{" in body, answer
    seen = json.loads(body[body.index("{") : body.rindex("}") + 1])
    headers: dict[str, list[str]] = {}
    for name, value in seen["headers"]:
        headers.setdefault(name, []).append(value)
    return {**seen, "headers": headers}


@contextlib.contextmanager
def configured(lab: LabHost, folder: Path, before: tuple[str, ...] = (), **variables: Any) -> Iterator[None]:
    """Configure nginx with some variables for a while, and then as before."""
    file = folder / f"{lab.name}-{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(variables))
    try:
        Run(*PARTS, lab.name, "-e", f"@{file}").changed(lab.name)
        yield
    finally:
        Run(*PARTS, lab.name, *before).changed(lab.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for files of variables."""
    return tmp_path_factory.mktemp("variables")


SITE = {"nginx_trusted_proxies": [BALANCER, "fastly"], "nginx_health_path": HEALTH}


@pytest.fixture(scope="module")
def site(lab: LabHost, folder: Path) -> Iterator[LabHost]:
    """A site that trusts its balancer."""
    with configured(lab, folder, **SITE):
        yield lab


@pytest.fixture(scope="module")
def balancer(site: LabHost) -> Iterator[LabHost]:
    """HAProxy in front of the site, on the same host, with its own address there."""
    install = "DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends haproxy"
    try:
        site.run(f"{install} && systemctl stop haproxy && cat /etc/dashboard/certificate/*.pem > /etc/haproxy/site.pem")
        site.run("chmod 600 /etc/haproxy/site.pem; printf %s %s > /etc/haproxy/balancer.cfg", "%s", HAPROXY)
        site.run("systemd-run --quiet --collect --unit=balancer haproxy -db -f /etc/haproxy/balancer.cfg")
        site.run("for i in $(seq 1200); do ss -ltn | grep -q :9445 && exit 0; sleep 0.1; done; exit 1")
        yield site
    finally:
        purge = "DEBIAN_FRONTEND=noninteractive apt-get purge --quiet --yes --auto-remove haproxy"
        site.run(f"systemctl stop balancer; {purge}; rm -rf /etc/haproxy")


@pytest.fixture(scope="module")
def teller(site: LabHost) -> Iterator[LabHost]:
    """The project's server with an application that reports what it is told."""
    home = "/run/dashboard/teller"
    try:
        site.run(f"mkdir -p {home} && printf %s %s > {home}/tell.py", "%s", TELL)
        daphne = f"PYTHONPATH={home} exec daphne --proxy-headers -e unix:{TELLER}:mode=660 tell:application"
        site.run(
            "systemd-run --quiet --collect --unit=teller --uid=dashboard --property=SupplementaryGroups=www-data "
            "/srv/dashboard/live/within sh -c %s && "
            "for i in $(seq 1200); do test -S %s && exit 0; sleep 0.1; done; exit 1",
            daphne, TELLER,
        )  # fmt: skip
        yield site
    finally:
        site.run(f"systemctl stop teller; rm -rf {home} {TELLER}")


LIES = {
    "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "spoofed.invalid",
    "X-Forwarded-Port": "444", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9;proto=https",
    "X-Channels-Probe": "upstream",
}  # fmt: skip


def assert_seen(answer: dict[str, Any], address: str, scheme: str, port: str) -> None:
    """Fail the test if the project doesn't see this client, or sees a liar's claim anywhere."""
    seen = told(answer)
    assert (seen["client"], seen["address"]) == (address, address), seen
    assert seen["secure"] == (scheme == "https") and seen["uri"] == f"{scheme}://localhost/x", seen
    sent = seen["headers"]
    assert sent["x-forwarded-for"] == sent["x-real-ip"] == [address]
    assert sent["x-forwarded-proto"] == [scheme] and sent["x-forwarded-port"] == [port]
    assert sent["x-forwarded-host"] == sent["host"] == ["localhost"]
    assert "forwarded" not in sent and "203.0.113.9" not in str(seen)
    assert not named(answer, "x-channels-upstream"), "a stranger is told which process answered"


def test_project_sees_the_client_of_a_balancer_and_no_liar(balancer: LabHost, teller: LabHost) -> None:
    """Pages and sockets, with TLS that ends at the balancer or here."""
    from_client, socket = {"source": CLIENT, "headers": LIES}, {"socket": True, "frame": True, "path": "/ws/dashboard/"}
    with balancer.upstream(TELLER):
        page, opened, plain, refused, liar, liars_socket, led = asked(
            balancer,
            {**from_client, "port": 9443},
            {**from_client, **socket, "port": 9443},
            {**from_client, "port": 9080, "tls": False},
            {**from_client, **socket, "port": 9080, "tls": False},
            {**from_client, "source": STRANGER},
            {**from_client, **socket, "source": STRANGER},
            {**from_client, "source": STRANGER, "port": 80, "tls": False},
        )
    assert (page["status"], opened["status"]) == (200, 101)
    for answer in (page, opened):
        assert_seen(answer, CLIENT, "https", "443")
    # A client without TLS at the balancer is redirected as if there were no balancer; no redirect goes in circles.
    assert plain["status"] == 308 and named(plain, "location") == ["https://localhost/"]
    assert refused["status"] == 403 and "wss://" in refused["body"]
    for answer in (liar, liars_socket):
        assert_seen(answer, STRANGER, "https", "443")
    assert led["status"] == 308, "a liar who says https over http is believed"


def test_address_that_a_client_sends_along_is_not_the_last(balancer: LabHost, teller: LabHost) -> None:
    """The balancer adds the client's to the list it got; another balancer before it is skipped, a stranger is not."""
    with balancer.upstream(TELLER):
        said = [f"{LIES['X-Forwarded-For']}, {CLIENT}, 151.101.1.1", f"127.0.0.1, {STRANGER}"]
        through, behind = asked(balancer, *(
            {"source": BALANCER, "headers": {"X-Forwarded-For": one, "X-Forwarded-Proto": "https",
                                             "X-Channels-Probe": "upstream"}}
            for one in said
        ))  # fmt: skip
    assert told(through)["address"] == CLIENT, "fastly is among the trusted"
    assert told(behind)["address"] == STRANGER
    assert not named(behind, "x-channels-upstream")


def test_proxy_protocol(balancer: LabHost, teller: LabHost, folder: Path) -> None:
    """TLS passes through the balancer or ends there; clients without the protocol, or with a lie, gain nothing."""
    now = next(iter(sorted(folder.glob(f"{balancer.name}-*.json"))))
    line = "PROXY TCP4 203.0.113.9 192.0.2.1 5555 443\r\n"
    from_client, socket = {"source": CLIENT, "headers": LIES}, {"socket": True, "frame": True, "path": "/ws/dashboard/"}
    with configured(balancer, folder, ("-e", f"@{now}"), **SITE, nginx_proxy_protocol=True), balancer.upstream(TELLER):
        through, ends, opened, without, liar, plain_liar, local, health = asked(
            balancer,
            {**from_client, "port": 9444},
            {**from_client, "port": 9445},
            {**from_client, **socket, "port": 9445},
            {**from_client, "source": BALANCER},
            {**from_client, "source": STRANGER, "before": line},
            {**from_client, "source": STRANGER, "before": line, "port": 80, "tls": False},
            {"port": 8000, "tls": False, "headers": {"X-Channels-Probe": "upstream"}},
            {"before": "PROXY UNKNOWN\r\n", "port": 80, "tls": False, "source": BALANCER, "path": HEALTH},
        )
    for answer, port in ((through, "9444"), (ends, "443"), (opened, "443")):
        assert_seen(answer, CLIENT, "https", port)
    assert without["status"] == 0, "who does not speak it is served"
    assert_seen(liar, STRANGER, "https", "443")
    assert plain_liar["status"] == 308, "a liar's word for the port is believed"
    assert told(local)["address"] == "127.0.0.1" and named(local, "x-channels-upstream") == [f"unix:{TELLER}"]
    assert health["status"] == 200


def test_pages_of_the_site_alone_open_sockets(site: LabHost, teller: LabHost) -> None:
    """nginx refuses with a reason: the application behind it here accepts everybody."""
    socket = {"socket": True, "path": "/ws/dashboard/"}
    cases: list[tuple[str | None, str, int]] = [
        ("https://localhost", "localhost", 101),
        ("https://site.test", "localhost", 101),  # another of its own names
        ("HTTPS://SITE.TEST", "site.test", 101),
        ("https://localhost:8443", "localhost:8443", 101),  # a port that leads here
        (None, "localhost", 101),  # no browser
        ("https://localhost:8443", "localhost", 403),
        ("http://localhost", "localhost", 403),
        ("https://foreign.invalid", "localhost", 403),
        ("https://site.test.foreign.invalid", "localhost", 403),
        ("https://sitextest", "localhost", 403),
        ("null", "localhost", 403),
    ]
    with site.upstream(TELLER):
        answers = asked(site, *(
            {**socket, "headers": {"Origin": origin, "Host": host}} for origin, host, _ in cases
        ))  # fmt: skip
        page, *_ = asked(site, {"headers": {"Origin": "https://foreign.invalid"}})
    assert page["status"] == 200, "a page is none of nginx_origins' business"
    for (origin, host, status), answer in zip(cases, answers, strict=True):
        assert answer["status"] == status, (origin, host, answer)
        if status == 403:
            assert "(nginx_origins)" in answer["body"] and named(answer, "content-type") == ["text/plain"]


def test_page_headers_are_everywhere_and_once(site: LabHost) -> None:
    """On pages they are the project's own, elsewhere nginx's; the handshake has none."""
    static = site.run("cd /srv/dashboard/live/static && find . -name '*.css' | head -1").strip()[2:]
    paths = ["/", "/missing/", f"/static/{static}", "/static/missing.css", f"/{'x' * 20000}"]
    token = site.token()
    *answers, opened = asked(site, *({"path": path} for path in paths),
                             {"socket": True, "path": f"/ws/dashboard/?token={token}"})  # fmt: skip
    page = "/srv/dashboard/maintenance.html"
    site.run(f"test -e {page} || {{ echo page > {page}; touch {page}.made; }}")
    try:
        with site.nginx_edited("/etc/nginx/conf.d/dashboard-maintenance.conf", "s/default 0;/default 1;/"):
            said = {"headers": {"X-Forwarded-For": "127.0.0.1"}}
            closed, posted, health, allowed, liar = asked(
                site, {"source": STRANGER}, {"source": STRANGER, "method": "POST"},
                {"source": BALANCER, "path": HEALTH}, {"source": BALANCER, **said}, {"source": STRANGER, **said},
            )  # fmt: skip
    finally:
        site.run(f"test ! -e {page}.made || rm {page} {page}.made")
    assert [answer["status"] for answer in answers] == [200, 404, 200, 404, 414]
    assert (closed["status"], posted["status"]) == (503, 503)
    for path, answer in [*zip(paths, answers, strict=True), ("maintenance", closed), ("maintenance", posted)]:
        project = path in ("/", "/missing/")
        assert named(answer, "x-content-type-options") == ["nosniff"], (path, answer["headers"])
        assert named(answer, "x-frame-options") == ["DENY" if project else "SAMEORIGIN"], (path, answer["headers"])
        assert named(answer, "referrer-policy") == ["no-referrer" if project else "same-origin"], path
    assert opened["status"] == 101
    assert not [name for name, _ in opened["headers"] if name in ("x-frame-options", "referrer-policy")]
    assert health["status"] == 503, "a balancer sends people to a site in maintenance"
    assert (allowed["status"], liar["status"]) == (200, 503), "nginx_maintenance_allow is about clients"


def healthy(lab: LabHost, **request: Any) -> int:
    """The health path's answer."""
    (answer,) = asked(lab, {"source": BALANCER, "path": HEALTH, "port": 80, "tls": False, **request})
    return int(answer["status"])


@contextlib.contextmanager
def without_redis(lab: LabHost) -> Iterator[None]:
    """Cut a host's processes off from their Redis for a while, wherever it is."""
    address = urlsplit(lab.environment()["REDIS_URL"]).hostname
    route = f"unreachable {address}/32"
    away, back = f"ip route add {route}", f"ip route del {route}"
    if address == "127.0.0.1":
        away, back = "systemctl stop redis-server", "systemctl start redis-server"
    try:
        lab.run(away)
        yield
    finally:
        lab.run(back)
        lab.await_handshakes()


def test_health_is_true_when_a_handshake_works(site: LabHost) -> None:
    """Both the processes and what they need count; none of it is logged, and only balancers may ask."""
    log = "/var/log/nginx/dashboard.access.log"
    before = site.run(f"wc -l < {log}")
    assert healthy(site) == healthy(site, port=443, tls=True) == healthy(site, method="HEAD") == 200
    try:
        site.run("systemctl stop " + " ".join(site.units))
        assert healthy(site) == 503
    finally:
        site.run("systemctl start " + " ".join(site.units))
        site.await_serving()
    assert healthy(site) == 200
    try:
        site.run(f"systemctl stop {site.units[0]}")
        assert healthy(site) == 200, "another process takes handshakes"
    finally:
        site.run(f"systemctl start {site.units[0]}")
        site.await_serving()
    with without_redis(site):
        assert healthy(site) == 503, "the project's page says that its channel layer is away"
    assert healthy(site) == 200
    assert site.run(f"wc -l < {log}") == before, "a balancer's questions fill the log"
    through = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
    assert healthy(site, source=STRANGER, port=443, tls=True) == 404
    assert healthy(site, headers=through) == 404, "everybody may ask through the balancer"
    assert healthy(site, socket=True) == 400
