"""A release that cannot serve is rejected with a reason, and leaves nothing behind: if on one host, then on both.

Most faults are tried on the first host only, in half the time; other tests show how one host's fault stops both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import Clients
from pair import Pair, deploy, differences

MIGRATION = """
from django.db import migrations
def fail(apps, schema_editor):
    raise RuntimeError("the migration is broken")
class Migration(migrations.Migration):
    operations = [migrations.RunPython(fail)]
"""
REFUSING = """
async def refuse(self):
    await self.close()
DashboardConsumer.connect = refuse
"""
BAD: dict[str, dict[str, Any]] = {
    "syntax error": {"files": {"dashboard/routing.py": "def broken(:"}, "told": ["SyntaxError"]},
    "missing dependency": {
        "files": {"dashboard/routing.py": "import yaml"},
        "told": ["No module named 'yaml'", "release_packages: [PyYAML]"],
    },
    "requirement that does not exist": {
        "files": {"requirements/base.txt": "nosuchpackage-xyz==1"},
        "told": ["nosuchpackage-xyz", "Install the requirements", "release_extra_indexes"],
    },
    "ASGI path seen to be wrong": {
        "given": ["-e", "asgi_application=core.asgi:nope"],
        "told": ["asgi_application", "does not assign nope"],
    },
    "ASGI path found to be wrong": {
        "files": {"core/asgi.py": "if not application:\n    nope = None"},
        "given": ["-e", "asgi_application=core.asgi:nope"],
        "told": ["module 'core.asgi' has no attribute 'nope'"],
    },
    "command before the migrations fails": {
        "given": ["-e", json.dumps({"release_hooks_before_migrate": ["echo no backup $ASGI_GENERATION >&2; false"]})],
        "told": ["A command of release_hooks_before_migrate failed with 1", "no backup"],
    },
    "command before the switch fails": {
        "given": ["-e", json.dumps({"release_hooks_before_switch": ["echo no luck >&2; false"]})],
        "told": ["no luck", "At: Run the commands before the switch"],
    },
    "failing migration": {
        "files": {
            "broken/__init__.py": "",
            "broken/migrations/__init__.py": "",
            "broken/migrations/0001_initial.py": MIGRATION,
            "core/settings.py": 'INSTALLED_APPS.append("broken")',
        },
        "told": ["the migration is broken"],
        "everywhere": True,
    },
    "settings that raise": {
        "files": {"core/settings.py": 'raise ImproperlyConfigured("the settings are broken")'},
        "told": ["the settings are broken"],
    },
    "refuses every WebSocket": {
        "files": {"dashboard/consumers.py": REFUSING},
        "told": ["403", "handshake_token_command"],
        "everywhere": True,
    },
    "name of the environment that is not there": {
        "files": {"core/settings.py": 'os.environ["PAYMENT_TOKEN"]'},
        "told": ['release_secrets: {PAYMENT_TOKEN: "{{ vault_payment_token }}"}'],
    },
    "answers no plain HTTP": {
        "files": {"core/asgi.py": 'application.application_mapping.pop("http")'},
        # Longer than the test may take, to prove that nobody waits for it.
        "given": ["-e", "asgi_start_seconds=900"],
        "told": ["scope type 'http'", "its process runs on", "asgi_wsgi_application: core.wsgi:application"],
    },
    "hangs when it is imported": {
        "files": {"dashboard/routing.py": "import time\ntime.sleep(600)"},
        "given": ["-e", "asgi_start_seconds=5"],
        "told": ["importing core.asgi:application took longer than asgi_start_seconds (5)"],
    },
    "hangs at its start": {
        # Only in a process that should serve: otherwise the earlier import would find it.
        "files": {"core/asgi.py": 'import time\nif "ASGI_INSTANCE" in os.environ:\n    time.sleep(600)'},
        "given": ["-e", "asgi_start_seconds=8"],
        "told": ["it hangs before it listens", "logged nothing", "8 s (asgi_start_seconds)"],
    },
}


@pytest.fixture(scope="module", autouse=True)
def clients(lab: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Clients that are there all the time and notice nothing."""
    lab.settle()
    started = Clients(lab, tmp_path_factory.mktemp("clients") / "report.json", sockets=20, rate=4)
    yield started
    started.process.kill()


@pytest.mark.parametrize("fault", BAD)
def test_bad_release_is_rejected(lab: Pair, copy: Callable, fault: str) -> None:
    made, bad = copy(), BAD[fault]
    for path, text in bad.get("files", {}).items():
        made.append(path, text)
    limit = [] if "everywhere" in bad else ["--limit", lab.hosts[0].name]
    rejected(lab, made.folder, bad["told"], [*bad.get("given", []), *limit])


def rejected(lab: Pair, folder: Path, told: list[str], given: list[str]) -> str:
    """Deploy a folder; fail the test unless it is rejected with these reasons and leaves nothing. Return the output."""
    before = lab.snapshot()
    output = deploy(folder, "-e", "asgi_start_seconds=8", *given).failed(*told).output
    assert differences(before, lab.snapshot()) == [], "something was left behind, or taken away"
    return output


def test_host_that_fails_alone_stops_both(lab: Pair, copy: Callable) -> None:
    """One host's environment makes its settings raise."""
    made = copy()
    made.append("core/settings.py", 'if os.environ["HOST"] == "release-2":\n    raise ImproperlyConfigured("not here")')
    environment = lab.hosts[0].environment()
    given = {name: environment[name] for name in ("ALLOWED_HOSTS", "SQLITE_PATH")}
    given["HOST"] = "{{ inventory_hostname }}"
    output = rejected(lab, made.folder, ["not here"], ["-e", json.dumps({"release_environment": given})])
    assert "rejected on release-2" in " ".join(output.split())


def test_channel_layer_of_one_host_alone_stops_both(lab: Pair, copy: Callable) -> None:
    """One host cannot reach Redis: its processes start, and their handshakes fail."""
    secrets = lab.hosts[0].environment()
    given = {name: secrets[name] for name in ("SECRET_KEY", "JWT_SECRET")}
    url = secrets["REDIS_URL"]
    nobodys = url.replace(":6379", ":1")  # not on loopback, where this would be found before anything is done
    given["REDIS_URL"] = f"{{{{ '{url}' if inventory_hostname == 'release-1' else '{nobodys}' }}}}"
    output = rejected(
        lab, copy().folder, ["rejected on release-2"],
        ["-e", json.dumps({"release_secrets": given})],
    )  # fmt: skip
    assert given["JWT_SECRET"] not in output


def test_too_little_space_is_found_before_anything_is_written(lab: Pair, copy: Callable) -> None:
    rejected(lab, copy().folder, ["MB are free", "release_keep"], ["-e", "release_free_mb=9999999"])


def test_clients_noticed_nothing(clients: Clients) -> None:
    """During all of the above."""
    clients.unharmed()
