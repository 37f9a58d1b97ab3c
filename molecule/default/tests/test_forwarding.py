"""What nginx passes on to the project: what the client sent, but none of its claims."""

from __future__ import annotations

import http.client
import ipaddress
import json
import zlib
from collections.abc import Iterator

import pytest
from lab_host import LabHost

MIRROR = "/run/dashboard/mirror.sock"
# Answers every request with the request itself. Other requests trigger the parts of a stream, one each.
MIRROR_SERVER = """
import json, os, queue, socketserver, sys
asked = queue.Queue()
class Mirror(socketserver.StreamRequestHandler):
    def stream(self, kind):
        head = f"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\nContent-Type: {kind}\\r\\n\\r\\n"
        self.wfile.write(head.encode())
        while size := asked.get(timeout=60):
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (size, b"x" * size))
        self.wfile.write(b"0\\r\\n\\r\\n")
    def handle(self):
        request = [self.rfile.readline().decode("latin1").strip()]
        while line := self.rfile.readline().decode("latin1").strip():
            request.append(line)
        words = request[0].split()[1].split("/")
        if words[1] == "stream":
            return self.stream("/".join(words[2:]))
        if words[1] == "next":
            asked.put(int(words[2]))
        body = json.dumps({"line": request[0], "headers": [line.split(": ", 1) for line in request[1:]]}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nX-Mirror: yes\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
os.umask(0o117)
socketserver.ThreadingUnixStreamServer(sys.argv[1], Mirror).serve_forever()
"""
SPOOFED = {
    "X_Forwarded_For": "203.0.113.9",
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Host": "spoofed.invalid",
    "X_Forwarded_Port": "444",
    "X_Real_IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9;proto=https",
}


@pytest.fixture(scope="module")
def mirror(lab: LabHost) -> Iterator[LabHost]:
    """A host whose nginx passes requests to a server that shows them."""
    try:
        lab.run(
            "systemd-run --quiet --collect --unit=mirror --uid=dashboard python3 -c %s %s && "
            "for i in $(seq 2000); do test -S %s && exit 0; sleep 0.05; done; exit 1",
            MIRROR_SERVER, MIRROR, MIRROR,
        )  # fmt: skip
        with lab.upstream(MIRROR):
            yield lab
    finally:
        lab.run("systemctl stop mirror; rm -f %s", MIRROR)


def passed_on(lab: LabHost, path: str, **headers: str) -> tuple[str, dict[str, list[str]]]:
    """Return the request line and the headers (names in lower case) that the project receives."""
    status, answered, body = lab.get(path, **headers)
    assert status == 200 and answered.get("x-mirror") == "yes", f"{status} is not the mirror's answer: {body[:200]}"
    seen = json.loads(body)
    found: dict[str, list[str]] = {}
    for name, value in seen["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return seen["line"], found


@pytest.mark.parametrize("path", ["/", "/ws/dashboard/"])
def test_client_cannot_claim_an_address(mirror: LabHost, path: str) -> None:
    """Headers with which a client claims another address, scheme or host are replaced, so only nginx's own arrive."""
    _, headers = passed_on(mirror, path, **SPOOFED)
    assert "203.0.113.9" not in str(headers), f"the client's claim was passed on: {headers}"
    address = headers["x-forwarded-for"][0]
    assert ipaddress.ip_address(address)
    assert headers["x-forwarded-for"] == headers["x-real-ip"] == [address]
    assert headers["x-forwarded-proto"] == ["http"], "a client that says https over http would be believed"
    assert headers["x-forwarded-host"] == headers["host"] == ["localhost"]
    assert headers["x-forwarded-port"] == ["80"]
    assert "forwarded" not in headers, f"a Forwarded header of the client's arrived: {headers['forwarded']}"


@pytest.mark.parametrize("path", ["/", "/ws/dashboard/"])
def test_request_line_arrives_as_it_was_sent(mirror: LabHost, path: str) -> None:
    """Path and query are passed on byte for byte, so a token in them stays valid."""
    sent = f"{path}?token=a.b-c_d%2B%2F%3D&x=%20y&token=2"
    line, _ = passed_on(mirror, sent)
    assert line == f"GET {sent} HTTP/1.1"


def test_upgrade_is_passed_on(mirror: LabHost) -> None:
    """A handshake reaches the process as a handshake, with the headers that make it one."""
    _, headers = passed_on(
        mirror, "/ws/dashboard/", Upgrade="websocket", Connection="keep-alive, Upgrade", Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", Sec_WebSocket_Protocol="chat", Origin="http://localhost",
    )  # fmt: skip
    assert headers["upgrade"] == ["websocket"]
    assert headers["connection"] == ["upgrade"]
    assert headers["sec-websocket-version"] == ["13"]
    assert headers["sec-websocket-key"] == ["dGhlIHNhbXBsZSBub25jZQ=="]
    assert headers["sec-websocket-protocol"] == ["chat"]
    assert headers["origin"] == ["http://localhost"]


def test_plain_request_is_no_upgrade(mirror: LabHost) -> None:
    """A request that is not a handshake isn't turned into one."""
    _, headers = passed_on(mirror, "/ws/dashboard/")
    assert "upgrade" not in headers and headers["connection"] == ["close"]


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_stream_arrives_as_it_is_written(mirror: LabHost, kind: str) -> None:
    """The head arrives before the first part, and each part whole before the next is written, compressed or not."""
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=60)
    try:
        connection.request("GET", f"/stream/{kind}", headers={"Host": "localhost", "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        decode = zlib.decompressobj(31).decompress if answer.getheader("Content-Encoding") else bytes
        assert (decode is bytes) == (kind == "text/event-stream")
        for size in (10, 6000):
            passed_on(mirror, f"/next/{size}")
            read = 0
            while read < size:
                part = answer.read1()
                assert part, f"the stream ended after {read} bytes of {size}"
                read += len(decode(part))
        passed_on(mirror, "/next/0")
        assert decode(answer.read()) == b""
    finally:
        connection.close()
