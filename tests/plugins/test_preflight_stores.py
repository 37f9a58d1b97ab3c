"""A Redis that nobody brings and a database for each host are told before anything changes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.stores import (
    database_is_one,
    redis_is_there,
    redis_memory,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView, Role

HERE = {"REDIS_URL": "redis://channels:hunter2-hunter2@127.0.0.1:6379/0"}
ASKED = "listeners=asked\nmemory_mb=2000\n"
LISTENS = 'ss:1=LISTEN 0 1 127.0.0.1:6379 0.0.0.0:* users:(("valkey",pid=5,fd=4))\n'


def host_of(answer: str = ASKED, roles: str = "", installs: bool = True, **variables: Any) -> HostView:
    """A host of group app that has these roles too."""
    applied = {name: Role(name, {}, {}, {}, ["app"]) for name in ("release", *roles.split())}
    given = {"group_names": ["app"], "redis_bind": ["127.0.0.1"], "redis_port": 6379, PROBE: {"stdout": answer}}
    return HostView("app1", {**given, **variables}, applied, Templar(), installs)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1/0",
        "redis://localhost:6379",
        "rediss://:x@[::1]:6379/1",
        "redis://127.0.0.2",
        "redis://cache/0",
    ],
)
def test_redis_of_nobody_is_told(url: str) -> None:
    """By the name in the environment; its value may hold a password. A name from a compose file is no other place."""
    for variable in ("release_environment", "release_secrets"):
        given = {variable: {"BROKER": url}, "base_host_aliases": {"cache": "127.0.0.1"}}
        (found,) = redis_is_there(host_of(**given))
        assert found.variable == variable and "BROKER leads to a Redis on the host itself" in found.fault
        assert "Put app1 into group redis" in found.fix
    (found,) = redis_is_there(host_of(release_secrets=HERE, groups={"redis": ["redis1"]}))
    assert (
        "BROKER" not in found.fix
        and 'REDIS_URL: "{{ redis_url }}"' in found.fix
        and "hunter2" not in found.fault + found.fix
    )


def test_redis_that_is_there_or_comes_is_none_of_these() -> None:
    """One of group redis, one that listens already, one elsewhere, and where nobody was asked."""
    assert list(redis_is_there(host_of(roles="redis", release_secrets=HERE))) == []
    assert list(redis_is_there(host_of(ASKED + LISTENS, release_secrets=HERE))) == []
    assert list(redis_is_there(host_of("", release_secrets=HERE))) == []
    assert list(redis_is_there(host_of(installs=False, release_secrets=HERE))) == []
    for url in ("redis://10.0.0.5/0", "http://127.0.0.1", "redis://127.0.0.1:x/", "unix:///run/redis.sock", 6379):
        assert list(redis_is_there(host_of(release_environment={"A": url}))) == [], url


@pytest.mark.parametrize("given", [{"redis_port": 6380}, {"redis_bind": ["10.0.0.5"]}])
def test_redis_that_listens_elsewhere_is_told(given: dict[str, Any]) -> None:
    """The address and what it listens on have to agree."""
    (found,) = redis_is_there(host_of(roles="redis", release_secrets=HERE, **given))
    assert "redis_bind, redis_port" in found.fix


TWO = {"groups": {"app": ["app1", "app2"]}}


@pytest.mark.parametrize(
    ("given", "variable", "name"),
    [
        ({"release_environment": {"SQLITE_PATH": "/srv/x/db.sqlite3"}}, "release_environment", "SQLITE_PATH"),
        ({"release_secrets": {"DATABASE_URL": "sqlite:////srv/x/db"}}, "release_secrets", "DATABASE_URL"),
        ({"release_environment": {"DB_NAME": "db.sqlite"}}, "release_environment", "DB_NAME"),
        ({"release_environment": {"DB": "spatialite:///x.db"}}, "release_environment", "DB"),
        ({"release_shared_paths": ["media/", "db.sqlite3"]}, "release_shared_paths", "db.sqlite3"),
    ],
)
def test_hosts_have_one_database(given: dict[str, Any], variable: str, name: str) -> None:
    """Of an SQLite each, one would be migrated, and none would see what the others' users wrote."""
    (found,) = database_is_one(host_of(**given, **TWO))
    assert found.variable == variable and found.fault.startswith(f"{name} names an SQLite, and there are 2 app hosts")
    assert "postgresql_url" in found.fix and "preflight_allow_sqlite: true" in found.fix
    assert list(database_is_one(host_of(**given, groups={"app": ["app1"]}))) == []
    assert list(database_is_one(host_of(**given, **TWO, preflight_allow_sqlite=True))) == []


def test_other_databases_are_let_through() -> None:
    """Servers, and files that are only read."""
    fine = ["postgresql://u:p@10.0.0.5/x", "sqlite:////srv/x/db?mode=ro", "sqlite://:memory:", "mydb", "", False, 5]
    fine += ["https://host/db.sqlite3", "django.db.backends.sqlite3 is not here"]
    environment = {f"A{number}": value for number, value in enumerate(fine)}
    assert list(database_is_one(host_of(release_environment=environment, **TWO))) == []


@pytest.mark.parametrize(
    ("limit", "fault"),
    [
        ("1", "less than Redis takes"), ("900kb", "less than Redis takes"), ("3mb", "less than"), ("50%", "is no size"),
        ("1.5gb", "is no size"), ("3gb", "more than the 2000 MB"), ("", "is no size"),
        ("4mb", ""), ("256mb", ""), ("0", ""), ("1gb", ""), (100000000, ""), ("64M", ""),
    ],
)  # fmt: skip
def test_redis_has_room(limit: Any, fault: str) -> None:
    """For itself and for messages; 0 is Redis's word for no limit."""
    found = [one.fault for one in redis_memory(host_of(redis_maxmemory=limit))]
    assert len(found) == bool(fault) and all(fault in one for one in found)
