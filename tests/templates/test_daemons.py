"""All that Redis and PostgreSQL are told, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Render = Callable[..., str]


def settings(text: str, separator: str) -> dict[str, str]:
    """Return what a file sets, by name; what it sets twice is an error."""
    lines = [line.partition(separator) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len({name for name, _, _ in lines}) == len(lines)
    return {name.strip(): value.strip() for name, _, value in lines}


def test_redis_settings(render: Render) -> None:
    given = {"redis_bind": ["127.0.0.1", "-10.0.0.4"], "redis_port": 6380, "redis_maxclients": 500}
    assert settings(render("redis/redis.conf.j2", redis_maxmemory="64mb", **given), " ") == {
        "bind": "127.0.0.1 -10.0.0.4",
        "port": "6380",
        "protected-mode": "yes",
        "tcp-keepalive": "60",
        "timeout": "0",  # a consumer waits on an idle connection
        "maxclients": "500",
        "maxmemory": "64mb",
        "maxmemory-policy": "noeviction",  # no message is dropped without a word
        "client-output-buffer-limit": "pubsub 64mb 16mb 60",
        "aclfile": "/etc/redis/users.acl",
        "save": '""',
        "appendonly": "no",
        "dir": "/var/lib/redis",
        "supervised": "auto",
        "daemonize": "yes",
        "pidfile": "/run/redis/redis-server.pid",
        "loglevel": "notice",
        "logfile": "/var/log/redis/redis-server.log",
    }


def test_redis_sandbox(render: Render) -> None:
    """Beside what Debian's unit has."""
    text = render("redis/sandbox.conf.j2", redis_sandbox={"InaccessiblePaths": ["-/opt"], "PrivateIPC": False})
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == [
        "[Service]", "InaccessiblePaths=-/srv -/etc/nginx -/etc/letsencrypt", "InaccessiblePaths=-/opt",
        "PrivateIPC=no", "PrivateMounts=yes", "DevicePolicy=closed", "KeyringMode=private", "LimitCORE=0",
    ]  # fmt: skip


def test_redis_settings_with_tls(render: Render) -> None:
    """One port, with TLS; another one without where releases need it; nobody has to bring a certificate."""
    plain = settings(render("redis/redis.conf.j2"), " ")
    with_tls = settings(render("redis/redis.conf.j2", redis_tls=True), " ")
    assert {name: value for name, value in with_tls.items() if plain.get(name) != value} == {
        "tls-port": "6379",
        "port": "0",
        "tls-cert-file": "/etc/redis/certificate/fullchain.pem",
        "tls-key-file": "/etc/redis/certificate/privkey.pem",
        "tls-ca-cert-file": "/etc/redis/certificate/authority.pem",
        "tls-auth-clients": "no",
        "tls-protocols": '"TLSv1.2 TLSv1.3"',
    }
    both = settings(render("redis/redis.conf.j2", redis_tls=True, redis_port=6380, redis_plain_port=6379), " ")
    assert (both["tls-port"], both["port"]) == ("6380", "6379")


GROUP = {
    "groups": {"app": ["host"], "redis": ["host", "second", "third"]},
    "hostvars": {
        name: {"private_address": f"10.0.0.{place}"} for place, name in enumerate(("host", "second", "third"), 1)
    },
    "private_address": "10.0.0.1",
    "redis_replication_password": "replicas-only",
    "sentinel_password": "sentinels-only",
}


def test_redis_settings_of_a_group(render: Render) -> None:
    """The same on each host: who is the primary is not in them. TLS is for replicas, too."""
    alone = settings(render("redis/redis.conf.j2", redis_tls=True), " ")
    group = settings(render("redis/redis.conf.j2", **GROUP), " ")
    assert {name: value for name, value in group.items() if alone.get(name) != value} == {
        "bind": "127.0.0.1 10.0.0.1",
        "include": "/run/redis/primary*.conf",
        "masteruser": "replica",
        "masterauth": "replicas-only",
        "replica-announce-ip": "10.0.0.1",
        "tls-replication": "yes",
        "min-replicas-to-write": "1",
        "min-replicas-max-lag": "4",  # less than Sentinel takes to notice
        "repl-diskless-sync-delay": "0",
        "rdb-del-sync-files": "yes",
    }


@pytest.mark.parametrize("hosts", [1, 2, 3])
def test_three_hosts_are_a_group(render: Render, hosts: int) -> None:
    """Fewer are what they were, and so are hosts that have no address for each other."""
    names = GROUP["groups"]["redis"][:hosts]
    given = {**GROUP, "groups": {"app": ["host"], "redis": names}}
    assert ("min-replicas-to-write" in render("redis/redis.conf.j2", **given)) == (hosts == 3)
    given["hostvars"] = {name: {} for name in names}
    assert render("redis/redis.conf.j2", **given, redis_tls=False, redis_bind=["127.0.0.1"]) == render(
        "redis/redis.conf.j2", redis_tls=False, redis_bind=["127.0.0.1"]
    )


