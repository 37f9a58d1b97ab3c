"""The consumer and its route, as the project's router and the consumer's own source show them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..answers import PLAIN, opened, refusal, told
from ..case import Case, Finding
from ..signatures import signature

#: Words in a middleware's source that show that it reads a token.
TOKENS = {"token", "jwt", "query_string", "subprotocol", "authorization"}


def consumer(case: Case) -> Iterator[Finding]:
    """What the path's consumer does with a handshake that does not open; or that the path has none."""
    if case.direct is None or opened(case.direct):
        return
    if off_the_routes(case):
        routes = ", ".join(case.project["unrouted"][:6]) or "none"
        yield case.find("E454_OTHER_PATH", [told(case.direct), f"the project's routes: {routes}"], routes=routes)
    about = connect_of(case)
    if about:
        place = f"{about['file']}:{about['line']}"
        name = case.project["consumer"]["name"]
        if why := never_accepts(case):
            yield case.find("E451_NEVER_ACCEPTS", [told(case.direct), f"{name}.connect() is at {place}"], consumer=name,
                            why=why[0], place=f"{about['file']}:{why[2]}", mend=why[1])  # fmt: skip
        status = refusal(case.direct)
        if middleware_closes(case):
            names, what = (
                ", ".join(case.project["foreign"]),
                ", ".join(case.project["foreign_reads"]) or "nothing known",
            )
            yield case.find("E455_MIDDLEWARE_CLOSES", [told(case.direct), " → ".join(case.project["chain"]), place],
                            consumer=name, status=status, names=names, what=what)  # fmt: skip
        if token_unread(case):
            yield case.find("E452_TOKEN_UNREAD", [told(case.direct), " → ".join(case.project["chain"]), place],
                            consumer=name, status=status)  # fmt: skip
        if closes_itself(case):
            lines = ", ".join(f"{about['file']}:{line}" for line in about["closes"])
            yield case.find("E453_CONSUMER_CLOSES", [told(case.direct), lines], consumer=name, status=status,
                            lines=lines)  # fmt: skip


def connect_of(case: Case) -> dict[str, Any]:
    """What is known of the connect() of the path's consumer; empty if it cannot be told."""
    return (case.project.get("consumer") or {}).get("connect") or {}


def never_accepts(case: Case) -> tuple[str, str, int] | None:
    """Why a consumer cannot accept, what to write, and the line; None if it may."""
    about, sync = connect_of(case), (case.project.get("consumer") or {}).get("sync")
    if not about or not case.direct or case.direct["stage"] != "handshake":
        return None
    if sync and about["async"]:
        return ("is async, but its base class is synchronous and never awaits it",
                "AsyncWebsocketConsumer (AsyncJsonWebsocketConsumer) as the base class", about["line"])  # fmt: skip
    if about["unawaited"]:
        return "calls self.accept() without await", "await self.accept()", about["unawaited"]
    if not about["accepts"] and not about["closes"]:
        return "calls neither accept() nor close()", f"{'' if sync else 'await '}self.accept() in it", about["line"]
    return None


def _is_judged_by_its_source(case: Case) -> bool:
    """Whether nothing but Channels' own middleware and a consumer whose source is known decide about a handshake."""
    known = case.project.get("foreign") == [] and bool(connect_of(case))
    return known and case.project.get("origin_allowed") is not False


def reads(case: Case, *what: str) -> bool:
    """Whether the project may read tokens (`tokens`) or users (`users`); true if it cannot be told."""
    if "tokens" in what and case.project.get("foreign") and "foreign_reads" in case.project and connect_of(case):
        return bool(TOKENS & {*case.project["foreign_reads"]}) or any(connect_of(case)[each] for each in what)
    return not _is_judged_by_its_source(case) or any(connect_of(case)[each] for each in what)


def middleware_closes(case: Case) -> bool:
    """Whether middleware of the project's own refuses: it reads no token, and the consumer refuses nobody."""
    known = case.project.get("foreign") and "foreign_reads" in case.project and connect_of(case)
    if not known or not refusal(case.direct) or case.project.get("origin_allowed") is False:
        return False
    return not connect_of(case)["closes"] and not reads(case, "tokens")


def token_unread(case: Case) -> bool:
    """Whether the consumer asks for a user, and only the session's cookie can name one, though a token was sent."""
    sent = (case.evidence.get("token") or {}).get("present")
    by_session = "AuthMiddleware" in (case.project.get("chain") or [])
    unread = by_session and not reads(case, "tokens") and reads(case, "users")
    return bool(refusal(case.direct) and sent and unread)


def closes_itself(case: Case) -> bool:
    """Whether the consumer closes, and reads neither a token nor a user."""
    return bool(refusal(case.direct)) and not reads(case, "tokens", "users") and bool(connect_of(case)["closes"])


def off_the_routes(case: Case) -> bool:
    """Whether the project's router has no route for the path, and the server that was asked is not that router."""
    if not case.project.get("unrouted") or case.project.get("consumer") or not case.direct:
        return False
    said = any(signature(line) == "E404_NO_ROUTE" for line in (*case.log, *case.direct["body"].splitlines()))
    same_path = not case.route or case.route.get("uri", case.path).partition("?")[0] == case.path
    return same_path and case.direct["status"] in PLAIN and not said
