"""All secrets are replaced at once while clients are connected, by a killed run and by the next: nobody notices.

The project queries its database at each handshake, over a new connection to PgBouncer. Its secrets are in a vault
beside the scenario's inventory. While playbooks run, the tests look at everybody's command lines;
afterwards at all files.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace as Story
from urllib.parse import urlsplit

import pytest
from clients import NAMES, Clients
from lab_host import ROOT, LabHost
from pair import Copy, Pair, Playbook, deploy
from vault_inventory import Vault

SECRETS = ("vault_secret_key", "vault_jwt_secret", "vault_redis_password", "vault_postgresql_password")
GATE = "Wait until each process answers HTTP and completes a handshake"
ASKS_DATABASE = """
from channels.db import database_sync_to_async
from django.contrib.auth.models import User

_connect = DashboardConsumer.connect


async def connect(self):
    await database_sync_to_async(User.objects.count)()
    await _connect(self)


DashboardConsumer.connect = connect
"""
VARIABLES = {
    "release_packages": ["psycopg[binary]>=3.2,<4"],
    "redis_password": "{{ vault_redis_password }}",
    "postgresql_password": "{{ vault_postgresql_password }}",
    "release_secrets": {
        "SECRET_KEY": "{{ vault_secret_key }}",
        "SECRET_KEY_FALLBACKS": "{{ vault_secret_key_previous | default('') }}",
        "JWT_SECRET": "{{ vault_jwt_secret }}",
        "JWT_SECRET_PREVIOUS": "{{ vault_jwt_secret_previous | default('') }}",
        "REDIS_URL": "redis://channels:{{ redis_password }}@{{ release_redis_address }}:6379/0",
        # Not postgresql_url, which differs on the database's own host: this way all hosts give a generation the same
        # name.
        "DATABASE_URL": "postgresql://{{ postgresql_login }}:{{ postgresql_password }}@{{ release_redis_address }}"
        ":6432/{{ postgresql_database }}",
    },
}
# Runs on the host; of all files that others may read and all logs, prints the ones that contain one of some texts.
SEARCH = """
import base64, json, os, stat, subprocess, sys
texts = [text.encode() for text in json.loads(base64.b64decode(sys.argv[1]))]
seen, found = 0, []
for top in ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/var"):
    for folder, names, files in os.walk(top):
        names[:] = set(names) - {"site-packages", "dpkg", "apt"}  # packages, by the ten thousand files
        for path in (os.path.join(folder, name) for name in files):
            try:
                about = os.lstat(path)
                if not stat.S_ISREG(about.st_mode) or not (about.st_mode & 0o004 or path.startswith("/var/log/")):
                    continue
                with open(path, "rb") as file:
                    content = file.read()
            except OSError:
                continue
            seen += 1
            found += [path for text in texts if text in content]
journal = subprocess.run(["journalctl", "--no-pager", "--boot"], capture_output=True).stdout
found += ["the journal" for text in texts if text in journal]
print(json.dumps([seen, sorted(set(found))]))
"""
# Runs on the host: tells whether PostgreSQL accepts a password.
LOGS_IN = """
import os, sys
os.environ["DATABASE_URL"] = "postgresql://" + sys.argv[1]
import psycopg
try:
    psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=5).close()
    print("in")
except psycopg.OperationalError as error:
    print(error)
"""


class Watch:
    """Keeps looking at the command lines of all processes: lab hosts' processes are visible on this machine too."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self) -> None:
        """Note all command lines until told to stop."""
        while not self.stopping.wait(0.05):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    self.seen.add(
                        Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    )

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()


def rotate(vault: Vault, what: str, folder: Path) -> Playbook:
    """Start a rotation with the most verbose output, and with time for the old sockets."""
    options = {"rotate_secrets": what, "release_folder": str(folder), "release_drain_seconds": 180}
    return Playbook("rotate_secrets", *vault.options, "-vvv", "--diff", "-e", json.dumps(options))


def redis_takes(host: LabHost, password: str) -> bool:
    """Tell whether Redis accepts a password of the project."""
    return "PONG" in host.run("REDISCLI_AUTH=%s redis-cli --user channels ping 2>&1 || true", password)


