"""A malicious project, or a malicious dependency: root believes nothing it says, and goes nowhere it leads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from pair import Pair, Playbook, ReleaseHost, deploy, differences

SHOWN = "find /opt/victim -printf '%p %U %m %l\\n' | sort; cat /opt/victim/precious"
# Prints what was once taken for an answer, and answers before anything is done; see prepare.py of role asgi.
LIES = """
import atexit, json
atexit.register(print, "static url: /\\nstatic files are shipped: True\\nstatic root: /opt/victim")
for name in os.listdir("/proc/self/fd"):
    if os.path.lexists(f"/proc/self/fd/{name}") and "memfd:answer" in os.readlink(f"/proc/self/fd/{name}"):
        lie = {"changed": True, "layer": "", "migrated": True, "static_root": "/opt/victim", "static_url": "/static/"}
        os.write(int(name), json.dumps(lie).encode())
        os._exit(0)
"""
# Makes the files that the release ships at STATIC_ROOT lead into one of root's folders.
LEADS = """
place = "/srv/dashboard/static/" + str(BASE_DIR).split("/")[4]
if os.access(place, os.W_OK) and not os.path.lexists(place + "/evil"):
    os.symlink("/opt/victim", place + "/evil")
STATIC_ROOT = BASE_DIR / "shipped"
"""

# Notes in the package who built it and at which priority, and leaves a process running that could change the
# environment later.
BUILDS = """
import os, pathlib, subprocess
from setuptools import setup
may = [path for path in ("/opt/victim", "/srv/dashboard/venvs", "/srv/dashboard/shared") if os.access(path, os.W_OK)]
pathlib.Path("told.py").write_text(f"SAID = {os.getuid()}, {may}, {os.nice(0)}")
subprocess.Popen(["sh", "-c", "exec >&- 2>&- <&-; sleep 3600"], start_new_session=True)
setup(name="tool", version="1", py_modules=["told"])
"""


@pytest.fixture
def victim(lab: Pair) -> Iterator[ReleaseHost]:
    """The first host, with a folder of root's that must be unchanged at the end."""
    lab.settle()
    host = lab.hosts[0]
    host.run("dashboard-generations tidy 3 3")  # the deploy does this too, and must leave nothing else behind
    host.run("install -d -m 0750 /opt/victim && echo precious >/opt/victim/precious")
    before = host.run(SHOWN)
    yield host
    after = host.run(SHOWN)
    host.run("rm --recursive --force /opt/victim")
    assert after == before


def test_lies_of_a_project_lead_root_nowhere(lab: Pair, victim: ReleaseHost, copy: Callable) -> None:
    """It ends its process before the migrations, so what it claims was never done: its gate decides."""
    made = copy("lies")
    made.append("core/asgi.py", LIES)
    deploy(made.folder, "--limit", victim.name).succeeded()
    assert victim.run("readlink /srv/dashboard/live/code/staticfiles || true") == "", "it lied, so nothing leads there"
    Playbook("rollback", "--limit", victim.name, "-e", "release_drain_seconds=5").succeeded()  # like the other hosts


def test_links_of_a_project_lead_root_nowhere(lab: Pair, victim: ReleaseHost, copy: Callable) -> None:
    made = copy("leads")
    made.append("core/settings.py", LEADS)
    made.append("shipped/evil/file", "shipped")
    before = lab.snapshot()
    deploy(made.folder, "--limit", victim.name).failed("Files that the release ships at STATIC_ROOT cannot be served")
    assert differences(before, lab.snapshot()) == []


def test_project_that_ends_its_process_is_rejected(lab: Pair, victim: ReleaseHost, copy: Callable) -> None:
    """There is no error, but what comes after, such as migrations, was not done."""
    made = copy("ends")
    made.append("core/asgi.py", 'if "ASGI_INSTANCE" not in os.environ:\n    os._exit(0)')
    before = lab.snapshot()
    deploy(made.folder, "--limit", victim.name).failed("ended before all was done")
    assert differences(before, lab.snapshot()) == []


def test_packages_are_built_by_nobody_who_could_do_harm(lab: Pair, victim: ReleaseHost, copy: Callable) -> None:
    """A setup script runs neither as root nor as the project, and afterwards only root can change the environment."""
    made = copy("builds")
    made.append("tool/setup.py", BUILDS)
    given = {"release_packages": ["./tool", "setuptools"]}
    deploy(made.folder, "--limit", victim.name, "-e", json.dumps(given)).succeeded()
    said = victim.run("dashboard-manage shell -c 'import told; print(told.SAID)' | tail -1").strip()
    nice = 10  # so that the processes which serve meanwhile get the CPU first
    assert said == str((int(victim.run("id -u dashboard_build")), [], nice))
    code = victim.run("realpath /srv/dashboard/live/code/tool").strip()
    assert victim.run(f"find {code} /srv/dashboard/venvs ! -user root").split() == []
    assert victim.run("pgrep --count --uid dashboard_build || true").strip() == "0"
    Playbook("rollback", "--limit", victim.name, "-e", "release_drain_seconds=5").succeeded()  # like the other hosts
