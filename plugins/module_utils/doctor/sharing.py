"""A report that can be shown to anybody: hosts, addresses, domains, users and project masked. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..text import report_files
from ..text.masks import Masks
from .catalogue import CATALOGUE, HOPS

#: Variables of an inventory that hold names, in the order in which they get masks.
_HOSTS = ("ansible_host", "private_address", "keepalived_address")
_NAMES = (("user", "ansible_user"), ("project", "release_app"))
#: What the values under a key in a report name.
_KEYS = {
    "user": "user", "names": "host", "allowed_hosts": "host", "holders": "host", "edge": "host", "app": "project",
    "unit": "unit", "program": "unit", "application": "module", "other": "module", "folder": "folder", "home": "folder",
    "to": "place", "peer": "place", "address": "place", "upstream": "place", "databases_at": "place",
}  # fmt: skip
#: Dicts whose keys, and lists whose entries' `name`s, are hosts.
_HOLDERS = ("servers", "hosts")


def names_of(variables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What an inventory names, from the variables of a task: all hosts in its order first.

    So a host has the same mask in the reports of all hosts.
    """
    every, inside = (variables.get("groups") or {}).get("all", []), variables.get("hostvars") or {}
    yield from (("host", str(host)) for host in every)
    for host in every:
        mine = inside.get(host) or {}
        yield from (("place", str(mine[name]).split("/")[0]) for name in _HOSTS if mine.get(name))
        yield from ((kind, str(mine[name])) for kind, name in _NAMES if mine.get(name))


def masks_of(report: Mapping[str, Any], inventory: Iterable[tuple[str, str]]) -> Masks:
    """The masks for a report, of which other hosts may have a part."""
    titles = " ".join([*HOPS.values(), *(entry.title for entry in CATALOGUE.values())])
    masks = Masks(re.findall(r"[a-z]+", titles.lower()))
    for kind, name in [*inventory, ("host", report["name"]), ("place", urlsplit(report["url"]).hostname or "")]:
        if name:
            masks.learn(kind, name)
    for key, value in _named(report):
        for kind, name in _read(_KEYS.get(key, "place"), value):
            masks.learn(kind, name)
    masks.learn_all(dict(report))
    return masks


def shown_path(path: str, masks: Masks) -> Path:
    """Where a shared report goes: beside the usual one, under the host's mask."""
    whole = Path(path)
    return whole.with_name(f"{masks.mask(whole.stem)}{whole.suffix}")


def write(path: Path, report: Mapping[str, Any], page: str, lines: Iterable[str]) -> None:
    """Write a report as data, as a page, and as the text for a terminal."""
    report_files.write(path, report, ".html", page)
    report_files.write(path, report, ".txt", "\n".join(lines) + "\n")


def _named(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The texts in a report whose key says that they are names, each with that key."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if key == "hosts" or (key == "servers" and name == "name"):
                yield "holders", str(name if key == "hosts" else each)
            yield from _named(each, str(name))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _named(each, key)
    elif isinstance(value, str) and value and (key in _KEYS or key in _HOLDERS):
        yield key, value


def _read(kind: str, value: str) -> Iterator[tuple[str, str]]:
    """The names in a value: of a unit the project, of a folder its parts, of a place the host."""
    if kind == "unit":
        yield "project", value.partition("@")[0].rpartition(":")[2].removesuffix(".service").removesuffix(".socket")
    elif kind == "module":
        yield "project", value.partition(":")[0].partition(".")[0]
    elif kind == "folder":
        yield from (("folder", part) for part in value.split("/") if part and not part.startswith("."))
    elif kind == "place":
        place = re.sub(r"^\w+:(//)?(?=[\w\[])", "", value) if not value.startswith("unix:") else "/"
        if not re.search(r"^/|\s", place):
            yield "place", re.sub(r"(?<=[\w\]])(:\d+)?(/\S*)?$", "", place)
    else:
        yield kind, value