def test_sentinel_settings(render: Render) -> None:
    lines = [line for line in render("sentinel/sentinel-base.conf.j2", **GROUP).splitlines() if "sentinel " in line]
    assert [line for line in lines if not line.startswith("#")] == [
        "sentinel announce-ip 10.0.0.1",
        "sentinel announce-port 26379",
        "sentinel auth-user channels sentinel",
        "sentinel auth-pass channels sentinels-only",
        "sentinel sentinel-user sentinel",
        "sentinel sentinel-pass sentinels-only",
        "sentinel down-after-milliseconds channels 5000",
        "sentinel failover-timeout channels 10000",
        "sentinel parallel-syncs channels 3",
        "sentinel client-reconfig-script channels /usr/local/sbin/redis-primary",
    ]


def test_other_values_of_a_group(render: Render) -> None:
    """They reach both daemons."""
    given = {**GROUP, "redis_master_name": "shop", "sentinel_port": 26390, "sentinel_down_after_seconds": 9}
    assert settings(render("redis/redis.conf.j2", **given), " ")["min-replicas-max-lag"] == "8"
    text = render("sentinel/sentinel-base.conf.j2", **given)
    assert "\ntls-port 26390\nport 0\n" in text and "\nport 26390\n" in render(
        "sentinel/sentinel-base.conf.j2", **given, redis_tls=False
    )
    assert "sentinel down-after-milliseconds shop 9000" in text and " channels " not in text
    assert "PrivateIPC=no" in render("sentinel/sandbox.conf.j2", sentinel_sandbox={"PrivateIPC": False})


def test_sentinel_knows_the_users_of_redis(render: Render) -> None:
    """With all passwords that Redis takes from them; not its own daemons', and nobody who has none."""
    users = [
        ("channels", f"on #{'a' * 64} #{'b' * 64} ~asgi* -@all +get"),
        ("acl-operator", f"on #{'c' * 64} +acl"),
        ("replica", f"on #{'d' * 64} +psync"),
    ]
    lines = render("sentinel/sentinel.acl.j2", **GROUP, _sentinel_redis_users=users).splitlines()[1:]
    assert [line.split(" resetchannels ")[0].split()[1:3] for line in lines] == [["sentinel", "on"], ["channels", "on"]]
    assert f"#{'a' * 64} #{'b' * 64} resetchannels &+switch-master -@all +ping" in lines[1] and "+get" not in lines[1]


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({}, "# project=dash-board user=channels prefix=asgi database=0 anonymous=no"),
        (
            {"redis_anonymous": True, "redis_password": "", "redis_prefix": "chat", "redis_database": 3},
            "# project=dash-board user=- prefix=chat database=3 anonymous=yes",
        ),
    ],
)
def test_redis_users_say_whose_they_are(render: Render, given: dict[str, object], first: str) -> None:
    """The preflight of another project reads it before anything is changed."""
    text = render("redis/project.acl.j2", **given)
    assert text.splitlines()[1] == first
    assert ("user channels " in text, "user default " in text) == ("redis_password" not in given, bool(given))


def test_postgresql_settings(render: Render) -> None:
    memory = {"preflight_host": {"memory_mb": "8000", "id": "debian", "version": "12"}, "group_names": ["database"]}
    start = settings(render("postgresql/start.conf.j2", postgresql_port=5433, **memory), " = ")
    assert start == {
        "listen_addresses": "'127.0.0.1'",
        "port": "5433",
        "max_connections": "100",
        "shared_buffers": "1920MB",  # three tenths of what is PostgreSQL's; the system's cache holds the rest
    }
    assert settings(render("postgresql/reload.conf.j2", **memory), " = ") == {
        "password_encryption": "'scram-sha-256'",
        "effective_cache_size": "6400MB",
        "work_mem": "16MB",  # a quarter of it, if all connections sorted at once
        "maintenance_work_mem": "400MB",
    }
    with_tls = settings(render("postgresql/reload.conf.j2", postgresql_tls=True, **memory), " = ")
    assert {name: value for name, value in with_tls.items() if "ssl" in name} == {
        "ssl": "on",
        "ssl_cert_file": "'/etc/postgresql/15/main/certificate/fullchain.pem'",
        "ssl_key_file": "'/etc/postgresql/15/main/certificate/privkey.pem'",
        "ssl_min_protocol_version": "'TLSv1.2'",
    }


@pytest.mark.parametrize(
    ("memory", "connections", "work", "maintenance", "shared"),
    [(256, 100, 4, 16, 22), (40, 100, 4, 16, 16), (64000, 50, 64, 1024, 5760), (4000, 50, 6, 75, 360)],
)
def test_postgresql_settings_have_a_least_and_a_most(
    render: Render, memory: int, connections: int, work: int, maintenance: int, shared: int
) -> None:
    machine = {"preflight_host": {"memory_mb": str(memory)}, "postgresql_max_connections": connections}
    again = settings(render("postgresql/reload.conf.j2", **machine), " = ")
    assert (again["work_mem"], again["maintenance_work_mem"]) == (f"{work}MB", f"{maintenance}MB")
    assert settings(render("postgresql/start.conf.j2", **machine), " = ")["shared_buffers"] == f"{shared}MB"
