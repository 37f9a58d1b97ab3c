"""The token."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..answers import opened, refusal, told
from ..case import Case, Finding
from .origin import allowing, host_refused

#: Why a token is refused, and what to do, by whether a secret of the project has signed it.
SEALED = {
    True: ("a secret of the project has signed it, so the user, the audience or another claim in it is refused.",
           "Compare the token's user, aud, iss and other claims with what the project expects of them"),
    False: ("none of the project's secrets, as far as its settings and environment show them, has signed it.",
            "Create a new one on the host that serves. Compare the signing secrets of issuer and server"),
    None: ("it is signed with another secret, for another audience, or for a user who has no access.",
           "Create a new one on the host that serves. Compare the signing secrets of issuer and server"),
}  # fmt: skip
CLOCK_SKEW = 30  # seconds that clocks may differ


def token(case: Case) -> Iterator[Finding]:
    """The token, and what is accepted without one."""
    skew = case.evidence.get("skew") or 0.0
    came = case.direct or case.outside
    status = refusal(came)
    failed = case.project.get("not_minted", {}).get("good")
    wanted = case.evidence.get("token") or {}
    if failed and not wanted.get("present"):
        yield case.find("E411_TOKEN_COMMAND", failed, error=failed)
    elif (case.evidence.get("problem") or case.is_edge) and not wanted.get("present"):
        return  # the token would have come from a host that could not be asked, or is not among those of this run
    elif status and came and not host_refused(case):
        other = next((each for each in case.exchanges if each["kind"] == "other_origin" and opened(each)), None)
        host = urlsplit(came["origin"]).hostname or ""
        if case.project.get("origin_allowed") is False and came["origin"]:
            seen = [told(came), "the project's validator, asked in its environment, does not allow it"]
            yield case.find("E405_ORIGIN", seen, origin=came["origin"], settings=allowing(case, host))
        elif other and other["origin"]:
            yield case.find("E405_ORIGIN", [told(came), f"with Origin {other['origin']}: 101"],
                            origin=came["origin"] or "a missing Origin",
                            settings=allowing(case, host))  # fmt: skip
        else:
            yield _refused_token(case, told(came), status, wanted, skew)
    if abs(skew) > CLOCK_SKEW and not status:
        yield case.find("W409_CLOCK", skew=round(skew))
    if status:
        return
    for kind in ("none", "bad", "expired"):
        tried = case.one("process", kind) or case.one("outside", kind)
        if opened(came) and opened(tried) and not refusal(tried):
            yield case.find("W412_TOKEN_UNCHECKED", told(tried),
                            kind={"none": "no", "bad": "a bad", "expired": "an expired"}[kind])  # fmt: skip
            break


def _refused_token(case: Case, seen: str, status: str, wanted: dict[str, Any], skew: float) -> Finding:
    claims, now = wanted.get("claims") or {}, case.evidence.get("now") or time.time()
    starts, ends = max(claims.get("nbf", 0), claims.get("iat", 0)), claims.get("exp")
    if not wanted.get("present"):
        return case.find("E401_NO_TOKEN", seen, status=status)
    # The host's own clock is what judges a token: now + skew.
    if abs(skew) > CLOCK_SKEW and ((ends or now + 1) > now and (starts > now + skew or (ends or 1e12) < now + skew)):
        return case.find("E409_CLOCK", seen, clocks=f"The host's clock is {round(skew)} s off, so new tokens are not "
                         "yet valid, or valid ones have already expired.")  # fmt: skip
    if ends and ends < now:
        return case.find("E403_TOKEN_EXPIRED", seen, ago=_ago(now - ends))
    if starts > now + CLOCK_SKEW:
        return case.find("E409_CLOCK", seen, clocks=f"The token begins to be valid {round(starts - now)} s from now, "
                         "and this host's clock is right: the clock of whoever has issued it is ahead.")  # fmt: skip
    because, compare = SEALED[case.project.get("sealed")]
    return case.find("E413_OTHER_SECRET" if wanted.get("minted") else "E402_TOKEN_BAD", seen, status=status,
                     because=because, compare=compare)  # fmt: skip


def _ago(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name} ago"
    return f"{seconds:.0f} seconds ago"
