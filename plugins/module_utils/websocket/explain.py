"""What failures of a WebSocket mean, for a tired operator."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import Closed, HandshakeFailed, HandshakeRefused
from .http import phrase
from .symptoms import SYMPTOMS, Symptom

#: What to do if a handshake was accepted with none of the subprotocols that it offered.
NO_SUBPROTOCOL = (
    "Have the consumer name one of those that it was offered: self.accept(subprotocol=…), from scope['subprotocols']. "
    "Or correct handshake_subprotocols."
)

_STAGES = {
    "name": "The host name could not be resolved",
    "tcp": "No TCP connection",
    "socket": "No connection to the unix socket",
    "tls": "No TLS connection",
    "handshake": "Connected, but the handshake broke",
    "timeout": "No answer in time",
}

_SPECIAL_CLOSE = {
    1005: "The connection was closed without a code (1005)",
    1006: "The connection was cut without a close frame (1006)",
}


def explain(
    problem: HandshakeRefused | HandshakeFailed | Closed | int, extra: Iterable[Symptom] = ()
) -> dict[str, str]:
    """What a problem means, for a tired operator: a dict of three texts, `what`, `likely` and `fix`.

    `problem` is one of the two errors, a Closed, or a bare number: an HTTP status below 1000, else a close code.
    `extra` are rows that come before the table SYMPTOMS. The texts may hold parts of the server's answer: redact()
    them. Never raises.
    """
    kind, code, stage, text, what = _describe(problem)
    for symptom in (*extra, *SYMPTOMS):
        if symptom.matches(kind, code, stage, text):
            return {"what": what, "likely": symptom.likely, "fix": symptom.fix}
    return {"what": what, "likely": "", "fix": ""}


def _describe(problem: HandshakeRefused | HandshakeFailed | Closed | int) -> tuple[str, int | None, str, str, str]:
    if isinstance(problem, int):
        if problem < 1000:
            problem = HandshakeRefused(problem, phrase(problem), {}, "")
        else:
            problem = Closed(problem, "", "server", 0.0)
    if isinstance(problem, HandshakeFailed):
        what = f"{_STAGES.get(problem.stage, 'No connection')}: {problem.reason}."
        return "failed", None, problem.stage, problem.reason, what
    if isinstance(problem, HandshakeRefused):
        location = problem.headers.get("location", "")
        what = f"The server answered the handshake with {problem.status} {problem.reason}".rstrip()
        what += f", pointing to {location}." if location else "."
        text = "\n".join([problem.reason, *(f"{k}: {v}" for k, v in problem.headers.items()), problem.body])
        return "refused", problem.status, "", text, what
    what = _SPECIAL_CLOSE.get(problem.code, f"The connection was closed with code {problem.code}")
    what += f", {problem.at:.1f} s after the handshake" if problem.at else ""
    what += f": {problem.reason}." if problem.reason else "."
    return "closed", problem.code, "", problem.reason, what