def database_takes(host: LabHost, login: str, password: str) -> bool:
    """Tell whether PgBouncer and PostgreSQL behind it accept a user's password; fail the test on any other answer."""
    place = urlsplit(host.environment()["DATABASE_URL"])
    address = f"{login}:{password}@{place.hostname}:{place.port}{place.path}"
    said = host.run("/srv/dashboard/live/venv/bin/python -c %s %s", LOGS_IN, address).strip()
    assert said == "in" or "authentication failed" in said or "not permitted to log in" in said, said
    return said == "in"


def new_token(lab: Pair) -> str:
    """Return a token that is signed with the current key."""
    LabHost.token.cache_clear()
    return lab.hosts[0].token("load", 7200)


@pytest.fixture(scope="module")
def story(lab: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A rotation of everything that is killed, continued and finished; afterwards everything is as before."""
    folder, told, first = tmp_path_factory.mktemp("rotation"), Story(), lab.hosts[0]
    lab.settle()
    made = Copy(folder / "project")
    project = made.append("dashboard/consumers.py", ASKS_DATABASE)
    given = first.secrets()
    kept = (ROOT / ".lab" / "secrets" / "release" / "postgresql_password").read_text().split()[0]
    values = [given["SECRET_KEY"], given["JWT_SECRET"], given["Redis password"], kept]
    hosts = dict.fromkeys(NAMES, VARIABLES)
    vault = Vault(folder, dict(zip(SECRETS, values, strict=True)), hosts)
    # Other tests used other settings; the ones that PostgreSQL reads at its start would make it restart now.
    Playbook("provision", *vault.options).succeeded()
    deploy(project, *vault.options, drain=1, spread=0).succeeded()
    lab.settle()
    told.before, told.values, told.token = lab.live(), [vault.values()], new_token(lab)
    clients = Clients(lab, folder / "first.json", 10, 1)
    later = None
    try:
        with Watch() as first_watch:
            killed = rotate(vault, "all", project).until(GATE)
            killed.kill()
            told.values.append(vault.values())
            told.after_kill = lab.live()
            again = rotate(vault, "all", project).succeeded()
        told.values.append(vault.values())
        told.between, told.states = lab.live(), [host.states() for host in lab]
        # This puts passwords into the test's own arguments.
        told.old_token_between = [host.refusal(told.token) for host in lab]
        told.old_passwords_between = passwords(first, told.values[0], "dashboard")
        with Watch() as second_watch:
            early = rotate(vault, "finish", project).end()
            told.first = clients.stop()
            lab.settle()
            told.new_token = new_token(lab)
            later = Clients(lab, folder / "later.json", 10, 1)
            ended = rotate(vault, "finish", project).succeeded()
        told.seen = first_watch.seen | second_watch.seen
        told.runs, told.early = [killed, again, early, ended], early
        told.values.append(vault.values())
        told.after, told.later = lab.live(), later.stop()
        told.old_token_after = [host.refusal(told.token) for host in lab]
        told.new_token_after = [host.refusal(told.new_token) for host in lab]
        told.old_passwords_after = passwords(first, told.values[0], "dashboard")
        told.new_passwords_after = passwords(first, told.values[-1], "dashboard__b")
        told.environment = first.environment()
        told.kept = [set(host.states()) for host in lab]
        told.vault = vault
        yield told
    finally:
        for each in (clients, later):
            if each and each.process.poll() is None:
                each.process.kill()
        LabHost.token.cache_clear()
        # As the scenario has it: with the passwords of its inventory, and only PostgreSQL's first user.
        quick = ("-e", "release_drain_seconds=1", "-e", "release_drain_spread_seconds=0")
        Playbook("rotate_secrets", "-e", "rotate_secrets=finish", *quick).succeeded()
        lab.settle()
        Playbook("provision", "--tags", "redis", "-e", "redis_forget_passwords=true").succeeded()


def passwords(host: LabHost, values: dict[str, str], login: str) -> list[bool]:
    """Tell whether Redis and PostgreSQL accept the passwords from a certain moment."""
    database = database_takes(host, login, values["vault_postgresql_password"])
    return [redis_takes(host, values["vault_redis_password"]), database]


def secrets_of(story: Story) -> set[str]:
    """Return every secret that ever existed."""
    values = {values[name] for values in story.values for name in SECRETS}
    return values | {story.vault.password.read_text().strip()}


def test_killed_run_leaves_what_serves_with_its_secrets(story: Story) -> None:
    assert story.after_kill == story.before


def test_next_run_goes_on_with_the_same_values(story: Story) -> None:
    before, killed, again, _ = story.values
    for name in SECRETS:
        assert killed[name] != before[name] and killed[f"{name}_previous"] == before[name]
    assert again == killed
    assert story.between != story.before
    for states in story.states:
        assert states[story.between] == "live" and states[story.before] == "draining", states


def test_no_client_notices(story: Story) -> None:
    """Their tokens use the old key, and at the end the new one; no socket was closed, and no handshake failed."""
    for noticed in (story.first, story.later):
        print("clients:", noticed["figures"])
        assert noticed["failures"] == []
        assert noticed["closings"] == []
        assert min(noticed["figures"][kind] for kind in ("handshakes", "requests", "echoes", "messages")) > 10


def test_old_secrets_are_good_in_between(story: Story) -> None:
    assert story.old_token_between == [101] * len(NAMES)
    assert story.old_passwords_between == [True, True]


def test_end_waits_for_open_sockets(story: Story) -> None:
    assert story.early.code, story.early.output[-3000:]
    said = " ".join(story.early.output.split())
    assert "Nothing was changed" in said and "still holds open sockets" in said and story.before in said


def test_old_secrets_are_refused_in_the_end(story: Story) -> None:
    assert story.old_token_after == [403] * len(NAMES)
    assert story.new_token_after == [101] * len(NAMES)
    assert story.old_passwords_after == [False, False]
    assert story.new_passwords_after == [True, True]
    assert story.environment["SECRET_KEY"] == story.values[-1]["vault_secret_key"]
    assert story.environment["SECRET_KEY_FALLBACKS"] == story.environment["JWT_SECRET_PREVIOUS"] == ""
    assert not [name for name, value in story.values[-1].items() if name.endswith("_previous") and value]
    assert not [names for names in story.kept if story.before in names], "a rollback could bring the old secrets back"


def test_no_secret_is_in_an_argument(story: Story) -> None:
    seen = "\n".join(story.seen)
    for program in ("ansible-playbook", "dashboard-generations", "redis-server", "daphne"):
        assert program in seen, f"no command line of {program} was seen, so that of others may have been missed"
    assert [line for line in story.seen if any(secret in line for secret in secrets_of(story))] == []


def test_no_secret_is_in_the_output(story: Story) -> None:
    for run in story.runs:
        assert "TASK PATH" in run.output.upper(), "the run was not asked to tell all"
        found = [line for line in run.output.splitlines() if any(secret in line for secret in secrets_of(story))]
        assert found == [], found[:3]


def test_no_secret_is_on_the_controller(story: Story) -> None:
    """Except for the lab's own, which are in files that only their owner can read."""
    home = Path(os.environ.get("ANSIBLE_HOME") or Path.home() / ".ansible")
    tops = [ROOT / "artifacts", ROOT / ".cache", ROOT / ".lab", home, story.vault.folder]
    found, count = [], 0
    for path in (path for top in tops for path in top.rglob("*") if path.is_file()):
        with contextlib.suppress(OSError):
            if path.is_relative_to(ROOT / ".lab" / "secrets"):
                assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0, path
                continue
            content, count = path.read_bytes(), count + 1
            found += [path for secret in secrets_of(story) if secret.encode() in content]
    assert count > 50 and found == [], found


def test_no_secret_is_in_a_file_that_others_read(story: Story, lab: Pair) -> None:
    texts = base64.b64encode(json.dumps(sorted(secrets_of(story))).encode()).decode()
    for host in lab:
        seen, found = json.loads(host.python(SEARCH, texts))
        assert seen > 500 and found == [], found
        environments = host.run(
            "stat --format=%a /srv/dashboard/generations/*/env /proc/$(pgrep -u dashboard | head -1)/environ"
        )
        assert set(environments.split()) <= {"640", "400"}, environments
