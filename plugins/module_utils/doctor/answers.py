"""The outcome of one exchange: whether a socket opened, what refused it, and a summary in one line."""

from __future__ import annotations

from typing import Any

from ..websocket.http import phrase

REFUSED = (401, 403)
REDIRECTS = (301, 302, 303, 307, 308)
TOO_LONG = (413, 414, 431, 494)
AUTH_CLOSES = {1008, 3000, 3003}
#: A server's answers to a handshake that it took for plain HTTP.
PLAIN = (200, 400, 404, 405, 426)
#: Codes for a proxy's own answers, whatever the server behind it would have answered.
ITS_OWN = ("E304_HEADER_BUFFERS", "E311_LIMIT", "E315_NGINX_ORIGINS", "E335_NO_HOST_SERVES")
#: What a refusal by nginx_origins says, as templates/nginx/site.conf.j2 has it.
ORIGIN_MARK = "(nginx_origins)"
#: What an edge says if it has no app host left, as templates/haproxy/haproxy.cfg.j2 has it.
NOBODY_MARK = "No host can serve this now"


def opened(exchange: dict[str, Any] | None) -> bool:
    """Whether a handshake opened a socket that was not closed at once."""
    return bool(exchange and exchange["status"] == 101 and (not exchange["close"] or cut_late(exchange)))


def cut_late(exchange: dict[str, Any]) -> bool:
    """Whether a socket was closed so late that the handshake is not the reason.

    daphne checks once a second for a consumer that failed in connect(), and then closes with 1011.
    """
    close = exchange["close"]
    return bool(close and close["at"] > (2.5 if close["code"] == 1011 else 1.5))


def told(exchange: dict[str, Any] | None) -> str:
    """An exchange in one line: its target and its outcome."""
    if not exchange:
        return ""
    name = {"outside": "from outside", "proxy": f"through {exchange.get('by', 'nginx')} on the host",
            "process": "to the process", "replay": "what nginx sends, sent to the process"}  # fmt: skip
    what = f"{name[exchange['via']]} ({exchange['to']})"
    if exchange["stage"]:
        return f"{what}: {exchange['stage']}: {exchange['reason']}"
    answer = f"{what}: HTTP {exchange['status']}"
    kept = [f"{key}: {exchange['headers'][key]}" for key in ("server", "location") if key in exchange["headers"]]
    answer += f" ({', '.join(kept)})" if kept else ""
    if exchange["close"]:
        answer += f", closed with {exchange['close']['code']} after {exchange['close']['at']} s"
    return answer


def outcome(exchange: dict[str, Any]) -> str:
    """What came, in words, without what its headers say."""
    if exchange["stage"]:
        return f"{exchange['stage']}: {exchange['reason']}"
    close, idle = exchange["close"], exchange["idle"]
    answer = f"{exchange['status']} {phrase(exchange['status'])}".strip()
    if close:
        return f"{answer}, closed with {close['code']} after {close['at']} s"
    return f"{answer}, open for {idle:g} s of silence" if idle else answer


def refusal(exchange: dict[str, Any] | None) -> str:
    """How an application refused a handshake: a status or a close code; empty if it did not."""
    if not exchange:
        return ""
    if exchange["status"] in REFUSED and ORIGIN_MARK not in exchange["body"]:
        return f"HTTP {exchange['status']}"
    code = (exchange["close"] or {}).get("code", 0)
    early = exchange["close"] and not cut_late(exchange)
    return f"101, then close {code}" if early and (code in AUTH_CLOSES or 4000 <= code < 5000) else ""


def proxy_code(status: int, body: str) -> str:
    """The code for a proxy's own answer."""
    if status in TOO_LONG or (status == 400 and "Too Large" in body):
        return "E304_HEADER_BUFFERS"
    if status == 503 and NOBODY_MARK in body:
        return "E335_NO_HOST_SERVES"
    if status in (429, 503):
        return "E311_LIMIT"
    if status == 403 and ORIGIN_MARK in body:
        return "E315_NGINX_ORIGINS"
    return "E310_PROXY_REFUSES" if status in REFUSED else "E312_EDGE"
