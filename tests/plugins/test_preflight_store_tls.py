"""A project that would be cut off from its Redis or PostgreSQL, by TLS or for the want of it, stops the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.certificates.pairs import Authority
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.store_tls import (
    postgresql_speaks,
    redis_is_changed_over,
    redis_ports,
    redis_speaks,
    stores_are_provided,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView, Role

HOSTS = {
    "app1": {"private_address": "10.0.0.1"},
    "store1": {"private_address": "10.0.0.10", "ansible_host": "store1.example.org"},
}
ROLES = {name: Role(name, {}, {}, {}, ["app", "redis", "database"]) for name in ("release", "redis", "stores")}


def host_of(name: str = "app1", answer: str = "", installs: bool = True, **variables: Any) -> HostView:
    """A host of a site whose stores are on another one."""
    groups = {"app": ["app1"], "redis": ["store1"], "database": ["store1"]}
    given = {
        "groups": groups,
        "group_names": [group for group in groups if name in groups[group]],
        "hostvars": HOSTS,
        "release_app": "shop",
        "redis_tls": True,
        "redis_port": 6379,
        "postgresql_tls": True,
        "base_host_aliases": {"cache": "10.0.0.10"},
        PROBE: {"stdout": answer},
    }
    return HostView(name, {**given, **variables}, ROLES, Templar(), installs)


@pytest.mark.parametrize("place", ["10.0.0.10", "10.0.0.10:6379", "store1.example.org", "cache", "store1"])
def test_address_without_tls_is_told(place: str) -> None:
    """Of the Redis that takes nothing else, by any name that the inventory knows it by; its password is not shown."""
    given = {"release_secrets": {"BROKER": f"redis://channels:hunter2-hunter2@{place}/0"}}
    (found,) = redis_speaks(host_of(**given))
    assert found.variable == "release_secrets" and "BROKER begins with redis://" in found.fault
    assert "{{ redis_url }}" in found.fix and "redis_tls: false" in found.fix and "hunter2" not in str(found)
    assert list(redis_speaks(host_of(**given, redis_tls=False))) == []
    assert list(redis_speaks(host_of(**given, redis_port=6380, redis_plain_port=6379))) == []


@pytest.mark.parametrize("given", [{"redis_tls": False}, {"redis_port": 6380, "redis_plain_port": 6379}])
def test_address_with_tls_needs_it(given: dict[str, Any]) -> None:
    url = {"release_environment": {"REDIS_URL": "rediss://u:p@10.0.0.10/0"}}
    (found,) = redis_speaks(host_of(**url, **given))
    assert found.variable == "release_environment" and "speaks no TLS at port 6379" in found.fault
    assert list(redis_speaks(host_of(**url))) == []


def test_other_addresses_are_let_through() -> None:
    """Of a Redis elsewhere, of one on the host itself that is not the inventory's, and what is no address."""
    for value in ("redis://10.0.0.99/0", "redis://127.0.0.1/0", "redis://[::1]:x/", "http://10.0.0.10", 6379):
        assert list(redis_speaks(host_of(release_environment={"A": value}))) == [], value
    own = {"groups": {"app": ["app1"], "redis": []}}
    assert list(redis_speaks(host_of(release_environment={"A": "redis://10.0.0.10/0"}, **own))) == []


def test_redis_of_the_host_itself_speaks_tls_too() -> None:
    here = {"groups": {"app": ["app1", "app2"], "redis": ["app1"]}}
    (found,) = redis_speaks(host_of(release_secrets={"REDIS_URL": "redis://u:p@localhost:6379/0"}, **here))
    assert "begins with redis://" in found.fault


KEPT = "redis_plain:shop/generations/a-1=10.0.0.10:6379 \nredis_plain:shop/generations/b-1=store1.example.org \n"


