"""Tags `install` and `configure` part a run: what a host must have, and how it is set up. Needs no host."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from test_specs import ROOT, load

KINDS = {"install", "configure"}
IMPORTS, INCLUDES = "ansible.builtin.import_tasks", "ansible.builtin.include_tasks"
PREFIX = "channels.stack."
# What shows of which kind a task is; files are of both.
INSTALLS = {"ansible.builtin.apt", "ansible.builtin.user", "ansible.builtin.unarchive"}
CONFIGURES = {
    "ansible.builtin.blockinfile", "ansible.builtin.template", "channels.stack.certificate",
    "channels.stack.new_connection", "channels.stack.postgresql_app", "channels.stack.postgresql_replication",
    "channels.stack.redis_acl", "channels.stack.service_state", "channels.stack.trial",
}  # fmt: skip
PROVISION = [task for play in load(ROOT / "playbooks" / "provision.yml") for task in play.get("tasks") or []]


def leaves(file: Path, inherited: set[str]) -> Iterator[tuple[str, dict[str, Any], set[str]]]:
    """Each task that does something, with its file and the tags by which it is run.

    What an import has goes down to its tasks; what an include has is its own, and only its ancestors' go down.
    """
    for task in load(file) or []:
        tags = inherited | set(task.get("tags") or [])
        if "block" in task:
            raise AssertionError(f"{file}: teach this test blocks")
        if IMPORTS in task:
            yield from leaves(file.with_name(task[IMPORTS]), tags)
            continue
        yield str(file.relative_to(ROOT)), task, tags
        if INCLUDES in task:
            yield from leaves(file.with_name(task[INCLUDES]), inherited)


def tasks_of(call: dict[str, Any]) -> list[tuple[str, dict[str, Any], set[str]]]:
    """All tasks that a line of the playbook runs."""
    called = call["ansible.builtin.import_role"]
    role = ROOT / "roles" / called["name"].removeprefix(PREFIX) / "tasks"
    return list(leaves(role / f"{called.get('tasks_from', 'main')}.yml", set(call["tags"])))


@pytest.mark.parametrize("call", PROVISION, ids=lambda call: call["name"])
def test_each_task_is_of_a_kind(call: dict[str, Any]) -> None:
    """Also those that are included when it is time: an include does not hand its tags down."""
    found = tasks_of(call)
    assert found
    for file, task, tags in found:
        kinds = tags & KINDS
        assert kinds, f"{file}: {task['name']} has neither tag, and would be left out of both"
        if INSTALLS & set(task):
            assert kinds == {"install"}, f"{file}: {task['name']} installs"
        if CONFIGURES & set(task):
            assert kinds == {"configure"}, f"{file}: {task['name']} configures"
        assert not (INCLUDES in task and "tags" in task), f"{file}: {task['name']} keeps its tags to itself: import it"


# Tasks that only end a role early on a host.
META = {
    task["name"]
    for file in (ROOT / "roles").glob("*/tasks/*.yml")
    for task in load(file) or []
    if "ansible.builtin.meta" in task
}


@cache
def listed(*tags: str) -> list[tuple[str, str]]:
    """The roles and names of the tasks that site.yml would run, without those of the preflight."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "localhost,", "site.yml", "--list-tasks", *(f"--tags={tag}" for tag in tags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^      (?:channels\.stack\.(\w+) : )?(.*?)\tTAGS: \[(.*)\]$", done.stdout, re.MULTILINE)
    return [(role, name) for role, name, tagged in rows if "always" not in tagged.split(", ") and name not in META]


def test_install_brings_what_a_host_must_have_and_nothing_else() -> None:
    assert listed("install") == [
        ("base", "Copy the certificates to the host"),
        ("base", "Find the certificates that the bundle lacks"),
        ("base", "Add the certificates to the bundle that programs read"),
        ("base", "Read the state of the packages"),
        ("base", "Install the packages of the host's groups"),
        ("base", "Look for the pinned uv"),
        ("base", "Fetch the pinned uv"),
        ("firewall", "Install the loader of the rules"),
        ("firewall", "Link the loader of the rules for sysvinit"),
        ("pgbouncer", "Create the user of PgBouncer"),
        ("certificate", "Look for the pinned certbot"),
        ("certificate", "Install the pinned certbot"),
        ("asgi", "Look for the generation that serves"),
        ("", "Create the home of the project"),
        ("asgi", "Install the tools, the boot-time folder for sockets and the folder itself"),
    ]


def test_configure_sets_up_each_daemon_and_deploys_nothing() -> None:
    found = listed("configure")
    daemons = {
        "base", "firewall", "hardening", "stores", "redis", "sentinel", "postgresql", "pgbouncer", "supervisor",
        "certificate", "nginx", "haproxy", "keepalived", "metrics", "monitoring", "logs", "backup", "pgbackrest",
    }  # fmt: skip
    # A task that includes a role is shown without its own.
    assert {role for role, _ in found} - {""} == daemons
    assert {("nginx", "Run nginx with its configuration"), ("redis", "Run Redis with its configuration")} <= set(found)
    both = {role for role, _ in set(found) & set(listed("install"))}
    assert both == {"base"}, "authorities come before packages, and are a setting"


def test_tags_leave_nothing_out() -> None:
    """A run without tags is the same as one with both, and with those of a deploy and its proof."""
    everything = listed()
    assert sorted(everything) == sorted(listed("install", "configure", "release", "asgi", "nginx", "handshake"))
    assert len(everything) > 60
