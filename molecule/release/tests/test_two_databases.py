"""The second host follows the database of the first: what is written survives the loss of either, without a deploy."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace as Story

import pytest
import yaml
from boots import await_handshake, await_ssh
from pair import NAMES, Copy, Pair, Playbook, ReleaseHost, deploy
from test_rotation import ASKS_DATABASE

#: Seconds that a test waits for what must come.
PATIENCE = 240
PASSWORD = "the-password-of-the-standby"
VARIABLES = {
    "private_address": "{{ lookup('ansible.builtin.file', lab_root ~ '/.lab/addresses/' ~ inventory_hostname) }}",
    "release_packages": ["psycopg[binary]>=3.2,<4"],
    "postgresql_replication_password": PASSWORD,
    "pgbouncer_mode": "none",
    "release_secrets": {
        "SECRET_KEY": "{{ lookup('ansible.builtin.password', lab_secrets ~ '/secret_key', length=50) }}",
        "JWT_SECRET": "{{ lookup('ansible.builtin.password', lab_secrets ~ '/jwt_secret', length=50) }}",
        "REDIS_URL": "redis://channels:{{ redis_password }}@{{ release_redis_address }}:6379/0",
        "DATABASE_URL": "{{ postgresql_url }}",
    },
}
WRITE = "from django.contrib.auth.models import User as U; U.objects.create(username='{}')"
#: What a second database takes of provision.yml.
TAGS = ("--tags", "base,stores,postgresql")
DATA = "/var/lib/postgresql/15/main"


def sql(host: ReleaseHost, query: str, database: str = "dashboard") -> str:
    """Return what the PostgreSQL of a host answers."""
    psql = "cd / && runuser --user postgres -- psql --no-align --tuples-only --dbname %s --command %s"
    return host.run(psql, database, query).strip()


def writes(host: ReleaseHost, name: str) -> None:
    """Write a row as the project does."""
    host.run("dashboard-manage shell -c %s", WRITE.format(name))


def has(host: ReleaseHost, *names: str) -> bool:
    """Tell whether the PostgreSQL of a host has rows, or gets them soon."""
    ending, query = time.monotonic() + PATIENCE, "SELECT username FROM auth_user"
    while not set(names) <= set(sql(host, query).split()):
        if time.monotonic() > ending:
            return False
        time.sleep(0.2)
    return True


@pytest.fixture(scope="module")
def two(lab: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Both hosts with a database, and a release that asks it at each handshake; afterwards all is as before."""
    folder, (first, second) = tmp_path_factory.mktemp("two"), lab.hosts
    hosts = {name: {**VARIABLES, "stores_authority": str(folder / "authority")} for name in NAMES}
    inventory = {"all": {"hosts": hosts, "children": {"database": {"hosts": dict.fromkeys(NAMES)}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    told = Story(first=first, second=second, options=("--inventory", str(folder / "hosts.yml")))
    lab.settle()
    project: Path = Copy(folder / "project").append("dashboard/consumers.py", ASKS_DATABASE)
    try:
        told.made = Playbook("provision", *told.options, *TAGS, "-vvv", "--diff").succeeded()
        deploy(project, *told.options, drain=1, spread=0).succeeded()
        yield told
    finally:
        Playbook("rollback", "-e", "release_drain_seconds=1", "-e", "release_drain_spread_seconds=0").succeeded()
        lab.settle()
        Playbook("provision", *TAGS).succeeded()
        second.run("apt-get --quiet --yes purge 'postgresql*'")
        left = "/etc/postgresql /var/lib/postgresql /usr/local/sbin/channels-postgresql-guard"
        second.run(f"rm --recursive --force {left} '/etc/systemd/system/postgresql@15-main.service.d'")


def test_second_host_follows(two: Story) -> None:
    """Over TLS, and the next run changes nothing."""
    for host in (two.first, two.second):
        writes(host, f"from-{host.name}")
        assert host.refusal() == 101
    for host in (two.first, two.second):
        assert has(host, f"from-{two.first.name}", f"from-{two.second.name}")
    assert [sql(host, "SELECT pg_is_in_recovery()") for host in (two.first, two.second)] == ["f", "t"]
    way = "SELECT state, ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)"
    assert sql(two.first, way) == "streaming|t"
    again = Playbook("provision", *two.options, *TAGS).succeeded()
    assert again.changed() == dict.fromkeys(NAMES, 0), again.output


def test_password_is_in_no_output_and_no_log(two: Story) -> None:
    assert "TASK PATH" in two.made.output.upper() and PASSWORD not in two.made.output
    for host in (two.first, two.second):
        logs = "journalctl --no-pager --boot; cat /var/log/postgresql/*.log; ps -u postgres -o args"
        assert host.run(f"({logs}) | grep --count --fixed-strings %s || true", PASSWORD).strip() == "0"
        found = host.run("grep --recursive --files-with-matches --fixed-strings %s /etc", PASSWORD).split()
        assert found == ["/etc/postgresql/15/main/replication.pgpass"]
        assert host.run(f"stat --format='%a %U' {found[0]}").split() == ["600", "postgres"]


def test_planned_promotion(two: Story) -> None:
    """Everything that was written is there, and the former primary follows. The next run changes nothing."""
    writes(two.first, "before")
    run = Playbook("promote_database", *two.options).succeeded()
    assert f"{two.second.name} is the primary. It had everything" in " ".join(run.output.split())
    assert [sql(host, "SELECT pg_is_in_recovery()") for host in (two.first, two.second)] == ["t", "f"]
    for host in (two.first, two.second):
        writes(host, f"after-{host.name}")
        assert host.refusal() == 101
    assert has(two.first, "before", f"after-{two.first.name}", f"after-{two.second.name}")
    again = Playbook("provision", *two.options, *TAGS).succeeded()
    assert again.changed() == dict.fromkeys(NAMES, 0), again.output
    assert sql(two.first, "SELECT count(*) FROM pg_replication_slots") == "0", "it would fill the disk"


def test_promotion_beside_a_primary_is_refused(two: Story) -> None:
    run = Playbook("promote_database", *two.options, "--limit", two.first.name)
    run.failed("Nothing was changed", "is the primary and at work")
    assert sql(two.first, "SELECT pg_is_in_recovery()") == "t"


def test_primary_is_lost_and_comes_back(two: Story) -> None:
    """One command, and the processes write again. The lost host does not serve its old data, and is rebuilt."""
    writes(two.first, "kept")
    assert has(two.first, "kept")
    subprocess.run(["docker", "kill", two.second.name], check=True, capture_output=True)
    Playbook("promote_database", *two.options, "--limit", two.first.name).succeeded()
    await_handshake(two.first.name, two.first.refusal, PATIENCE)
    writes(two.first, "without")
    assert has(two.first, "kept", "without", "before")

    subprocess.run(["docker", "start", two.second.name], check=True, capture_output=True)
    await_ssh(two.second, PATIENCE)
    met = f"for _ in $(seq {PATIENCE}); do test -e {DATA}/channels-superseded && exit; sleep 1; done; exit 1"
    two.second.run(met)
    two.second.run("systemctl start postgresql@15-main")
    assert two.second.host.run("systemctl is-active postgresql@15-main").stdout.strip() == "inactive"
    await_handshake(two.second.name, two.second.refusal, PATIENCE)
    writes(two.second, "from-the-lost")
    stopped = Playbook("provision", *two.options, *TAGS)
    stopped.failed("until the other host took over", f"postgresql_rebuild={two.second.name}")

    rebuild = ("-e", json.dumps({"postgresql_rebuild": two.second.name}))
    Playbook("provision", *two.options, *TAGS, *rebuild).succeeded()
    assert has(two.second, "kept", "without", "from-the-lost")
    assert two.second.run("ls -d /var/lib/postgresql/15/main.before-*").strip(), "its old data were thrown away"
    shown = " ".join(Playbook("status", *two.options, "--tags", "postgresql").succeeded().output.split())
    assert "the primary. The standby" in shown and "a standby, which receives from the primary" in shown


def test_one_host_again(two: Story) -> None:
    """Whoever takes the standby away keeps nothing for it."""
    Playbook("provision", *TAGS).succeeded()
    assert sql(two.first, "SELECT count(*) FROM pg_replication_slots") == "0"
    assert "replication" not in sql(two.first, "SELECT string_agg(rolname, ' ') FROM pg_roles")
    assert two.first.host.run("ls /usr/local/sbin/channels-postgresql-guard").rc
