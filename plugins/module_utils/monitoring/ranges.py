"""Questions to Prometheus about a span of time, on the host where it runs; each answer is on one grid of moments."""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from http.client import HTTPException
from typing import Any

#: Seconds that Prometheus may take for each answer.
TIMEOUT = 20.0


class NotAnswered(Exception):
    """Prometheus did not answer at all; the text says how."""


class Refused(Exception):
    """Prometheus did not answer one question; the text is its own."""


def look(
    address: str, queries: Mapping[str, str], step: int, count: int, now: float | None = None, timeout: float = TIMEOUT
) -> dict[str, Any]:
    """Ask all questions about `count` steps of some seconds that end now; may raise NotAnswered.

    Returns `start` and `end` as seconds since 1970, `step`, `count`, the `answers` by the questions' names, and
    `problems`. An answer is a list of series with `labels` and `values`: the first value is that of the moment at which
    the first step begins, and each other one that at which a step ends. None stands where there is no finite number.
    """
    end = time.time() if now is None else now
    start = end - step * count
    answers: dict[str, list[dict[str, Any]]] = {}
    problems = []
    for name, query in queries.items():
        asked = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": str(step)}
        try:
            answers[name] = [
                {"labels": dict(each["metric"]), "values": on_grid(each["values"], start, step, count + 1)}
                for each in ask(address, asked, timeout)
            ]
        except Refused as error:
            answers[name] = []
            problems.append(f"{name}: {error}")
    return {"start": start, "end": end, "step": step, "count": count, "answers": answers, "problems": problems}


def ask(address: str, asked: Mapping[str, str], timeout: float) -> list[dict[str, Any]]:
    """Ask one question; return the series. May raise NotAnswered or Refused."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = urllib.parse.urlencode(asked).encode()
    try:
        with opener.open(f"http://{address}/api/v1/query_range", data=data, timeout=timeout) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(said(error)) from None
    except urllib.error.URLError as error:
        raise NotAnswered(str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise NotAnswered(str(error) or type(error).__name__) from None
    try:
        found: list[dict[str, Any]] = json.loads(body)["data"]["result"]
    except (ValueError, KeyError, TypeError):
        raise NotAnswered("what answers there is not Prometheus") from None
    return found


def said(error: urllib.error.HTTPError) -> str:
    """What Prometheus says about a question that it does not answer."""
    try:
        return str(json.loads(error.read())["error"])[:200]
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"


def on_grid(pairs: Iterable[Sequence[Any]], start: float, step: int, count: int) -> list[float | None]:
    """Put moments and texts of numbers on the grid."""
    values: list[float | None] = [None] * count
    for moment, text in pairs:
        place, value = round((float(moment) - start) / step), float(text)
        if 0 <= place < count and math.isfinite(value):
            values[place] = float(f"{value:.12g}")
    return values
