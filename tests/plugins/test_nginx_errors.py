"""What is shown of nginx's error log: the reason, and no byte of what a client may have kept secret."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import string
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

PROGRAM = Path(__file__).resolve().parents[2] / "roles/nginx/files/nginx_errors.py"
specification = importlib.util.spec_from_file_location("nginx_errors", PROGRAM)
assert specification and specification.loader
nginx_errors = importlib.util.module_from_spec(specification)
specification.loader.exec_module(nginx_errors)

HEAD = "<187>Nov 29 11:41:49 nginx: 2026/11/29 11:41:49 [error] 524#524: *9 "
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.c2lnbmF0dXJl"
REQUEST = f'request: "GET /ws/dashboard/?token={TOKEN} HTTP/1.1"'
UPSTREAM = f'upstream: "http://unix:/run/dashboard/a1-b2-1.sock:/ws/dashboard/?token={TOKEN}"'
TAIL = f'client: 203.0.113.9, server: site.test, {REQUEST}, {UPSTREAM}, host: "site.test", referrer: "https://a/?t={TOKEN}"'
SHOWN = 'client: 203.0.113.9, request: "GET /ws/dashboard/?[hidden]", upstream: unix:/run/dashboard/a1-b2-1.sock'
OWN = f'client: 203.0.113.9, server: site.test, {REQUEST}, host: "site.test"'
OWN_SHOWN = 'client: 203.0.113.9, request: "GET /ws/dashboard/?[hidden]"'


def shown(line: str) -> str:
    """What is written of a line, without its level and connection."""
    return nginx_errors.redacted(line).text.partition("524*9 ")[2]


@pytest.mark.parametrize(
    ("said", "tail", "expected"),
    [
        # As nginx 1.22 wrote them when each was provoked.
        ("recv() failed (104: Connection reset by peer) while proxying upgraded connection", TAIL,
         f"recv() failed (104: Connection reset by peer) while proxying upgraded connection, {SHOWN}"),
        ("upstream timed out (110: Connection timed out) while reading response header from upstream", TAIL,
         f"upstream timed out (110: Connection timed out) while reading response header from upstream, {SHOWN}"),
        ("upstream timed out (110: Connection timed out) while connecting to upstream", TAIL.replace(".sock:", ".sock"),
         f"upstream timed out (110: Connection timed out) while connecting to upstream, {SHOWN}"),
        ("upstream prematurely closed connection while reading response header from upstream", TAIL,
         f"upstream prematurely closed connection while reading response header from upstream, {SHOWN}"),
        ("upstream sent no valid HTTP/1.0 header while reading response header from upstream", TAIL,
         f"upstream sent no valid HTTP/1.0 header while reading response header from upstream, {SHOWN}"),
        ("connect() to unix:/run/dashboard/a1-b2-1.sock failed (2: No such file or directory) while connecting to "
         "upstream", TAIL, "connect() to unix:/run/dashboard/a1-b2-1.sock failed (2: No such file or directory) while "
         f"connecting to upstream, {SHOWN}"),
        ("no live upstreams while connecting to upstream", TAIL,
         f"no live upstreams while connecting to upstream, {SHOWN}"),
        ("client intended to send too large body: 99999 bytes", OWN,
         f"client intended to send too large body: 99999 bytes, {OWN_SHOWN}"),
        ("access forbidden by rule", OWN, f"access forbidden by rule, {OWN_SHOWN}"),
        ('limiting connections by zone "dashboard_sockets"', OWN,
         f"limiting connections by zone dashboard_sockets, {OWN_SHOWN}"),
        ('limiting requests, excess: 20.940 by zone "dashboard_handshakes"', OWN,
         f"limiting requests, excess: 20.940 by zone dashboard_handshakes, {OWN_SHOWN}"),
        ("20480 worker_connections are not enough while connecting to upstream", TAIL,
         f"20480 worker_connections are not enough while connecting to upstream, {SHOWN}"),
        ("socket() failed (24: Too many open files) while connecting to upstream", TAIL,
         f"socket() failed (24: Too many open files) while connecting to upstream, {SHOWN}"),
        ('open() "/srv/dashboard/live/static/app.js" failed (2: No such file or directory)', OWN,
         f"open() [hidden] (2: No such file or directory), {OWN_SHOWN}"),
        (f'client sent invalid header line: "X_Y: {TOKEN}" while reading client request headers', OWN,
         "client sent invalid header line: [hidden]"),
        ("client sent invalid method while reading client request line", f'client: ::1, server: , request: "{TOKEN}',
         "client sent invalid method while reading client request line, client: ::1"),
        (f'pcre2_match() failed: -47 on "token={TOKEN}" using "^x"', OWN, "pcre2_match() failed: [hidden] on [hidden]"),
        ("SSL_do_handshake() failed (SSL: error:0A0000C6:SSL routines::packet length too long) while SSL handshaking",
         "client: 203.0.113.9, server: 0.0.0.0:443", "SSL_do_handshake() failed (SSL: error:0A0000C6:SSL "
         "routines::packet length too long) while SSL handshaking, client: 203.0.113.9"),
    ],
)  # fmt: skip
def test_reason_is_shown(said: str, tail: str, expected: str) -> None:
    assert shown(f"{HEAD}{said}, {tail}") == expected


def test_level_process_and_connection_are_shown() -> None:
    """By them, a line is found again in the access log."""
    entry = nginx_errors.redacted(f"{HEAD}access forbidden by rule, {OWN}")
    assert entry.level == "error" and entry.time == "2026/11/29 11:41:49"
    assert entry.text.startswith("[error] 524*9 access forbidden")
    line = "<186>Nov  9 11:41:49 nginx: 2026/11/09 11:41:49 [crit] 7#7: accept4() failed (24: Too many open files)"
    crit = nginx_errors.redacted(line)
    assert (crit.level, crit.text) == ("crit", "[crit] accept4() failed (24: Too many open files)")


@pytest.mark.parametrize("cut", range(0, len(TAIL) + 60, 7))
def test_line_may_be_cut_anywhere(cut: int) -> None:
    """nginx cuts its lines at 2048 bytes, be it within a token."""
    line = f"{HEAD}upstream timed out (110: Connection timed out) while reading upstream, {TAIL}"[: len(HEAD) + cut]
    assert not leaks(nginx_errors.redacted(line).text, TOKEN)


def leaks(text: str, secret: str) -> str:
    """Return a part of a secret that a text shows: four signs in a row tell one from words of ours."""
    pieces = {secret[at : at + 6] for at in range(max(1, len(secret) - 5))}
    return next((piece for piece in pieces if piece in text), "")


SECRETS = st.text(string.ascii_letters + string.digits + "-_.~%+/=!*", min_size=24, max_size=60).filter(
    lambda text: re.search(r"\d.*[A-Z]|[A-Z].*\d", text)
)
# What nginx lets through in an address: no space and no control character (since 1.21.1).
STRANGE = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
FAKES = st.sampled_from([
    "", '"', '",', '","upstream":', '"upstream:"http://', ',client:1.2.3.4', 'HTTP/1.1"', '(104:', "?", "#", "&", "=",
])  # fmt: skip
SAID = st.sampled_from([
    "upstream timed out (110: Connection timed out) while reading response header from upstream",
    "recv() failed (104: Connection reset by peer) while proxying upgraded connection",
    "connect() to unix:/run/dashboard/a.sock failed (111: Connection refused) while connecting to upstream",
    "access forbidden by rule",
    'limiting connections by zone "sockets"',
    'open() "/srv/dashboard/live/static/x" failed (2: No such file or directory)',
])  # fmt: skip


@given(SAID, SECRETS, STRANGE, FAKES, FAKES, STRANGE, st.integers(0, 2048))
@example("access forbidden by rule", "k" * 12 + "Z9" * 8, "a", '","upstream":"http://', "", "", 2048)
def test_no_secret_of_a_query_is_shown(
    said: str, secret: str, before: str, fake: str, other: str, after: str, cut: int
) -> None:
    """Whatever surrounds it in a query, in the Host header or in the referrer."""
    query = f"/ws/?{before}{fake}token={secret}{other}{after}"
    words = f'{after}", client: 9.9.9.9, server: , request: "GET /{secret} HTTP/1.1", upstream: "http://{secret}:1/"'
    line = (
        f'{HEAD}{said}, client: ::1, server: a.test, request: "GET {query} HTTP/1.1", '
        f'upstream: "http://unix:/run/a.sock:{query}", host: "{before}{secret}", referrer: "https://a/?t={secret}{words}"'
    )
    text = nginx_errors.redacted(line[: len(HEAD) + cut]).text
    assume(not leaks(SHOWN + said + OWN_SHOWN, secret))
    assert not leaks(text, secret)
    assert text.isprintable() and "\n" not in text


@given(st.text(max_size=300))
def test_anything_is_read(line: str) -> None:
    """A line that nobody knows ends no reader, and none of it is shown but words."""
    assert nginx_errors.redacted(line).text
    assert "\n" not in nginx_errors.redacted(f"{HEAD}{line}").text


@given(st.text(string.ascii_letters + string.digits, min_size=40, max_size=80))
def test_long_part_of_a_path_is_hidden(secret: str) -> None:
    line = (
        f'{HEAD}access forbidden by rule, client: ::1, server: a, request: "GET /reset/{secret}/ HTTP/1.1", host: "a"'
    )
    assert shown(line) == 'access forbidden by rule, client: ::1, request: "GET /reset/[hidden]/"'


def test_token_in_a_path_is_hidden() -> None:
    line = f'{HEAD}access forbidden by rule, client: ::1, server: a, request: "GET /ws/{TOKEN}/x HTTP/1.1", host: "a"'
    assert shown(line).endswith('request: "GET /ws/[hidden]/x"')


def test_flood_is_bounded() -> None:
    """An hour of errors as fast as they come writes no more than an hour's allowance."""
    allowance = nginx_errors.Allowance(0.0)
    written = sum(allowance.take(second / 100) for second in range(360_000))
    assert written <= nginx_errors.BURST + 3600 * nginx_errors.RATE + 1
    assert written + allowance.tell() == 360_000 and allowance.tell() == 0


