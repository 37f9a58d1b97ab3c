"""How code reads a text from its environment: whether it means yes or no, and which text means no."""

from __future__ import annotations

import json
import re
from typing import Any

from .values import NEEDED, UNKNOWN, Environment, known

YES = {"true", "1", "yes", "on", "y", "t"}
NO = {"false", "0", "no", "off", "n", "f", ""}
#: What a word stands for if it chooses an environment.
PRODUCTION = re.compile(r"(^|[^a-z])(prod|production|live|deploy(ed|ment)?)([^a-z]|$)", re.IGNORECASE)
DEVELOPMENT = re.compile(r"dev|devel|develop|development|debug", re.IGNORECASE)
#: Names of switches for developers.
FLAG = re.compile(r"(^|_)(debug|dev|devel|development)(_?mode)?$", re.IGNORECASE)
BETWEEN = "\x1f"  # separates the texts that code compares with
READERS = ("config", "decouple", "environ", "environs", "helper", "pydantic")


def literals(how: tuple[str, ...]) -> list[str]:
    """The texts that the code compares a value with."""
    found = [step.partition(":")[2] for step in how if step.startswith(("compare:", "not:"))]
    return [text for one in found for text in one.split(BETWEEN)]


def word(value: Any) -> bool | None:
    """Whether a text is a word for yes or for no; None for any other text."""
    if not isinstance(value, str):
        return bool(value) if isinstance(value, bool | int | float | None) else None
    text = value.strip().lower()
    return True if text in YES else False if text in NO else None


def is_one_of(value: Any, texts: list[str]) -> bool | None:
    """Whether a value is one of some texts; None if that depends on capital letters, which code may change."""
    if str(value) in texts:
        return True
    return None if str(value).lower() in [text.lower() for text in texts] else False


def applied(how: tuple[str, ...], value: Any) -> bool | None:
    """Whether what the code makes of a value is true; None if only a run can tell."""
    if value is NEEDED or value is UNKNOWN:
        return None
    reads = any(step in READERS for step in how)
    result: Any = value
    for step in how:
        kind, _, rest = step.partition(":")
        match kind:
            case "compare" | "not" if rest or step.endswith(":"):
                same = is_one_of(result, rest.split(BETWEEN))
                result = None if same is None else same == (kind == "compare")
            case "not":
                truth = word(result) if reads else bool(result)
                result = None if truth is None else not truth
            case "bool" | "strtobool":
                result = word(result) if reads or kind == "strtobool" else bool(result)
            case "int" | "float":
                result = number(result, result)
            case "loads" | "literal_eval" | "json":
                result = number(result, str(result).lower())
            case _ if step in READERS:
                continue
            case _:
                return None
        if result is None:
            return None
    if isinstance(result, str):
        # Without a cast, decouple returns the text as it is.
        return word(result) if reads and "config" not in how and "decouple" not in how else bool(result)
    return bool(result) if isinstance(result, bool | int | float | None) else None


def number(value: Any, text: Any) -> Any:
    """A text as a number or a word of JSON; None if it is neither."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(text)
    except ValueError:
        return None


def on_by_default(value: Environment) -> bool | None:
    """Whether a value is true if its name is not set."""
    return applied(value.how, known(value))


def how_negates(how: tuple[str, ...]) -> bool:
    """Whether code negates what a name says."""
    return how[-1:] == ("not",) and not literals(how)


def off(value: Environment, chosen: str = "") -> str | None:
    """A text that certainly means no to the code that reads it; None if there is no such text."""
    compared = literals(value.how)
    negative = [text for text in compared if text.lower() in NO]
    words = [] if not compared or any(text.lower() in YES | NO for text in compared) else [chosen, "production"]
    positive = ["True"] if how_negates(value.how) else []
    for text in [*negative, *filter(None, words), *positive, "False", "0", "", *compared, "True", "1", "production"]:
        if applied(value.how, text) is False:
            return text
    return None
