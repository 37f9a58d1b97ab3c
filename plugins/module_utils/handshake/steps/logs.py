"""8: the access log shows the attempt, and no log holds the token."""

from __future__ import annotations

import os
import time

from ...host import raw
from ...text.secrets import redact
from ..host import Host
from ..results import Proof, tried


def check_logs(host: Host, proof: Proof, offsets: dict[str, int], begun: float) -> None:
    """8: the access log shows the attempt, and no log holds the token."""
    access, title = host.params["access_log"], "The log shows the attempt, but not the token"
    if not access:
        proof.skipped("logs", title, "no access log is named")
        return
    if host.token_errors.get("good"):
        proof.skipped("logs", title, "there was no token to try a handshake with")
        return
    deadline = time.monotonic() + 3
    while host.mark not in (lines := read_new(access, offsets)) and time.monotonic() < deadline:
        time.sleep(0.1)
    journal = raw.output("journalctl", "--no-pager", "--output=cat", f"--since=@{int(begun)}")
    texts = {"journal": journal, access: lines}
    texts |= {path: read_new(path, offsets) for path in (*host.params["logs"], *host.manager_logs)}
    secrets = [token for token in host.tokens.values() if token]
    # nginx logs a query as it came, with a token's special characters escaped.
    leaking = [name for name, text in texts.items() if redact(text, secrets) != text]
    shown = host.mark in lines
    tries = [tried(f"{name} for the token", "it is there" if name in leaking else "not there") for name in texts]
    tries.insert(0, tried(f"{access} for the handshake through nginx", "it is there" if shown else "not there"))
    if leaking:
        proof.failed("logs", title, f"the token stands in {', '.join(leaking)}", tries,
                     code="E414_TOKEN_LOGGED", values={"logs": ", ".join(leaking)})  # fmt: skip
    elif not shown:
        proof.failed("logs", title, f"{access} does not show the handshake through nginx", tries,
                     guess="E415_NOT_LOGGED", hop="proxy", values={"logs": access})  # fmt: skip
    else:
        proof.passed("logs", title, f"{access} shows it; {len(texts)} logs hold no token", tries)


def read_new(path: str, offsets: dict[str, int]) -> str:
    """Return what was written to a log since its offset was noted."""
    try:
        with open(path, "rb") as log:
            log.seek(min(offsets.get(path, 0), os.path.getsize(path)))
            return log.read().decode(errors="replace")
    except OSError:
        return ""