def read_by_program(lines: list[str], **environment: str) -> list[str]:
    """Have the program read some datagrams as systemd starts it; return what it wrote."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with subprocess.Popen(
        [sys.executable, "-I", str(PROGRAM)],
        stdout=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: os.dup2(reader.fileno(), nginx_errors.FIRST), pass_fds=(nginx_errors.FIRST,),
    ) as program:  # fmt: skip
        for line in lines:
            writer.send(line.encode())
        assert program.stdout
        written = [program.stdout.readline().rstrip("\n") for _ in lines]
        program.terminate()
        assert program.wait(10) == 0
    reader.close()
    writer.close()
    return written


def test_program_writes_for_the_journal_and_for_a_file() -> None:
    line = f"{HEAD}access forbidden by rule, {OWN}"
    text = f"[error] 524*9 access forbidden by rule, {OWN_SHOWN}"
    assert read_by_program([line, line], JOURNAL_STREAM="8:9") == [f"<3>{text}"] * 2
    assert read_by_program([line]) == [f"2026/11/29 11:41:49 {text}"]


def test_what_was_left_out_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(nginx_errors, "BURST", 2)
    monkeypatch.setattr(nginx_errors, "RATE", 20.0)
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    class End(Exception):
        """There is nothing more to read."""

    class Way:
        """A socket that pauses before its last line."""

        left = 6

        def recv(self, size: int) -> bytes:
            """Give a line."""
            if not self.left:
                raise End
            self.left -= 1
            if not self.left:
                time.sleep(0.2)
            return HEAD.encode() + b"access forbidden by rule"

    with pytest.raises(End):
        nginx_errors.read(Way(), journal=True)
    written = capfd.readouterr().out.splitlines()
    assert written[2] == "<4>[warn] 3 more lines came too fast and were left out" and len(written) == 4
    reader.close()
    writer.close()
