"""Several Redises that cannot be a group, or whose project does not look for the primary, stop the run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.sentinel import (
    redis_count,
    redis_is_looked_for,
    sentinel_hosts,
    sentinel_secrets,
    sentinel_versions,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.probe import may_be_left_out
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView, Role

NAMES = ("redis-1", "redis-2", "redis-3")


def host_of(count: int = 3, **given: Any) -> HostView:
    """The first of some Redises."""
    names = list(NAMES[:count])
    places = {name: {"private_address": f"10.0.0.{place}"} for place, name in enumerate(names, 10)}
    defaults = {
        "redis_failover": count > 2, "private_address": "10.0.0.10", "preflight_allow_sqlite": False,
        "redis_replication_password": "x" * 32, "sentinel_password": "x" * 32, "redis_anonymous": False,
        "redis_url": "rediss://…", "redis_sentinels": "10.0.0.10:26379",
        "redis_sharded": False, "redis_urls": "rediss://…,rediss://…",
    }  # fmt: skip
    roles = {"redis": Role("redis", {}, {key: defaults[key] for key in defaults}, {}, ["app", "redis"])}
    variables = {
        "groups": {"app": ["app-1"], "redis": names}, "group_names": ["redis"], "hostvars": places,
        PROBE: {"stdout": "init=systemd\n"},
    }  # fmt: skip
    return HostView(names[0], {**variables, **given}, roles, Templar())


@pytest.mark.parametrize("count", [1, 3])
def test_one_and_three_are_fine(count: int) -> None:
    host = host_of(count)
    assert [*redis_count(host), *sentinel_hosts(host), *sentinel_secrets(host)] == []


def test_two_are_refused() -> None:
    """Unless each is the Redis of a site by itself."""
    (found,) = redis_count(host_of(2))
    assert "has 2 hosts: redis-1 and redis-2" in found.fault and "one host, or on three or more" in found.fix
    apart = {"groups": {"app": ["redis-1", "redis-2"], "redis": ["redis-1", "redis-2"]}}
    assert list(redis_count(host_of(2, **apart, preflight_allow_sqlite=True))) == []
    (found,) = redis_count(host_of(2, redis_failover=True))
    assert "2 of the 3 hosts" in found.fault


def test_older_redis_cannot_follow_a_newer_one() -> None:
    """Redis 7.0 cannot load what Redis 8.0 sends: seen with a host of Debian 13 as the primary of two of Debian 12."""
    debians = {
        name: {"private_address": f"10.0.0.{place}", PROBE: {"stdout": f"version={debian}\n"}}
        for name, place, debian in zip(NAMES, (10, 11, 12), ("12", "12", "13"), strict=True)
    }
    (found,) = sentinel_versions(host_of(3, hostvars=debians))
    assert "Debian 12 and 13" in found.fault and "redis-1 and redis-2" in found.fix
    debians["redis-3"][PROBE] = {"stdout": "version=12\n"}
    assert list(sentinel_versions(host_of(3, hostvars=debians))) == []


def test_addresses_are_asked_for() -> None:
    places = {"redis-1": {"private_address": "10.0.0.10"}, "redis-2": {}, "redis-3": {}}
    host = host_of(3, hostvars=places)
    host.roles[0].defaults["redis_failover"] = False
    (found,) = redis_count(host_of(3, hostvars=places, redis_failover=False))
    assert "three or more" in found.fix


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"private_address": "redis-1.internal"}, "Sentinel takes no names"),
        ({"private_address": "127.0.0.1"}, "leads to the host itself"),
        ({"hostvars": {key: {"private_address": "10.0.0.10"} for key in NAMES}}, "lost together"),
        ({PROBE: {"stdout": "init=init\n"}}, "not systemd"),
        ({"redis_anonymous": True}, "reached by other hosts"),
    ],
)
def test_hosts_of_a_group(given: dict[str, Any], text: str) -> None:
    (found,) = sentinel_hosts(host_of(**given))
    assert text in found.fault


def test_passwords_are_required() -> None:
    found = list(sentinel_secrets(host_of(sentinel_password="", redis_replication_password="short")))
    assert [each.variable for each in found] == ["redis_replication_password", "sentinel_password"]


def test_project_looks_for_the_primary() -> None:
    url = {"release_secrets": {"REDIS_URL": "{{ redis_url }}"}}
    (found,) = redis_is_looked_for(host_of(**url))
    assert "need not be the primary" in found.fault and "redis_sentinels" in found.fix
    both = {**url, "release_environment": {"REDIS_SENTINELS": "{{ redis_sentinels }}"}}
    assert list(redis_is_looked_for(host_of(**both))) == []
    assert list(redis_is_looked_for(host_of(1, **url))) == []


def test_shards_need_no_majority() -> None:
    """Two are fine, each with an address; one has nothing to share, and replicas are something else."""
    assert list(redis_count(host_of(2, redis_sharded=True))) == []
    (found,) = redis_count(host_of(1, redis_sharded=True))
    assert "has all of the channel layer" in found.fault
    (found,) = redis_count(host_of(3, redis_sharded=True))
    assert found.variable == "redis_failover" and "replicas of one" in found.fault
    (found,) = redis_count(host_of(2, redis_sharded=True, hostvars={"redis-1": {"private_address": "10.0.0.10"}}))
    assert "for redis-2:" in found.fix


def test_project_spreads_over_all_shards() -> None:
    one = {"redis_sharded": True, "release_secrets": {"REDIS_URL": "{{ redis_url }}"}}
    (found,) = redis_is_looked_for(host_of(2, **one))
    assert "another one on each host" in found.fault and "redis_urls" in found.fix
    assert list(redis_is_looked_for(host_of(2, **one | {"release_secrets": {"R": "{{ redis_urls }}"}}))) == []


def test_others_go_on_without_one_redis_of_a_group() -> None:
    """Which is the primary is theirs to decide. A Redis that all depend on, or a database, is waited for."""
    assert may_be_left_out(host_of(3, group_names=["app", "redis"]))
    assert not may_be_left_out(host_of(1, group_names=["app", "redis"]))
    assert not may_be_left_out(host_of(3, group_names=["app", "redis", "database"]))
    assert not may_be_left_out(host_of(3, group_names=["redis"]))
