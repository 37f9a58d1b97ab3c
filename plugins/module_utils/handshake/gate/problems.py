"""What is wrong with an answer or a conversation: its plan says what is right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...websocket.errors import Closed, HandshakeFailed, HandshakeRefused
from ...websocket.explain import NO_SUBPROTOCOL, explain
from .plan import Plan

#: `what` is wrong, its `likely` cause, and the `fix`.
Problem = dict[str, str]


def as_problem(error: HandshakeRefused | HandshakeFailed | Closed) -> Problem:
    """Return what an error means, as a problem."""
    problem: Problem = explain(error)
    return problem


def judge_refusal(plan: Plan, error: HandshakeRefused) -> Problem | None:
    """Return what is wrong with a refusal, or None if that refusal was expected."""
    outcome, right = plan.options["outcome"], plan.options["status"]
    if outcome == "any" or (outcome == "refused" and (not right or error.status in right)):
        return None
    problem = as_problem(error)
    if outcome == "refused":
        problem["what"] += f" It was to be refused, but with {one_of(right)}."
    return problem


def judge_conversation(
    plan: Plan, result: dict[str, Any], closed: Closed | None, missing: list[str], texts: list[str]
) -> Problem | None:
    """Return what is wrong with a conversation, or None if it went as expected."""
    outcome, codes = plan.options["outcome"], plan.options["close_codes"]
    if outcome == "any":
        return None
    if outcome == "refused":
        return None if closed and closed.code in codes else not_refused(closed, codes)
    if plan.subprotocols and not result["subprotocol"] and not closed:
        return no_subprotocol()
    if missing:
        return not_received(plan, closed, missing, texts)
    if codes:
        return None if closed and closed.code in codes else not_closed(plan, closed, codes)
    return as_problem(closed) if closed else None


def no_subprotocol() -> Problem:
    """Return the problem of an answer that takes none of the subprotocols."""
    return {
        "what": "The handshake was accepted, but with none of the subprotocols that were offered.",
        "likely": "The consumer accepts without naming one. Browsers end such a socket at once.",
        "fix": NO_SUBPROTOCOL,
    }


def not_refused(closed: Closed | None, codes: list[int]) -> Problem:
    """Return the problem of a handshake that should have been refused and was not."""
    if closed:
        return {
            "what": f"The handshake was accepted and then closed with code {closed.code}; it was to be refused.",
            "likely": "This may be how the application refuses: it accepts first and then closes.",
            "fix": f"If so, add {closed.code} to close_codes; otherwise look in the consumer for this code.",
        }
    closing = f", nor was the socket closed with {one_of(codes)}" if codes else ""
    return {
        "what": f"The handshake was accepted, where a refusal was expected{closing}.",
        "likely": "The application does not check the token or the Origin on this path, or what was sent is valid.",
        "fix": "Check the token in connect(), before accept(); wrap the routes in AllowedHostsOriginValidator.",
    }


def not_received(plan: Plan, closed: Closed | None, missing: list[str], texts: list[str]) -> Problem:
    """Return the problem of texts that did not come."""
    came = f"{len(texts)} other texts came" if texts else "no text came"
    what = f"The socket opened, but {came}, and none matched {one_of([repr(m) for m in missing])}"
    if closed:
        problem = as_problem(closed)
        return {**problem, "what": f"{what}. {problem['what']}"}
    return {
        "what": f"{what} within {plan.timeout:g} s.",
        "likely": "The consumer does not answer what was sent, or it answers otherwise; or the channel layer does not "
        "deliver (Redis down, or two processes with different ones).",
        "fix": "Compare send and expect with the consumer; read its log; check the channel layer.",
    }


def not_closed(plan: Plan, closed: Closed | None, codes: list[int]) -> Problem:
    """Return the problem of a close that did not come, or came with another code."""
    if closed:
        problem = as_problem(closed)
        return {**problem, "what": f"{problem['what']} It was to be closed with {one_of(codes)}."}
    return {
        "what": f"The socket stayed open for {plan.timeout:g} s, where a close with {one_of(codes)} was expected.",
        "likely": "The application accepts what it was expected to turn away.",
        "fix": "Look in the consumer for where it closes with this code.",
    }


def one_of(values: Iterable[Any], otherwise: str = "") -> str:
    """A list in words."""
    return " or ".join(str(value) for value in values) or otherwise
