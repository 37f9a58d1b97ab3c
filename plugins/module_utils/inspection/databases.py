"""The databases in a project's settings: their kinds, what they take from the environment, SQLite files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..code.files import Sources
from ..code.scope import Scope
from ..code.values import Call, Environment, Joined, Place, known, names_of
from .findings import Database, Inspection


def find_database(found: Inspection, sources: Sources, scope: Scope) -> None:
    """The default database and all others, and what they take from the environment."""
    value = scope.values.get("DATABASES")
    place = scope.places.get("DATABASES")
    default = value.get("default") if isinstance(value, dict) else value
    found.database = database_of(default, place, sources)
    for alias, one in value.items() if isinstance(value, dict) else ():
        if alias not in ("default", "*"):
            found.further[str(alias)] = database_of(one, place, sources)
    for other, _ in scope.others.get("DATABASES", []):
        one = other.get("default") if isinstance(other, dict) else None
        kind = database_of(one, None, sources).kind if one is not None else "none"
        if kind not in ("none", found.database.kind) and kind not in found.database.others:
            found.database.others.append(kind)


def database_of(value: Any, place: Place | None, sources: Sources) -> Database:
    """The database that an entry in DATABASES describes."""
    database = Database(place=place)
    if isinstance(value, dict) and names_of(value.get("*")):
        value = names_of(value["*"])[0]  # a URL replaces all the rest
    if isinstance(value, Environment):
        database.names["url"] = value.name
        default = known(value)
        database.kind = kind_of(default if isinstance(default, str) else "", "other")
        if database.kind == "sqlite" and isinstance(default, str):
            database.file = inside(sources, default.partition("://")[2].removeprefix("/"))
        return database
    if isinstance(value, Call):
        names = names_of(value)
        database.kind = "other"
        if names:
            database.names["url"] = names[0].name
        return database
    if not isinstance(value, dict):
        return database
    engine = known(value.get("ENGINE", ""))
    if isinstance(value.get("ENGINE"), Joined):
        engine = "".join(str(known(part)) for part in value["ENGINE"].parts)
    database.kind = kind_of(engine if isinstance(engine, str) else "", "other" if value else "none")
    database.engine = engine if isinstance(engine, str) else ""
    for key, role in (
        ("ENGINE", "engine"),
        ("NAME", "name"),
        ("USER", "user"),
        ("PASSWORD", "password"),
        ("HOST", "host"),
        ("PORT", "port"),
    ):
        part = value.get(key)
        if names := names_of(part):
            database.names[role] = names[0].name
        elif isinstance(part, str | int) and key != "ENGINE":
            database.literals[role] = str(part)
    if database.kind == "sqlite":
        sqlite_file(database, value.get("NAME"), sources)
    return database


def sqlite_file(database: Database, name: Any, sources: Sources) -> None:
    """Where SQLite's file is, and which environment variable can move the file or its folder."""
    path = known(name)
    if isinstance(path, str | Path):
        database.file = inside(sources, path)
    if isinstance(name, Environment):
        return
    held = database.names.pop("name", "")
    if not isinstance(name, Joined) or not held or not name.path:
        return
    first, last = name.parts[0], name.parts[-1]
    rest = [part for part in name.parts[1:] if part != "/"]
    if isinstance(last, Environment):  # an absolute path here overrides what comes before it
        database.names["name"] = last.name
        default = known(last)
        database.file = database.file or (default if isinstance(default, str) else "")
    elif isinstance(first, Environment) and len(rest) == 1 and isinstance(rest[0], str) and "/" not in rest[0]:
        database.names["folder"] = first.name
        database.file = database.file or rest[0]


def kind_of(text: str, otherwise: str) -> str:
    """The kind of a database by its engine or URL."""
    for kind, words in (
        ("sqlite", "sqlite|spatialite"),
        ("postgresql", "postgres|postgis|pgsql|psql"),
        ("mysql", "mysql|mariadb"),
        ("none", r"backends\.dummy"),
    ):
        if re.search(words, text):
            return kind
    return otherwise


def inside(sources: Sources, path: str | Path) -> str:
    """A path relative to the backend, where processes run; unchanged if it lies outside."""
    if str(path) in ("", ":memory:"):
        return str(path)
    whole = Path(os.path.normpath(sources.backend / path))
    return whole.relative_to(sources.backend).as_posix() if whole.is_relative_to(sources.backend) else str(whole)