def test_releases_that_speak_no_tls_stop_the_change() -> None:
    """Until they have a port of their own, or are given up on purpose."""
    (found,) = redis_is_changed_over(host_of(answer=KEPT))
    assert found.variable == "redis_tls" and "a-1 and b-1 reach Redis without TLS" in found.fault
    assert "redis_plain_port: 6379\n  redis_port: 6380" in found.fix
    for given in ({"redis_plain_port": 6379}, {"redis_plain_port": 0}, {"redis_tls": False}, {"installs": False}):
        assert list(redis_is_changed_over(host_of(answer=KEPT, **given))) == [], given
    for answer in (KEPT.replace("shop/", "other/"), "redis_plain:shop/generations/a-1=10.0.0.99:6379 \n", ""):
        assert list(redis_is_changed_over(host_of(answer=answer))) == [], answer
    (found,) = redis_is_changed_over(host_of(answer=KEPT.replace(":6379", ":7000"), redis_port=6380))
    assert "redis_plain_port: 6379" in found.fix or "redis_plain_port: 7000" in found.fix
    assert "redis_port:" not in found.fix


def test_port_without_tls_is_another_one() -> None:
    (found,) = redis_ports(host_of("store1", redis_plain_port=6379))
    assert found.variable == "redis_plain_port" and "6380" in found.fix
    for given in ({"redis_plain_port": 0}, {"redis_plain_port": 6380}, {"redis_plain_port": 6379, "redis_tls": False}):
        assert list(redis_ports(host_of("store1", **given))) == []


def test_project_that_refuses_tls_to_postgresql_is_told() -> None:
    """libpq takes TLS where it is offered, so an address without a word of it works."""
    refuses = "postgresql://u:p@10.0.0.10:5432/x?sslmode=disable"
    (found,) = postgresql_speaks(host_of(release_secrets={"DATABASE_URL": refuses}))
    assert "sslmode=disable" in found.fault and "{{ postgresql_url }}" in found.fix
    for value in (refuses.replace("disable", "require"), refuses.partition("?")[0], refuses.replace("0.10", "0.99")):
        assert list(postgresql_speaks(host_of(release_secrets={"DATABASE_URL": value}))) == [], value
    assert list(postgresql_speaks(host_of(release_secrets={"D": refuses}, postgresql_tls=False))) == []
    assert list(postgresql_speaks(host_of("store1", release_secrets={"D": refuses}))) == []


def test_certificate_of_ones_own_is_judged(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "company"), Authority(tmp_path / "other")
    pair, root = authority.issue(["10.0.0.10"]), authority.path.read_text()
    good = {
        "stores_names": ["10.0.0.10", "127.0.0.1", "localhost", "store1"],
        "stores_certificate_chain": pair.chain,
        "stores_certificate_key": pair.key,
        "stores_trusted_authorities": root,
    }
    assert list(stores_are_provided(host_of("store1", **good))) == []
    assert list(stores_are_provided(host_of("app1", **{**good, "stores_certificate_key": ""}))) == []
    assert list(stores_are_provided(host_of("store1"))) == []
    for change, variable, fault in (
        ({"stores_certificate_key": ""}, "stores_certificate_key", "is empty"),
        ({"stores_certificate_chain": ""}, "stores_certificate_chain", "is empty"),
        ({"stores_trusted_authorities": ""}, "stores_trusted_authorities", "is empty"),
        ({"stores_trusted_authorities": "nonsense"}, "stores_trusted_authorities", "holds no certificate"),
        ({"stores_trusted_authorities": stranger.path.read_text()}, "stores_certificate_chain", "is not complete"),
        ({"stores_certificate_key": stranger.issue(["x"]).key}, "stores_certificate_key", "is not the key"),
        ({"stores_names": ["10.0.0.11"]}, "stores_certificate_chain", "not for 10.0.0.11"),
    ):
        (found,) = stores_are_provided(host_of("store1", **{**good, **change}))
        assert (found.variable, fault in found.fault) == (variable, True), found
