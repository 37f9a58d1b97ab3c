"""All targets of a plan at the same time, and all their problems in one text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...host import proc
from ...text.secrets import redact
from .attempts import attempt, attempt_plain
from .plan import Plan, make_plan, through
from .retries import Try, check

MAX_THREADS = 32


def run(options: Mapping[str, Any], secrets: Iterable[str]) -> tuple[list[dict[str, Any]], str]:
    """All checks; returns the entries and, for wrong options, what is wrong with them. Raises nothing.

    Ansible would show an exception with its text, which may contain a secret.
    """
    secrets = list(secrets)
    try:
        plan = make_plan(options, secrets)
        listeners = [one for one in options["listeners"] if proc.has_ipv6() or not one["address"].startswith("[")]
        targets: list[tuple[Plan, str | None, Try]] = [(plan, target, attempt) for target in options["unix_sockets"]]
        targets += [(through(plan, listener), None, attempt) for listener in listeners]
        targets += [] if targets else [(plan, None, attempt)]
        targets += [(plan, target, attempt_plain) for target in options["http_sockets"]]
        with ThreadPoolExecutor(max_workers=min(len(targets), MAX_THREADS)) as pool:
            return list(pool.map(lambda target: check(*target), targets)), ""
    except ValueError as error:
        return [], str(redact(str(error), secrets))
    except Exception as error:
        return [], str(redact(f"unexpected {type(error).__name__}: {error}", secrets))


def failure_text(options: Mapping[str, Any], handshakes: list[dict[str, Any]]) -> str:
    """All the problems of all the targets, for a person."""
    wrong = [entry for entry in handshakes if not entry["ok"]]
    lines = [f"{len(wrong)} of {len(handshakes)} WebSocket checks of {options['url']} failed:"]
    for entry in wrong:
        problem = entry["problem"]
        tried = f" (tried {entry['attempts']} times)" if entry["attempts"] > 1 else ""
        lines += [f"{entry['target']}{tried}: {problem['what']}"]
        lines += [f"  Likely: {problem['likely']}", f"  Fix: {problem['fix']}"]
    return "\n".join(lines)
