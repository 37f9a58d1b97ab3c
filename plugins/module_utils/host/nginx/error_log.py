"""What nginx's error log says about some requests, as data: the kind of fault, its number, and the address it is about.

Queries are cut off before anything leaves: they may hold a token.
"""

from __future__ import annotations

import re
from typing import Any

#: What a line says, by its kind. The first that fits counts.
KINDS: tuple[tuple[str, str], ...] = (
    ("connections", r"worker_connections are not enough"),
    ("files", r"(accept4?\(\)|socket\(\)|open\(\)).* failed \(24:"),
    ("proxy_protocol", r"while reading PROXY protocol|broken header: "),
    ("denied", r"access forbidden by rule"),
    ("login", r"no user/password was provided|user \S+ was not found|password mismatch"),
    ("subrequest", r"auth request unexpected status"),
    ("limit", r"limiting (requests|connections)"),
    ("certificate", r"upstream SSL certificate (verify error|does not match)"),
    ("tls_to_plain", r"SSL_do_handshake\(\) failed.*(wrong version number|unknown protocol|packet length too long)"),
    ("tls", r"SSL_do_handshake\(\) failed.*handshaking to upstream|peer closed connection in SSL handshake.*upstream"),
    ("name", r"could not be resolved|no resolver defined to resolve|host not found in upstream"),
    ("connect", r"connect\(\) (to (?P<peer>\S+) )?failed \((?P<errno>\d+):"),
    ("no_servers", r"no live upstreams"),
    ("not_http", r"upstream sent (no valid|invalid|unsupported|unexpected)"),
    ("closed", r"upstream prematurely closed connection|recv\(\) failed \(104:"),
    ("late", r"upstream timed out"),
    ("cycle", r"rewrite or internal redirection cycle"),
    (
        "file",
        r"(open\(\) \"[^\"]*\" failed|directory index of .* forbidden|\"[^\"]*\" is not found) ?(\((?P<number>\d+):)?",
    ),
)
_REST = re.compile(r", (request|upstream|referrer|host): \"")


def entries(lines: list[str], host: str) -> list[dict[str, Any]]:
    """The lines about requests to a host, each with its kind; lines that name no host may be about any."""
    found: list[dict[str, Any]] = []
    for line in lines:
        other = re.search(r'host: "([^"]*)"', line)
        if other and other[1].lower() != host.lower():
            continue
        for kind, pattern in KINDS:
            if match := re.search(pattern, line):
                groups = match.groupdict()
                number = groups.get("errno") or groups.get("number") or ""
                upstream = re.search(r'upstream: "([^"?]*)', line)
                found.append({"kind": kind, "errno": int(number) if number else 0,
                              "peer": groups.get("peer") or (upstream[1] if upstream else ""),
                              "line": shown(line)})  # fmt: skip
                break
    return list({(each["kind"], each["errno"], each["peer"]): each for each in found}.values())[-12:]


def shown(line: str) -> str:
    """A line without its time, and without what was asked for."""
    text = re.sub(r"^\d{4}/\d\d/\d\d [\d:]+ ", "", line.strip())
    text = re.sub(r"^\[\w+\] \d+#\d+: (\*\d+ )?", "", _REST.split(text)[0])
    text = text.partition(", client: ")[0]
    return re.sub(r"\?[^\s\"]*", "?…", text)[:300]
