"""Redis and PostgreSQL between hosts: over verified TLS, with nothing to read in transit or in Redis."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_host import LabHost, Run, deliver, echoes
from secure_site import Authority, Pair, names_of, opened, read_chain
from store_clients import SECRET, STRANGER, SYSTEM, Store, background, fellows

TRUST = "/etc/dashboard/stores.pem"
IN = "in, with TLS and its own rights"
PARTS = ("playbooks/provision.yml", "--tags", "stores,redis,postgresql", "--limit")


@pytest.fixture(scope="module")
def other(lab: LabHost) -> LabHost:
    """The host that uses this one's store over the network."""
    return next(each for each in fellows() if each.name != lab.name)


@pytest.fixture(scope="module")
def store(lab: LabHost) -> Store:
    """The store that this host runs for both."""
    return Store(lab)


def authority() -> Authority:
    """The inventory's authority for stores, as the runs created it on the controller."""
    return Authority(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory" / "stores-authority")


def test_nothing_is_answered_without_tls(store: Store, other: LabHost) -> None:
    """Redis doesn't even ask for a password, neither from another host nor from its own."""
    if store.kind == "redis":
        for host in (other, store.lab):
            assert host.python(STRANGER, store.address, str(store.port), "plain").strip() == "nothing", host.name
        answer = other.python(STRANGER, store.address, str(store.port), "tls")
        assert answer.startswith("-NOAUTH"), answer
    else:
        told = store.used(other, sslmode="disable")
        assert "no pg_hba.conf entry" in told and "no encryption" in told


def test_certificate_is_verified(store: Store, other: LabHost) -> None:
    """The project's own address works; with another authority in it, the connection fails, and the error says so."""
    assert store.used(other) == IN
    trust = {"redis": "ssl_ca_certs", "postgresql": "sslrootcert"}[store.kind]
    assert "certificate verify failed" in store.used(other, **{trust: SYSTEM}).lower()
    site = read_chain(store.served())[0]
    assert {store.address, store.lab.name} <= set(names_of(site))
    site.verify_directly_issued_by(read_chain(other.run(f"cat {TRUST}"))[0])


@contextlib.contextmanager
def served_instead(store: Store, pair: Pair) -> Iterator[None]:
    """Make a store present another pair for a while."""
    chain, key = f"{store.folder}/fullchain.pem", f"{store.folder}/privkey.pem"
    store.lab.run(f"cp --archive {chain} {chain}.kept && cp --archive {key} {key}.kept")
    try:
        store.put(pair)
        store.reload()
        yield
    finally:
        store.lab.run(f"mv {chain}.kept {chain} && mv {key}.kept {key}")
        store.reload()


def test_name_is_verified(store: Store, other: LabHost) -> None:
    """A certificate of the same authority, but for another host, is rejected: its owner cannot pose as the store."""
    pair = authority().issue(["10.1.2.3"])
    with served_instead(store, pair):
        told = store.used(other)
    assert "IP address mismatch" in told or "does not match host name" in told, told
    assert store.used(other) == IN


def test_nothing_is_readable_on_the_way(store: Store, other: LabHost) -> None:
    with store.tapped() as file:

        def seen(text: str) -> bool:
            return store.lab.host.run(f"grep --quiet --text --fixed-strings -e %s {file}", text).rc == 0

        assert store.used(other) == IN
        size = int(store.lab.run(f"stat --format=%s {file}"))
        assert size > 1000, "nothing came by, so there was nothing to see"
        assert not seen(SECRET) and not seen(other.secrets()["Redis password"])
        if store.kind == "postgresql":  # it also accepts its own host without TLS
            assert "without TLS" in store.used(store.lab, sslmode="disable")
            assert seen(SECRET)


def test_messages_reach_the_other_host(store: Store, other: LabHost) -> None:
    """And nobody can read them in Redis, not even a user who sees all commands."""
    if store.kind != "redis":
        pytest.skip("Redis is on the other host")
    lab = store.lab
    watch = (
        f"REDISCLI_AUTH={shlex.quote(lab.secrets()['Redis password'])} redis-cli --tls --cacert {TRUST} --user observer"
    )
    with opened(lab) as one, opened(other) as two, background(lab, f"{watch} monitor"):
        lab.run("for _ in $(seq 1200); do grep -q OK /tmp/background.log && exit; sleep 0.1; done; exit 1")
        deliver(f"{SECRET} from one", one, two)
        deliver(f"{SECRET} from two", two, one)
        seen = lab.run("cat /tmp/background.log")
        store.used(other)  # sends it without the layer, so not encrypted with its keys
        plain = lab.run("cat /tmp/background.log")
    assert len(re.findall(r'"publish" "asgi', seen, re.IGNORECASE)) >= 2, seen
    assert SECRET not in seen and SECRET in plain


def test_run_renews_a_certificate_in_its_last_third(store: Store, other: LabHost) -> None:
    """The store presents the new one without a restart and without losing a socket; the next run has nothing to do."""
    lab, before, pid = store.lab, store.served(), store.main_pid()
    names = names_of(read_chain(before)[0])
    # Valid since an hour ago, and for another quarter of an hour.
    old = authority().issue(names, days=75 / 60 / 24)
    store.put(old)
    with opened(lab) as one, opened(other) as two:
        run = Run(*PARTS, lab.name)
        assert run.changed(lab.name) > 0
        served = store.served()
        assert served not in (before, old.chain) and served == lab.run(f"cat {store.folder}/fullchain.pem")
        assert set(names_of(read_chain(served)[0])) == set(names)
        assert store.main_pid() == pid, "it was started again"
        assert echoes(one) and echoes(two)
        deliver("across", one, two)
    assert "PRIVATE KEY" not in run.output
    assert Run(*PARTS, lab.name).changed(lab.name) == 0
    assert store.used(other) == IN


def test_keys_are_their_owners(store: Store) -> None:
    """A store's key belongs to its daemon, and the authority's only to the controller."""
    owner = {"redis": "redis", "postgresql": "postgres"}[store.kind]
    shown = store.lab.run("stat --format='%%a %%U' %s", f"{store.folder}/privkey.pem").split()
    assert shown == ["600", owner]
    assert authority().key_path.stat().st_mode & 0o777 == 0o600
    for host in fellows():
        assert host.host.run("grep --recursive --files-with-matches %s /etc /srv", key_line()).stdout == ""


def key_line() -> str:
    """A line of the authority's key."""
    return authority().key_path.read_text().splitlines()[1]


def test_gate_refuses_a_release_that_does_not_trust_the_store(store: Store, other: LabHost, tmp_path: Path) -> None:
    """If the app host has another authority, the current release stays in service, and the run says what is wrong."""
    if store.kind != "redis":
        pytest.skip("Redis is on the other host")
    stranger = Authority(tmp_path / "stranger").path.read_text()
    environment = json.dumps({"release_environment": {"ALLOWED_HOSTS": "localhost,127.0.0.1,site.test", "TRIAL": "1"}})
    before = other.run("readlink /srv/dashboard/live")
    other.run(f"cp --archive {TRUST} {TRUST}.kept && printf %s %s > {TRUST}", "%s", stranger)
    try:
        run = Run("playbooks/deploy.yml", "--limit", other.name, "-e", environment)
        assert run.code and "certificate verify failed" in run.output.lower(), run.output
    finally:
        other.run(f"mv {TRUST}.kept {TRUST}")
    assert other.run("readlink /srv/dashboard/live") == before
    with opened(other) as websocket:
        assert echoes(websocket)


def succeeded(*arguments: str) -> None:
    """Run playbooks; fail the test if one of them fails."""
    run = Run(*arguments)
    assert run.code == 0, run.output


def test_site_without_tls_is_changed_over(store: Store, other: LabHost) -> None:
    """The run says what it needs before it changes anything; with that, no socket is lost, and every message comes."""
    if store.kind != "redis":
        pytest.skip("Redis is on the other host")
    parts = ("playbooks/provision.yml", "playbooks/deploy.yml", "--tags", "stores,redis,release,asgi")
    both = ("-e", "redis_plain_port=6379", "-e", "redis_port=6380")
    try:
        succeeded(*parts, "-e", "redis_tls=false")
        assert store.lab.python(STRANGER, store.address, "6379", "plain").startswith("-NOAUTH")
        with opened(store.lab) as one, opened(other) as two:
            stopped = Run(*parts)
            assert stopped.code and "reach Redis without TLS" in " ".join(stopped.output.split())
            succeeded(*parts, *both)
            with opened(store.lab) as three:
                deliver("from one", one, two)
                deliver("from two", two, one)
                assert echoes(three)
        assert store.lab.python(STRANGER, store.address, "6380", "tls").startswith("-NOAUTH")
    finally:
        succeeded(*parts, "-e", "redis_plain_port=0")
        for host in fellows():
            host.run("dashboard-generations tidy 0 0")
    assert store.used(other) == IN
    assert store.lab.python(STRANGER, store.address, "6379", "plain").strip() == "nothing"
