"""Masks for what a report tells about whose it is: hosts, addresses, domains, users and projects.

The same name gets the same mask everywhere, so that a reader can still see what belongs together. Names that tell
nothing, such as `app` or `root`, stay. Secrets are not masked here: a report never has them (`secrets.py`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from .common_names import COMMON, FILES, PUBLIC, SAFE_TLDS

#: Before and after a name may be anything but a letter or a digit.
_BEFORE = r"(?:(?<![^\W_])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9a-f]{2}))"
_AFTER = r"(?![^\W_])"
_CODE = r"(?P<code>(?-i:\b[EWN]\d{3}_[A-Z0-9_]+\b))"
_V6 = r"(?P<v6>(?<![^\W_])(?<!:)(?:[0-9A-Fa-f]{0,4}:){2,8}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{1,4})?)"
_V4 = (
    r"(?P<v4>(?<!\d)(?<!\d\.)\d{1,3}(?:\.\d{1,3}){3}(?!\d)(?!\.\d)|(?<!\d)(?<!\d-)\d{1,3}(?:-\d{1,3}){3}(?!\d)(?!-\d))"
)
_DOTTED = rf"(?P<dotted>{_BEFORE}[^\W_][\w-]*(?:\.[^\W_][\w-]*)+)"
_ESCAPES = re.compile("\x1b\\[[0-9;]*[A-Za-z]")
#: A release or an environment, which tells nothing.
_HASH = re.compile(r"(?=.*\d)[0-9a-f]{6,40}(?:-[0-9a-f]{6,40})*(?:-\d+)?")
_LABEL = re.compile(r"[^\W_](?:[\w-]*[^\W_])?")
#: Where a text names something, and of which kind it is; `place` may be a name or an address.
_CONTEXTS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("user", r"\w\+?://([\w.-]+)(?::[^@/\s]*)?@"),
        ("place", r"\w://(?:[^@/\s]*@)?([\w.-]+)"),
        ("place", r", server: ([\w.-]+), "),
        ("place", r"\bHost: ([\w.-]+)"),
        ("place", r"\bhost(?: ?name)?[:=]? ?[\"']([\w.-]+)[\"']"),
        ("place", r"(?:connecting to|connection to server at|translate host name|host not found in upstream)"
                  r" \\?[\"']?([\w.-]+)"),
        ("place", r"(?<![\w./@-])([A-Za-z][\w-]*):\d{4,5}\b"),
        ("user", r"\b(?:for|of|by|as) (?:the )?(?:user|role) \\?[\"']([\w.-]+)"),
        ("user", r"\b(?:user|role|User)[ =:]\\?[\"']?([a-z_][\w-]*)\\?[\"']? (?:does|has|is|cannot)"),
        ("user", r"/(?:home|Users)/([\w.-]+)"),
        ("user", r"(?<![\w.+-])([\w.+-]+)@[\w-]+(?:\.[\w-]+)*\.(?!(?:service|socket|timer)\b)[a-z]{2,}\b"),
        ("project", r"\bdatabase \\?[\"']([\w.-]+)[\"']"),
        ("folder", r"/(?:srv|opt|var/www|home/[\w.-]+|run|var/lib|var/log/nginx)/([\w.-]+)"),
        ("project", r"/sites-(?:enabled|available)/([\w.-]+)"),
        ("project", r"/conf\.d/([\w.-]+)\.conf"),
        ("party", r"\b(?:CN|O|OU|L|ST|street|emailAddress) ?= ?(\"[^\"]+\"|(?:[^,/\n\\]|\\.)+)"),
    )
)  # fmt: skip
#: A name that was cut off at the end of an excerpt, which is longer than this, is masked from so many characters on.
_EXCERPT, _CUT = 55, 5


class Masks:
    """The masks of one report, or of several that belong together. First learn(), then mask()."""

    def __init__(self, common: Iterable[str] = ()) -> None:
        """`common` are more words that are no names here."""
        self._common = COMMON | {each.lower() for each in common}
        #: What a name or an address is shown as, by its lower-case form.
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._domains: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        self._inner = re.compile("(?!)")

    def learn(self, kind: str, name: str) -> None:
        """Note a name of a kind: `host`, `project`, `user`, `party` of a certificate, `folder`, or `place`.

        A place is a host or an address; a folder is the project's, unless it is a release or an environment.
        """
        name = name.strip().strip("\"'").strip(".*").rstrip(":")
        if kind == "folder":
            if _HASH.fullmatch(name):
                return
            kind = "project"
        if kind in ("host", "place"):
            self._learn_place(name.strip("[]"), sure=True)
        elif kind == "party":
            if not any(each in name.lower() for each in PUBLIC):
                self._learn_place(name, sure=False) or self._note(name.lower(), kind)
        elif not self._learn_place(name, sure=False):
            words = [name.removesuffix(f".{end}") for end in FILES if name.endswith(f".{end}")] or [name]
            self._word(min(words, key=len), kind)

    def learn_all(self, value: Any) -> None:
        """Note what the texts in a value name themselves: URLs, addresses, folders, messages of well-known programs."""
        for text in texts_of(value):
            for kind, pattern in _CONTEXTS:
                for found in pattern.finditer(text):
                    self.learn(kind, found[1])

    def mask(self, value: Any) -> Any:
        """A copy of a value in which names are masked, in strings, lists, and dicts (keys too)."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._key(key): self.mask(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.mask(each) for each in value]
        return value

    # --- what is known

    def _note(self, name: str, kind: str) -> str:
        if name not in self._known:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[name] = f"{kind}-{self._counts[kind]}"
            self._pattern = self._pattern if kind == "address" else None
        return self._known[name]

    def _word(self, name: str, kind: str) -> None:
        """Note a name without dots, unless it tells nothing."""
        name = name.lower()
        short = len(name) < 3 and not (name[:1].isalpha() and name[-1:].isdigit())
        if name in self._common or short or not re.search(r"[^\W\d_]", name):
            return
        # Units, sockets and users are often the project's name with a word behind it.
        base = re.split(r"[-_.]", name)
        kept = [each for each in base if each not in self._common and not each.isdigit()]
        if kind != "host" and not kept:
            return
        if kind != "host" and self._common & set(base) and any(len(each) > 2 for each in kept):
            for each in kept:
                self._word(each, kind)
            return
        self._note(name, kind)

    def _learn_place(self, name: str, sure: bool) -> bool:
        """Note a host's name or an address; one that is not `sure` has to look like that. Tell whether it does."""
        if _address(name):
            self._address(name)
            return True
        name = name.lower()
        labels = name.split(".")
        if len(labels) < 2:
            if sure:
                self._word(name, "host")
            return sure
        if not sure and labels[-1] not in SAFE_TLDS:
            return False
        if not all(_LABEL.fullmatch(each) for each in labels) or labels[-1].isdigit() or labels[-1] == "invalid":
            return False
        self._domain(name)
        return True

    def _domain(self, name: str) -> str:
        """The mask of a name with dots, and of its domain."""
        labels = name.split(".")
        if any(".".join(labels[-size:]) in PUBLIC for size in (2, 3)):
            return name
        size = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in ("co", "com", "org", "ac", "gov") else 2
        domain = ".".join(labels[-size:])
        mask = self._domains[domain] = self._note(domain, "domain")
        if len(labels) == size:
            return mask
        if name not in self._known:
            first = labels[0]
            short = self._known.get(first, "")
            if not short.startswith("host-"):
                self._counts["host"] = self._counts.get("host", 0) + 1
                short = f"host-{self._counts['host']}"
            self._known[name], self._pattern = f"{short}.{mask}", None
        return self._known[name]

    def _address(self, text: str) -> str:
        """The mask of an address; those that mean this machine or any stay as they are."""
        address = _address(text)
        if address is None or address.is_loopback or address.is_unspecified:
            return text
        return self._note(str(address), "address")

    # --- masking

    def _key(self, key: Any) -> Any:
        if not isinstance(key, str):
            return key
        whole = self._known.get(key.lower(), "").partition("-")[0] in ("host", "address", "domain")
        return self._text(key) if whole or re.search(r"[.:@/-]", key) else key

    def _words(self) -> str:
        """A pattern of all names that are known."""
        names = sorted((each for each in self._known if not _address(each)), key=len, reverse=True)
        ways = {name: re.sub(r"\\?[-_]", "[-_]", re.escape(name)) for name in names}
        plain = "|".join(rf"(?:[\w-]+\.)*{way}" if name in self._domains else way for name, way in ways.items())
        # As in DashboardConsumer.
        camel = "|".join(re.escape(name.capitalize()) for name in names if name.isalpha() and len(name) > 3)
        whole = rf"{_BEFORE}(?:{plain or '(?!)'}){_AFTER}"
        return rf"(?P<word>{whole}|(?:{_BEFORE}|(?-i:(?<=[a-z])))(?-i:(?:{camel or '(?!)'})(?=[A-Z])))"

    def _text(self, text: str) -> str:
        text = _ESCAPES.sub("", text)
        if self._pattern is None:
            words = self._words()
            self._inner = re.compile(f"{_V4}|{words}", re.IGNORECASE)
            self._pattern = re.compile(f"{_CODE}|{_V6}|{_V4}|{_DOTTED}|{words}", re.IGNORECASE)
        return self._cut(self._pattern.sub(self._found, text))

    def _found(self, found: re.Match[str]) -> str:
        kind, text = found.lastgroup, found[0]
        if kind == "code":
            return text
        if kind == "v6":
            for end in range(len(text), 1, -1):
                if ":" in text[:end] and _address(text[:end]):
                    return self._address(text[:end]) + text[end:]
            return self._inner.sub(self._found, text)
        if kind == "v4":
            return self._address(text) if "." in text else self._dashed(text)
        if kind == "dotted":
            return self._dotted(text, found.string[max(0, found.start() - 1) : found.start()])
        return self._word_mask(text)

    def _dashed(self, text: str) -> str:
        """An address with dashes, as in names that clouds give."""
        return self._address(text.replace("-", ".")) if _address(text.replace("-", ".")) else text

    def _word_mask(self, text: str) -> str:
        name = text.lower()
        for each in (name, name.replace("_", "-"), name.replace("-", "_")):
            if each in self._known:
                return self._known[each]
        for known, mask in self._known.items():
            if re.sub("[-_]", "-", known) == re.sub("[-_]", "-", name):
                return mask
        return self._domain(name.lstrip("_-."))

    def _dotted(self, text: str, before: str) -> str:
        """A name with dots: a host's, maybe with a file's ending behind it, or anything else."""
        if before == "\\" and text[0] in "nrt" and text[1:].lower() in self._known:
            return text[0] + self._dotted(text[1:], "")
        if before == "%" and re.match("[0-9A-Fa-f]{2}", text) and text.lower() not in self._known:
            return text[:2] + (self._dotted(text[2:], "") if "." in text[2:].lstrip(".") else text[2:])
        head = text[: len(text) - len(text.lstrip("_-"))]
        name = text[len(head) :].rstrip("_-")
        tail = text[len(head) + len(name) :]
        while (parts := name.rpartition("."))[1] and parts[2].lower() in FILES:
            name, tail = parts[0], f".{parts[2]}{tail}"
        lower = name.lower()
        labels = lower.split(".")
        known = lower in self._known or any(lower.endswith(f".{each}") for each in self._domains)
        whole = len(labels) > 1 and all(_LABEL.fullmatch(each) for each in labels)
        if known and lower in self._known:
            return head + self._known[lower] + self._inner.sub(self._found, tail)
        if whole and labels[-1] != "invalid" and (known or labels[-1] in SAFE_TLDS):
            return head + self._domain(lower) + self._inner.sub(self._found, tail)
        return self._inner.sub(self._found, text)

    def _cut(self, text: str) -> str:
        """Mask a name of which the end was cut off with the text."""
        end = text.rstrip("….")
        if len(text) < _EXCERPT and end == text:
            return text
        for name, mask in self._known.items():
            for length in range(len(name) - 1, _CUT - 1, -1):
                piece = end[-length:]
                if (
                    piece.lower() == name[:length]
                    and name[:length] not in self._common
                    and not re.search(r"[^\W_]$", end[:-length])
                ):
                    return end[:-length] + mask + text[len(end) :]
        return text


def texts_of(value: Any) -> Iterable[str]:
    """All strings in a value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from texts_of(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts_of(each)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, as IPv4 if it is one that is written as IPv6; None if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
