"""The preflight finds every problem in one run, tells no secret, and lets a correct inventory through."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.channels.stack.plugins.module_utils.preflight import checks
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import CHECKS
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.asgi import asgi_fault, manager_of
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.numbers import LIMITS, numbers
from ansible_collections.channels.stack.plugins.module_utils.preflight.probe import host_problems, untested_notices
from ansible_collections.channels.stack.plugins.module_utils.preflight.project import path_fault
from ansible_collections.channels.stack.plugins.module_utils.preflight.specs import load_roles
from ansible_collections.channels.stack.plugins.module_utils.preflight.systems import PACKAGES, UNTESTED, packages_of
from ansible_collections.channels.stack.plugins.module_utils.preflight.values import (
    handed_problems,
    unknown_notices,
    unknown_problems,
    value_problems,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
# The value that no output may hold.
SECRET = "hunter2-hunter2-hunter2"

# A connection that answers the probe as a host's variable says.
CONNECTIONS = ROOT / "tests" / "connection"
# Writes what the action returned to a file, since what is printed is laid out for people.
RECORDER = """
import json, os
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "recorder"

    def v2_runner_on_ok(self, result):
        if result.task.action == "channels.stack.preflight" and "roles" in result.task.args:
            with open(os.environ["RECORD"], "w") as file:
                json.dump({key: result.result.get(key) for key in ("msg", "problems", "hosts")}, file)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.v2_runner_on_ok(result)
"""

PLAY = [
    {
        "name": "Preflight",
        "hosts": "all:localhost",
        "gather_facts": False,
        "any_errors_fatal": True,
        "strategy": "ansible.builtin.linear",
        "tasks": [{"name": "Check", "ansible.builtin.include_role": {"name": "channels.stack.preflight"}}],
    },
    {
        "name": "Change",
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"name": "Say", "ansible.builtin.debug": {"msg": "THE DEPLOY BEGAN"}}],
    },
]


# As the bundle's own playbooks begin: each of them imports the preflight, and a run of several makes it once.
IMPORTS = [
    {"name": "Preflight", "ansible.builtin.import_playbook": str(ROOT / "playbooks" / "preflight.yml")},
    {"name": "Again", "ansible.builtin.import_playbook": str(ROOT / "playbooks" / "preflight.yml")},
    PLAY[1],
]


def option(kind: str, default: Any = None, **more: Any) -> dict[str, Any]:
    """An option of a fake role's spec."""
    return {"type": kind, "description": f"A {kind}.", **({} if default is None else {"default": default}), **more}


FAKE_ROLES: dict[str, dict[str, Any]] = {
    "release": {
        "release_app": option("str", required=True),
        "release_folder": option("path", ""),
        "release_repository": option("str", ""),
        "release_backend": option("str", "."),
        "release_requirements": option("list", ["requirements.txt"], elements="str"),
        "release_user": option("str", "{{ release_app }}"),
        "release_secrets": option("dict", {}, no_log=True),
        "release_environment": option("dict", {}),
    },
    "asgi": {
        "asgi_application": option("str", "core.asgi:application"),
        "asgi_processes": option("int", 2),
        "asgi_server": option("str", "daphne", choices=["daphne", "uvicorn"]),
        "asgi_note": option("str"),
        "asgi_bell": option("str"),
        "asgi_code": option("int", 1, no_log=True),
    },
    "redis": {
        "redis_password": option("str", required=True, no_log=True),
        "redis_bind": option("list", ["127.0.0.1"], elements="str"),
        "redis_port": option("int", 6379),
    },
}

GOOD = {
    "release_app": "dashboard",
    "release_folder": "PROJECT",
    "release_backend": "backend",
    "release_user": "{{ release_app }}-web",
    "asgi_note": "{{ ansible_facts.default_ipv4.address }} is told by facts, which come later",
    "asgi_bell": "{{ asgi_server }}",  # only the role's default sets it
    "redis_password": "{{ vault_redis_password }}",
    "redis_bind": ["10.0.0.5", "{{ ansible_facts['default_ipv4']['address'] }}"],
    "vault_redis_password": SECRET,
}

DEBIAN = "python=3.11.2\nid=debian\nversion=12\ninit=systemd\nuser=root\napt=yes\n"


def machine(answer: str = DEBIAN, **variables: Any) -> dict[str, Any]:
    """A host that gives this answer."""
    return {"ansible_connection": "scripted", "scripted_answer": answer, **variables}


@dataclass
class Run:
    """One run of the play."""

    status: int
    output: str
    record: dict[str, Any]

    def faults(self) -> list[tuple[str, str, str]]:
        """Where, which variable and what, of every problem."""
        return [(one["where"], one["variable"], one["fault"]) for one in self.record["problems"]]

    def find(self, where: str, variable: str, fault: str) -> dict[str, Any]:
        """The one problem that these describe; `fault` is a part of the text."""
        problems = self.record["problems"]
        found = [
            one for one in problems if (one["where"], one["variable"]) == (where, variable) and fault in one["fault"]
        ]
        assert len(found) == 1, f"{len(found)} problems are {(where, variable, fault)}; all:\n" + "\n".join(
            map(str, self.faults())
        )
        return found[0]


class Bench:
    """A bundle with the real role and action, fake roles, and throwaway inventories."""

    def __init__(self, folder: Path) -> None:
        """Make roles, plugins and a project in `folder`."""
        self.folder = folder
        self.project = folder / "project"
        for name in ("backend/core", "backend/.venv/core"):
            (self.project / name).mkdir(parents=True)
        self.write("project/backend/manage.py", "")
        self.write("project/backend/requirements.txt", "channels\n")
        self.write("project/backend/core/asgi.py", "import os\napplication = os.name\n")
        self.write("callback/recorder.py", RECORDER)
        self.write("ansible.cfg", "")
        self.write("play.yml", yaml.safe_dump(PLAY, sort_keys=False))
        self.write("imports.yml", yaml.safe_dump(IMPORTS, sort_keys=False))
        shutil.copytree(ROOT / "roles" / "preflight", folder / "roles" / "preflight")
        collection = folder / "collections" / "ansible_collections" / "channels" / "stack"
        collection.mkdir(parents=True)
        (collection / "roles").symlink_to(folder / "roles")
        (collection / "plugins").symlink_to(ROOT / "plugins")
        for name, options in FAKE_ROLES.items():
            contract = {"argument_specs": {"main": {"short_description": name, "options": options}}}
            self.write(f"roles/{name}/meta/argument_specs.yml", yaml.safe_dump(contract))
            defaults = {key: spec["default"] for key, spec in options.items() if "default" in spec}
            self.write(f"roles/{name}/defaults/main.yml", yaml.safe_dump(defaults))

    def write(self, name: str, text: str) -> None:
        """A file of the bench."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, groups: dict[str, Any], variables: dict[str, Any], *arguments: str, play: str = "play.yml") -> Run:
        """Run a play against an inventory of these groups of hosts and these variables of all."""
        shutil.rmtree(self.folder / "inventory", ignore_errors=True)
        children = {name: {"hosts": hosts} for name, hosts in groups.items()}
        self.write("inventory/hosts.yml", yaml.safe_dump({"all": {"children": children}}, sort_keys=False))
        text = yaml.safe_dump(variables, sort_keys=False).replace("PROJECT", str(self.project))
        self.write("inventory/group_vars/all/main.yml", text)
        record = self.folder / "record.json"
        record.unlink(missing_ok=True)
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventory", play, *arguments]
        environment = self.environment()
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        output = done.stdout + done.stderr
        return Run(done.returncode, output, json.loads(record.read_text()) if record.exists() else {})

    def environment(self) -> dict[str, str]:
        """Only what a run needs: an operator's own settings for Ansible change nothing here."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_CONNECTION_PLUGINS": str(CONNECTIONS),
            "ANSIBLE_CALLBACK_PLUGINS": str(self.folder / "callback"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_INTERPRETER_PYTHON": sys.executable,
            "RECORD": str(self.folder / "record.json"),
        }


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """One bench for all runs of this module."""
    return Bench(tmp_path_factory.mktemp("bench"))


def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def unreachable() -> dict[str, Any]:
    """A host behind a closed SSH port."""
    return {"ansible_host": "127.0.0.1", "ansible_port": closed_port(), "ansible_user": "deploy"}


@pytest.fixture(scope="module")
def everything_wrong(bench: Bench) -> Run:
    """One run against an inventory with every kind of problem."""
    old = DEBIAN.replace("version=12", "version=11").replace("3.11.2", "3.9.2")
    groups = {
        "app": {
            "app1": machine(),
            "app2": machine(DEBIAN.replace("user=root", "user=deploy")),
            "app3": unreachable(),
            "app4": machine(DEBIAN.replace("3.11.2", ""), asgi_server="gunicorn"),
            "app5": machine(DEBIAN.replace("3.11.2", "3.9.2").replace("\n", "\r\n")),
        },
        "redis": {
            "redis1": machine(old),
            "redis2": machine(DEBIAN.replace("debian", "ubuntu")),
            "redis3": machine("", redis_password="short-77777"),
        },
    }
    variables = {
        "release_folder": "PROJECT",
        "release_repository": "https://git.example/project.git",
        "release_bakend": "backend",
        "asgi_application": "core.asgi",
        "asgi_processes": "many",
        "asgi_bell": "{{ asgi_chime }}",
        "asgi_note": "{{ note }}",
        "note": "{{ missing_thing }}",
        "asgi_code": SECRET,
        "redis_password": "{{ vault_redis_password }}",
        "redis_bind": ["0.0.0.0", "10.0.0.5", "8.8.8.8", "{{ ansible_facts.default_ipv4.address }}"],
        "redis_port": None,
        "release_environment": {"EMAIL": [{"HOST": "!!!SET the mail host!!!"}]},
        "vault_redis_password": "!!!SET redis_password!!!",
        "release_secrets": f"{SECRET}",
        "redis_helper": "read by another, so no typo",
        "reader": "{{ redis_helper }}",
    }
    return bench.run(groups, variables)


EXPECTED = [
    ("host app2", "", 'commands run as "deploy", not as root'),
    ("host app3", "", "unreachable: ssh: connect to host 127.0.0.1 port"),
    ("host app4", "", "has no Python 3"),
    ("host app5", "", "has Python 3.9.2, older than 3.11"),
    ("host redis1", "", "runs debian 11; supported: Debian 12 and 13"),
    ("host redis2", "", "runs ubuntu 12; supported"),
    ("host redis3", "", "no command can be run on it as root: sudo: command not found"),
    ("every host", "release_bakend", "is not a variable of role release or of another"),
    ("every host of group app", "release_app", "is required and not set"),
    ("every host of group app", "release_secrets", "is not a valid dict (value not shown"),
    ("every host of group app", "release_environment", "still holds a placeholder"),
    ("every host of group app", "release_folder", "is set, and so is release_repository"),
    ("every host of group app", "release_backend", "has no manage.py"),
    ("every host of group app", "asgi_application", "has no colon"),
    ("every host of group app", "asgi_processes", 'is the text "many", but should be a whole number'),
    ("every host of group app", "asgi_bell", "refers to asgi_chime, which is set nowhere"),
    ("every host of group app", "asgi_note", "refers to missing_thing, which is set nowhere"),
    ("every host of group app", "asgi_code", "is not a valid int (value not shown"),
    ("host app4", "asgi_server", "must be one of: daphne, uvicorn"),
    ("every host of group redis", "redis_port", "is set to nothing"),
    ("every host of group redis", "redis_bind", '"0.0.0.0" is every address'),
    ("every host of group redis", "redis_bind", '"8.8.8.8" is a public address'),
    ("hosts redis1 and redis2", "vault_redis_password", "still holds a placeholder, !!!SET … (read by redis_password)"),
    ("host redis3", "redis_password", "has fewer than 12 characters"),
]


@pytest.mark.parametrize(("where", "variable", "fault"), EXPECTED)
def test_each_problem_is_found(everything_wrong: Run, where: str, variable: str, fault: str) -> None:
    """With its hosts named once, whatever else is wrong."""
    assert everything_wrong.find(where, variable, fault)["fix"]


def test_nothing_else_is_a_problem(everything_wrong: Run) -> None:
    """No problem is reported twice or invented."""
    assert len(everything_wrong.record["problems"]) == len(EXPECTED), everything_wrong.output


def test_all_are_told_at_once_and_nothing_runs(everything_wrong: Run) -> None:
    """One message has all of them, printed once; no later play begins."""
    output, count = everything_wrong.output, len(EXPECTED)
    assert everything_wrong.status == 2
    assert f"{count} problems; nothing was changed.\n" in output
    assert "THE DEPLOY BEGAN" not in output
    for number, problem in enumerate(everything_wrong.record["problems"], 1):
        assert len(re.findall(rf"^ +{number}\. {re.escape(problem['where'])}$", output, re.MULTILINE)) == 1, output
    assert "Traceback" not in output
    assert "WARNING" not in output
    assert "set_in" not in output, "the data of the problems is printed beside the message"


def test_fixes_say_what_to_do(everything_wrong: Run) -> None:
    """Commands to run, names to write, files to edit."""
    find = everything_wrong.find
    unreachable = find("host app3", "", "unreachable")["fix"]
    assert re.search(r"^  ssh -p \d+ deploy@127\.0\.0\.1 true$", unreachable, re.MULTILINE)
    assert unreachable.endswith("-e preflight_skip_unreachable=true")
    assert "apt-get install -y python3" in find("host app4", "", "Python 3")["fix"]
    assert "ansible_become: true" in find("host app2", "", "root")["fix"]
    assert find("every host", "release_bakend", "")["fix"] == "Write release_backend."
    assert find("every host of group app", "asgi_application", "")["fix"] == "Write core.asgi:application"
    assert "release_backend: backend" in find("every host of group app", "release_backend", "")["fix"]
    vault = find("hosts redis1 and redis2", "vault_redis_password", "")
    assert "ansible-vault edit inventory/group_vars/all/vault.yml" in vault["fix"]
    assert "make secrets INVENTORY=inventory\n" in vault["fix"]
    assert vault["set_in"].startswith("inventory/group_vars/all/main.yml:")


def test_no_secret_is_told(everything_wrong: Run) -> None:
    """Neither of a variable marked no_log, nor of one named like a secret."""
    told = everything_wrong.output + json.dumps(everything_wrong.record)
    assert SECRET not in told
    assert "short-77777" not in told


@pytest.fixture(scope="module")
def good(bench: Bench) -> Run:
    """One run against a correct inventory."""
    groups = {"app": {"app1": machine(), "app2": machine()}, "redis": {"app1": {}}, "other": {"away": machine()}}
    return bench.run(groups, GOOD)


def test_correct_inventory_passes(good: Run) -> None:
    """With the counts told, the facts returned, and the run going on."""
    assert good.status == 0, good.output
    assert good.record["problems"] == []
    assert good.record["msg"] == "No problems: 3 hosts, 4 roles, 24 variables."
    assert good.output.count("THE DEPLOY BEGAN") == 3
    facts = {"python": "3.11.2", "id": "debian", "version": "12", "init": "systemd", "user": "root", "apt": "yes"}
    assert good.record["hosts"]["app1"] == {**facts, "groups": ["app", "redis"], "manager": "systemd"} | {
        "processes": 2, "all_processes": 2, "packages": packages_of(facts),
    }  # fmt: skip
    assert set(good.record["hosts"]) == {"app1", "app2", "away"}, "the implicit localhost is no host of the inventory"
    probed = good.output.partition("All problems")[0].replace("skipping: [localhost]", "")
    assert "[localhost]" not in probed, "the implicit localhost was probed"


def test_secret_in_another_message_is_masked(bench: Bench) -> None:
    """Even where a value that is no secret itself repeats one, as in a URL."""
    url = {"redis_port": "redis://:{{ vault_redis_password }}@host", "asgi_processes": SECRET, "asgi_token": "x"}
    run = bench.run({"app": {"app1": machine()}, "redis": {"app1": {}}}, {**GOOD, **url})
    assert "value not shown" in run.find("host app1", "redis_port", "")["fault"]
    assert "********" in run.find("host app1", "asgi_processes", "should be a whole number")["fault"]
    assert SECRET not in run.output + json.dumps(run.record)


def test_real_connection_is_probed(bench: Bench) -> None:
    """The probe itself, on this machine, beside a host that cannot be reached."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(encoding="utf-8"), re.MULTILINE))
    local = {"ansible_connection": "local", "preflight_debian_versions": [release.get("VERSION_ID", "")]}
    run = bench.run({"app": {"app1": local, "app2": unreachable()}}, GOOD)
    run.find("host app2", "", "unreachable: ssh: connect to host 127.0.0.1 port")
    only_there = bench.run({"app": {"app1": local, "app2": unreachable()}}, GOOD, "--limit", "app1")
    wrong = {fault for _, _, fault in only_there.faults()}
    if os.geteuid() != 0:
        assert any("not as root" in fault for fault in wrong)
    elif release["ID"] == "debian":
        assert not wrong, only_there.output
        user_and_id = {key: only_there.record["hosts"]["app1"][key] for key in ("user", "id", "version", "python")}
        python = ".".join(str(part) for part in sys.version_info[:3])
        assert user_and_id == {"user": "root", "id": "debian", "version": release["VERSION_ID"], "python": python}


def test_host_that_is_down_stops_the_run_and_the_way_on_is_told(bench: Bench) -> None:
    run = bench.run({"app": {"app1": machine(), "app2": unreachable()}}, GOOD)
    assert run.status == 2 and "THE DEPLOY BEGAN" not in run.output
    assert "-e preflight_skip_unreachable=true" in run.find("host app2", "", "unreachable")["fix"]


def test_run_goes_on_without_hosts_that_are_down_if_it_is_told_so(bench: Bench) -> None:
    """The first of them too. They are in no later play, and roles learn which they are."""
    groups = {"app": {"app1": unreachable(), "app2": machine(), "app3": unreachable(), "app4": machine()}}
    run = bench.run(groups, GOOD, "-e", "preflight_skip_unreachable=true", play="imports.yml")
    assert run.status == 4, "Ansible's own code for hosts that were not reached"
    begun = run.output.split("PLAY [Change]")[1].split("PLAY RECAP")[0]
    assert sorted(re.findall(r"^ok: \[(\w+)\]", begun, re.MULTILINE)) == ["app2", "app4"]


@pytest.mark.parametrize(
    "groups",
    [
        {"app": {"app1": machine()}, "redis": {"redis1": unreachable()}},
        {"app": {"app1": machine(), "both": unreachable()}, "redis": {"both": {}}},
        {"app": {"app1": unreachable()}, "redis": {"redis1": machine()}},
    ],
    ids=["redis", "redis and app", "the only one"],
)
def test_nothing_goes_on_without_hosts_that_all_need(bench: Bench, groups: dict[str, Any]) -> None:
    run = bench.run(groups, GOOD, "-e", "preflight_skip_unreachable=true")
    assert run.status == 2 and "THE DEPLOY BEGAN" not in run.output
    assert [fault for _, _, fault in run.faults() if fault.startswith("unreachable")]


def test_limit_looks_only_there(bench: Bench) -> None:
    """What is wrong on a host outside the limit is not told, and group app is still known."""
    run = bench.run({"app": {"app1": machine()}, "redis": {"redis1": machine(redis_port="x")}}, GOOD, "--limit", "app1")
    assert run.status == 0, run.output
    assert set(run.record["hosts"]) == {"app1"}
    run = bench.run({"app": {"app1": unreachable()}, "redis": {"redis1": machine(redis_port="x")}}, GOOD, "-l", "redis")
    assert run.status == 2
    assert [fault[:2] for fault in run.faults()] == [("host redis1", "redis_port")]


def test_check_mode_finds_the_same(bench: Bench) -> None:
    """The probe runs in check mode too: raw is skipped there unless told otherwise."""
    groups = {"app": {"app1": machine(DEBIAN.replace("user=root", "user=deploy")), "app2": unreachable()}}
    run = bench.run(groups, GOOD, "--check", "--diff")
    assert run.status == 2
    assert [fault[:2] for fault in run.faults()] == [("host app1", ""), ("host app2", "")]
    assert bench.run({"app": {"app1": machine()}}, GOOD, "--check", "--diff").status == 0


def test_group_app_is_missing(bench: Bench) -> None:
    """The inventory that was read is named, with what to write into it."""
    run = bench.run({"apps": {"app1": machine()}}, GOOD)
    problem = run.find("inventory", "", "group app is missing (there is a group apps); inventory read: inventory")
    assert yaml.safe_load(problem["fix"].split("\n", 1)[1].rsplit("\n", 1)[0]) == {
        "app": {"hosts": {"app1": {"ansible_host": "203.0.113.10"}}}
    }
    assert run.status == 2
    bench.run({"app": {}}, GOOD).find("inventory", "", "group app has no hosts")


def test_empty_inventory_is_told(bench: Bench) -> None:
    """With no host at all, the implicit localhost carries the run, and is not looked at."""
    run = bench.run({}, {})
    assert run.status == 2
    assert [fault[0] for fault in run.faults()] == ["inventory"]


def test_localhost_of_a_group_is_a_host(bench: Bench) -> None:
    """The implicit one is left out, one that the inventory puts into a group is probed."""
    run = bench.run({"app": {"localhost": machine(DEBIAN.replace("user=root", "user=deploy"))}}, GOOD)
    assert run.faults() == [("host localhost", "", 'commands run as "deploy", not as root')]


@pytest.mark.parametrize(
    ("umask", "closed"), [("0022", False), ("022", False), ("0002", False), ("0027", True), ("077", True)]
)
def test_umask_that_closes_files_is_told(bench: Bench, umask: str, closed: bool) -> None:
    """It is the host's at a login, and over connection local that of whoever runs Ansible."""
    run = bench.run({"app": {"app1": machine(f"{DEBIAN}umask={umask}\n")}}, GOOD)
    told = f"new files are closed to the project's user (umask {umask})"
    assert run.faults() == ([("host app1", "", told)] if closed else [])


def test_variable_of_another_role_is_noticed(bench: Bench) -> None:
    run = bench.run({"app": {"app1": machine()}}, GOOD | {"redis_quorum_of_sentinels": 3})
    assert run.status == 0, run.output
    assert "redis_quorum_of_sentinels is not a variable of this bundle's role redis" in " ".join(run.output.split())


def test_playbooks_are_held_back(bench: Bench) -> None:
    """The bundle's own play stops at problems, and where there are none it asks the hosts only once in a run."""
    bad = bench.run({"app": {"app1": machine(), "app2": unreachable()}}, GOOD, play="imports.yml")
    assert bad.status == 2
    assert "1 problem; nothing was changed.\n" in bad.output
    assert "THE DEPLOY BEGAN" not in bad.output
    fine = bench.run({"app": {"app1": machine()}}, GOOD, play="imports.yml")
    assert fine.status == 0, fine.output
    assert fine.output.count("Probe each host") == 1
    assert "THE DEPLOY BEGAN" in fine.output


def test_placeholders_are_let_through_where_allowed(bench: Bench) -> None:
    """A template inventory may be run where it reaches no real host."""
    waiting = {**GOOD, "vault_redis_password": "!!!SET redis_password!!!"}
    groups = {"app": {"app1": machine()}, "redis": {"app1": {}}}
    assert [fault[:2] for fault in bench.run(groups, waiting).faults()] == [("host app1", "vault_redis_password")]
    assert bench.run(groups, {**waiting, "preflight_allow_placeholders": True}).status == 0


def test_one_fault_is_told_once(bench: Bench) -> None:
    """A value that is refused by itself is not looked at again by the checks of what fits together."""
    twice = {**GOOD, "redis_bind": {"address": "no list"}, "release_app": "!!!SET the name!!!"}
    run = bench.run({"app": {"app1": machine()}, "redis": {"app1": {}}}, twice)
    run.find("host app1", "redis_bind", "is a mapping, but should be a list")
    run.find("host app1", "release_app", "still holds a placeholder")
    assert len(run.faults()) == 2, run.output


def test_extra_variables_count(bench: Bench) -> None:
    """Values of the command line are checked as those of files."""
    given = ("-e", "asgi_server=gunicorn", "-e", "asgi_sever=x", "-e", "postgresql_lock_other_user=true")
    run = bench.run({"app": {"app1": machine()}}, GOOD, *given)
    run.find("host app1", "asgi_server", "gunicorn")
    run.find("host app1", "asgi_sever", "is not a variable")
    run.find("host app1", "postgresql_lock_other_user", "is what roles hand to each other, and cannot be set")
    assert len(run.faults()) == 3


def test_each_template_is_filled_in_once(bench: Bench, tmp_path: Path) -> None:
    """Checks read a value as often as they like; what fills it in may be slow, or answer differently each time."""
    seen = tmp_path / "seen"
    variables = GOOD | {"release_user": f"{{{{ lookup('pipe', 'echo x >> {seen}; echo someone') }}}}"}
    assert bench.run({"app": {"app1": machine()}}, variables).status == 0
    assert seen.read_text() == "x\n"


NOBLE = {"id": "ubuntu", "version": "24.04", "python": "3.12.3", "init": "systemd", "user": "root", "apt": "yes"}


@pytest.mark.parametrize(
    ("facts", "allowed", "fault"),
    [
        ({}, "true", None),
        ({}, False, "runs ubuntu 24.04; supported: Debian 12 and 13"),
        (
            {"version": "22.04", "python": "3.10.12"},
            True,
            "runs ubuntu 22.04; supported: Debian 12 and 13",
        ),
        ({"python": "3.10.12"}, True, "has Python 3.10.12, older than 3.11"),
        ({"id": "debian", "version": "11"}, True, "runs debian 11; supported: Debian 12 and 13"),
        ({"id": "debian", "version": "12", "python": "3.11.2"}, True, None),
    ],
)
def test_untested_system_is_let_in_where_it_is_asked_for(
    facts: dict[str, str], allowed: bool | str, fault: str | None
) -> None:
    roles = load_roles(DataLoader(), ROOT / "roles", {})
    answer = "".join(f"{name}={value}\n" for name, value in (NOBLE | facts).items())
    given = {"preflight_allow_untested": allowed, PROBE: {"stdout": answer}}
    host = HostView("app1", given, roles, Templar())
    found = list(host_problems(host, ["12", "13"], "3.11"))
    assert [one.fault for one in found] == ([fault] if fault else [])
    assert all("preflight_allow_untested: true lets in Ubuntu 24.04" in one.fix for one in found if "runs" in one.fault)
    told = list(untested_notices(host))
    assert bool(told) == (allowed is not False and "id" not in facts and "version" not in facts)
    assert all("app1 runs Ubuntu 24.04, on which this bundle is not tested" in one for one in told)


def test_what_differs_hangs_on_the_versions_of_packages() -> None:
    assert packages_of({"id": "debian", "version": "12"}) == {"nginx": "1.22", "postgresql": "15", "pgbouncer": "1.18"}
    assert packages_of({"id": "debian", "version": "13"}) == {"nginx": "1.26", "postgresql": "17", "pgbouncer": "1.24"}
    assert packages_of(NOBLE) == {"nginx": "1.24", "postgresql": "16", "pgbouncer": "1.22"}
    assert packages_of({"id": "debian", "version": "14"}) == packages_of({"id": "debian", "version": "13"})
    assert set(UNTESTED) < set(PACKAGES)


def test_what_callers_pass_is_not_for_inventories() -> None:
    """Such as whether role postgresql drops a database: what an inventory or -e says would overrule the caller."""
    roles = load_roles(DataLoader(), ROOT / "roles", {})
    given = {"postgresql_drop": True, "handshake_sockets": [], "release_prepared": {}, "postgresql_database": "shop"}
    host = HostView("app1", given, roles, Templar())
    told = {one.variable for one in handed_problems(host, roles)}
    assert told == {"postgresql_drop", "handshake_sockets", "release_prepared"}
    assert not [*unknown_problems(host, roles), *unknown_notices(host, roles)]


@pytest.mark.parametrize(("name", "meant"), [("rollback_version", "Write rollback_to."), ("rolling_restart", "")])
def test_misspelt_name_without_a_prefix_is_found(name: str, meant: str) -> None:
    """A rollback would take the release before, instead of the one that is named."""
    roles = load_roles(DataLoader(), ROOT / "roles", {})
    host = HostView("app1", {name: "v1", "rollback_to": "v1"}, roles, Templar())
    assert [one.fix for one in unknown_problems(host, roles)] == ([meant] if meant else [])


def test_what_roles_hand_over_can_be_read(tmp_path: Path) -> None:
    """By the inventory and by a template of the user's: it is there when roles run."""
    template = tmp_path / "nginx.conf.j2"
    template.write_text("worker_processes {{ preflight_host.cores }};\n")
    read = {"asgi_processes": "{{ preflight_host.cores }}", "asgi_note": "{{ prefligt }}"}
    host = HostView("app1", {name: trust_as_template(text) for name, text in read.items()}, {}, Templar())
    assert host.file_fault(str(template)) == ""
    assert list(value_problems(host, "asgi_processes", {"type": "int"})) == []
    (problem,) = value_problems(host, "asgi_note", {"type": "str"})
    assert problem.fault == "refers to prefligt, which is set nowhere"
    template.write_text("{{ prefligt }}\n")
    assert host.file_fault(str(template)) == "reads prefligt, which is set nowhere"


def test_placeholder_of_another_host_is_found(bench: Bench) -> None:
    """Through hostvars, where the template does not name the variable that holds it."""
    read = {**GOOD, "asgi_bell": "{{ hostvars['redis1'][['bell', 'text'] | join('_')] }}"}
    run = bench.run({"app": {"app1": machine()}, "redis": {"redis1": machine(bell_text="!!!SET x!!!")}}, read)
    assert run.faults() == [("host app1", "asgi_bell", "still holds a placeholder, !!!SET …")]


# --- single checks --------------------------------------------------------------------------------------------------


def problems(check: str, **variables: Any) -> list[tuple[str, str, str]]:
    """What one check says of a host with these variables."""
    host = HostView("app1", variables, {}, Templar())
    found = {function for _, function in CHECKS if getattr(function, "__name__", "") == check}
    (made,) = {numbers} if check == "numbers" else found
    return [(one.variable, one.fault, one.fix) for one in made(host)]


def test_all_modules_of_checks_are_registered() -> None:
    """A new one would check nothing until it is named."""
    modules = {path.stem for path in Path(checks.__file__).parent.glob("*.py")} - {"__init__"}
    assert sorted(checks.TOPICS) == sorted(modules)


@pytest.mark.parametrize(
    ("value", "fault", "meant"),
    [
        ("core.asgi", "has no colon", "core.asgi:application"),
        ("core.asgi.application", "has no colon", "core.asgi:application"),
        ("core/asgi.py:application", "is a file's path", "core.asgi:application"),
        ("core/asgi.py", "is a file's path", "core.asgi:application"),
        ("core.asgi.py:app", "is a file's path", "core.asgi:app"),
        ("core.wsgi:application", "is WSGI", "core.asgi:application"),
        ("core.asgi:application()", "calls the application", "core.asgi:application"),
        (" core.asgi:application", "is not of the form", "core.asgi:application"),
        ("core..asgi:application", "is not of the form", "module.path:attribute, such as core.asgi:application"),
        ("core.asgi:a:b", "is not of the form", "module.path:attribute, such as core.asgi:application"),
        ("", "has no colon", "module.path:attribute, such as core.asgi:application"),
        ("core-app.asgi:x", "is not of the form", "module.path:attribute, such as core.asgi:application"),
    ],
)
def test_asgi_path_is_explained(value: str, fault: str, meant: str) -> None:
    """Each way to get it wrong, with what was meant."""
    assert problems("asgi_application", asgi_application=value) == [
        ("asgi_application", f'"{value}" {found_fault(value)}', f"Write {meant}")
    ]
    assert fault in found_fault(value)


def found_fault(value: str) -> str:
    """The fault of an ASGI path."""
    return str(asgi_fault(value)[0])


NAME = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in ("wsgi", "py"))


@given(st.lists(NAME, min_size=1, max_size=4), NAME)
def test_right_asgi_paths_are_let_through(modules: list[str], attribute: str) -> None:
    """No false alarm."""
    assert asgi_fault(f"{'.'.join(modules)}:{attribute}") == ("", "")


@given(st.text(max_size=30))
def test_advice_is_taken(value: str) -> None:
    """What a message advises is right by the same check, whatever was written."""
    fault, meant = asgi_fault(value)
    if fault and not meant.startswith("module.path:attribute, "):
        assert asgi_fault(meant) == ("", "")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "-::1", "10.1.2.3", "192.168.0.1", "fd00::1", "100.64.0.1"])
def test_private_addresses(address: str) -> None:
    """Addresses that Redis may listen on."""
    assert problems("redis_bind", redis_bind=[address]) == []


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "*", "-::*", "8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "eth0"])
def test_public_addresses(address: str) -> None:
    """Addresses that Redis may not listen on, in a list and in a text."""
    assert len(problems("redis_bind", redis_bind=[address, "10.0.0.1"])) == 1
    assert len(problems("redis_bind", redis_bind=f"10.0.0.1 {address}")) == 1


@pytest.mark.parametrize("name", ["Dash", "1st", "a_b", "a" * 32, "", "a b", "a\n"])
def test_app_names(name: str) -> None:
    """Names that would not do as a folder, a unit and a user."""
    assert len(problems("release_name", release_app=name)) == 1
    assert problems("release_name", release_app="a" * 31) == []


def test_unprobed_host_is_no_good_host() -> None:
    """Where the probe was skipped, by tags for one, nothing is known of a host."""
    for probe in ({}, {"skipped": True}):
        host = HostView("app1", {PROBE: probe}, {}, Templar())
        assert [one.fault for one in host_problems(host, ["12"], "3.11")] == ["was not probed"]


def test_secret_needs_length() -> None:
    """Eleven characters are refused, twelve are not, and neither is told."""
    ((variable, fault, fix),) = problems("secret_lengths", redis_password="elevenchars")
    assert variable == "redis_password"
    assert "elevenchars" not in fault + fix
    assert problems("secret_lengths", redis_password="twelve-chars") == []


def test_one_source_of_code() -> None:
    """A folder or a repository, not both, not none."""
    assert "is not set, nor is release_repository" in problems("release_source")[0][1]
    assert (
        "is set, and so is release_repository"
        in problems("release_source", release_folder="/x", release_repository="y")[0][1]
    )
    assert problems("release_source", release_repository="y", release_folder="") == []


@pytest.mark.parametrize(
    "address",
    [
        "https://host/team/app.git", "https://me:a%2Fb@host:8443/app", "http://[::1]:80/app", "git@host:team/app.git",
        "ssh://git@host:22/~me/app", "file:///srv/git/app", "/srv/git/app", "host:app.git", "git@host:/srv/app.git",
        "https://token@host/@team/app", "",
    ],
)  # fmt: skip
def test_addresses_of_repositories(address: str) -> None:
    """All that git takes from anywhere."""
    assert problems("release_repository", release_repository=address) == []


@pytest.mark.parametrize(
    "address",
    [
        "app", "../app", "~/app", "-x", "host/team/app", "https://host", "https://host/a b", "ext::sh -c x",
        f"https://me:{SECRET}/x@host/app", f"https://me:{SECRET}@x@host/app", f"https://{SECRET} @host/app",
    ],
)  # fmt: skip
def test_no_addresses_of_repositories(address: str) -> None:
    """Told without what may be a secret."""
    ((variable, fault, fix),) = problems("release_repository", release_repository=address)
    assert variable == "release_repository" and "no address" in fault and SECRET not in fault + fix


def test_backend_is_a_folder_of_the_project() -> None:
    """Wherever the project comes from."""
    for right in (".", "./", "backend", "./src/server/", "a b"):
        assert problems("release_backend", release_backend=right) == [], right
    for wrong in ("/srv/app", "../other", "a/../..", "~/x", "a//b"):
        ((variable, _, _),) = problems("release_backend", release_backend=wrong)
        assert variable == "release_backend", wrong


def test_settings_module_is_there(project: Path) -> None:
    """By its dotted name, where its package is the project's."""
    (project / "src/server/conf/settings").mkdir()
    (project / "src/server/conf/local.py").touch()
    given_ = {"release_folder": str(project), "release_backend": "src/server"}
    for right in ("", "conf.settings", "conf.local", "installed.settings", "deployed_settings"):
        assert problems("release_settings_module", **given_, release_settings_module=right) == [], right
    for wrong, better in (("conf/local.py", "conf.local"), ("conf.local.py", "conf.local"), ("a b", "mysite.settings")):
        ((_, fault, fix),) = problems("release_settings_module", **given_, release_settings_module=wrong)
        assert fault == f'"{wrong}" is no dotted name of a module' and fix == f"Write {better}."
    ((_, fault, _),) = problems("release_settings_module", **given_, release_settings_module="conf.locale")
    assert fault == f"there is no {project / 'src/server/conf/locale.py'}"
    own = [{"path": "conf/locale.py", "content": ""}]
    given_ |= {"release_settings_module": "conf.locale"}
    assert problems("release_settings_module", **given_, release_files=own) == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose backend is two folders down, with a virtual environment that is none of it."""
    for name in ("src/server/conf", "src/.venv/lib", "src/node_modules/x", "far/too/far/down"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("src/server", "src/.venv/lib", "src/node_modules/x", "far/too/far/down"):
        (tmp_path / name / "manage.py").touch()
    return tmp_path


def test_project_folder(project: Path) -> None:
    """A folder that is relative, is not there, has no manage.py, or has it elsewhere."""
    assert "is a relative path" in problems("release_folder", release_folder="project")[0][1]
    assert "is no folder on this machine" in problems("release_folder", release_folder=str(project / "no"))[0][1]
    ((variable, fault, fix),) = problems("release_folder", release_folder=str(project), release_backend="backend")
    assert (variable, fault) == ("release_backend", f"{project / 'backend'} does not exist")
    assert fix == "manage.py is in src/server. Write:\n  release_backend: src/server"
    ((variable, fault, fix),) = problems("release_folder", release_folder=str(project / "src/server/conf"))
    assert variable == "release_folder"
    assert "No manage.py is in it or up to 3 folders below" in fix
    assert problems("release_folder", release_folder=str(project), release_backend="src/server") == []


def test_requirements_are_there(project: Path) -> None:
    """A wrong name is told with the right one."""
    (project / "src/server/requirements").mkdir()
    (project / "src/server/requirements/base.txt").touch()
    given_ = {"release_folder": str(project), "release_backend": "src/server"}
    ((variable, fault, fix),) = problems("release_requirements", **given_, release_requirements=["requirements.txt"])
    assert (variable, fault) == ("release_requirements", f"{project / 'src/server'} has no requirements.txt")
    assert fix.endswith("\n  release_requirements: [requirements/base.txt]")
    assert problems("release_requirements", **given_, release_requirements=["requirements/base.txt"]) == []


def asgi_module(project: Path, application: str, text: str | None) -> list[tuple[str, str, str]]:
    """What is said of a project whose conf/asgi.py has this text."""
    if text is not None:
        (project / "src/server/conf/asgi.py").write_text(text, encoding="utf-8")
    folders = {"release_folder": str(project), "release_backend": "src/server"}
    return problems("asgi_module", **folders, asgi_application=application)


def test_asgi_module_is_there(project: Path) -> None:
    """A wrong module is told with the right one."""
    ((_, fault, fix),) = asgi_module(project, "core.asgi:application", "application = 1")
    assert fault == f"there is no {project / 'src/server/core/asgi.py'}"
    assert fix == "Write conf.asgi:application."
    assert asgi_module(project, "conf.asgi:application", None) == []


def test_asgi_module_may_be_the_users_own(project: Path) -> None:
    """One that sets Django up before the project's is imported, say; it comes with the release."""
    given_ = {"release_folder": str(project), "release_backend": "src/server", "asgi_application": "deployed.asgi:app"}
    own = [{"path": "deployed/asgi.py", "content": "from conf.asgi import application as app"}]
    assert problems("asgi_module", **given_, release_files=own) == []
    ((variable, _, _),) = problems("asgi_module", **given_, release_files=[{"path": "deployed.py", "content": ""}])
    assert variable == "asgi_application"


@pytest.mark.parametrize(
    "text",
    [
        "application = 1",
        "application: int = 1",
        "if True:\n    application = 1",
        "try:\n    from x import application\nexcept ImportError:\n    pass",
        "from x import y as application",
        "async def application(scope): ...",
        "first, application = 1, 2",
        "from x import *",
        "def __getattr__(name): ...",
        "this does not parse here, perhaps it does on the host",
    ],
)
def test_assigned_attribute_is_seen(project: Path, text: str) -> None:
    """However the module comes by it; and no alarm where that cannot be told."""
    assert asgi_module(project, "conf.asgi:application", text) == []


@pytest.mark.parametrize(
    "text",
    [
        "app = 1", "def app():\n    application = 1", "app = f(application)", "\ufeffapp = 1",
        "app = f'{x[\'y\']}'  # which only Python 3.12 reads", "",
    ],
)  # fmt: skip
def test_missing_attribute_is_told(project: Path, text: str) -> None:
    """With the names that are there."""
    ((_, fault, fix),) = asgi_module(project, "conf.asgi:application", text)
    assert fault.endswith("does not assign application")
    assert ("It assigns app." in fix) == bool(text)


def test_systemd_must_have_booted_the_host() -> None:
    """Said of a host that it did not boot; where nothing is said, such a host gets supervisor."""
    probe = {PROBE: {"stdout": DEBIAN.replace("init=systemd", "init=init")}}
    ((variable, fault, fix),) = problems("asgi_manager", asgi_manager="systemd", **probe)
    assert variable == "asgi_manager" and "booted with init" in fault and "asgi_manager: supervisor" in fix
    assert problems("asgi_manager", asgi_manager="supervisor", **probe) == problems("asgi_manager", **probe) == []
    assert manager_of(HostView("app1", probe, {}, Templar())) == "supervisor"


@pytest.mark.parametrize("name", ["asgi_websocket_timeout", "asgi_websocket_connect_timeout"])
def test_what_uvicorn_cannot_do_is_refused(name: str) -> None:
    ((variable, fault, fix),) = problems("asgi_server_options", asgi_server="uvicorn", **{name: 60})
    assert variable == name and "uvicorn has no such limit" in fault and "daphne" in fix
    assert problems("asgi_server_options", asgi_server="daphne", **{name: 60}) == []


def test_pings_come_before_the_proxy_cuts() -> None:
    assert problems("asgi_pings", asgi_ping_interval=60, nginx_websocket_timeout=60)[0][0] == "asgi_ping_interval"
    assert problems("asgi_pings", asgi_ping_interval=20, nginx_websocket_timeout=60) == []


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"nginx_static_url": "static/"}, "does not begin with a slash"),
        ({"nginx_static_url": "/static"}, "has no slash at its end"),
        ({"nginx_media_url": "/media"}, "has no slash at its end"),
        ({"nginx_media_url": "/"}, "is every path of the site"),
        ({"nginx_media_url": "/media/../"}, "has an empty part or dots"),
        ({"nginx_media_url": "/static/", "nginx_static_url": "/static/"}, "is nginx_static_url too"),
        ({"nginx_websocket_paths": ["/static/"], "nginx_static_url": "/static/"}, "is nginx_static_url too"),
        ({"nginx_websocket_paths": ["^/ws/.*$"]}, "does not begin with a slash"),
        ({"nginx_websocket_paths": ["/ws/(chat|live)/"]}, "is not a plain path"),
        ({"nginx_websocket_paths": ["/ws/ { return 200; }"]}, "is not a plain path"),
        ({"nginx_websocket_paths": [""]}, "does not begin with a slash"),
        ({"nginx_path_prefix": "chat"}, "does not begin with a slash"),
        ({"nginx_path_prefix": "/chat/"}, "ends with a slash"),
        ({"nginx_path_prefix": "/"}, "ends with a slash"),
        ({"nginx_path_prefix": "/chat room"}, "is not a plain path"),
    ],
)
def test_paths_of_the_site(variables: dict[str, Any], fault: str) -> None:
    ((variable, told, _),) = problems("nginx_paths", **variables)
    assert variable == next(iter(variables)) and fault in told


def test_paths_that_are_right() -> None:
    paths = ["/", "/ws", "/chat/", "/ws/chat/", "/chat/"]
    given = {"nginx_static_url": "/assets/", "nginx_media_url": "/m/", "nginx_websocket_paths": paths}
    assert problems("nginx_paths", **given) == []
    assert problems("nginx_paths", nginx_path_prefix="/chat/v1", **given) == []
    assert problems("nginx_paths", nginx_static_url="", nginx_media_url="", nginx_websocket_paths=[]) == []


@pytest.mark.parametrize(
    "folder",
    ["media", "/srv/chat/shared", "/srv/chat/shared/", "/srv/chat/shared/../env", "/srv/other/shared/media",
     "/srv/chat/shared/m;", "/var/www"],
)  # fmt: skip
def test_media_are_below_shared(folder: str) -> None:
    given = {"release_app": "chat", "nginx_media_url": "/media/"}
    ((variable, told, fix),) = problems("nginx_media_folder", **given, nginx_media_folder=folder)
    assert variable == "nginx_media_folder" and "below /srv/chat/shared" in told and "/srv/chat/shared/media" in fix
    assert problems("nginx_media_folder", **given, nginx_media_folder="/srv/chat/shared/a.b/media") == []
    assert problems("nginx_media_folder", nginx_media_url="", nginx_media_folder=folder) == []


def test_hashed_names_are_told_by_expressions() -> None:
    assert "no regular expression" in problems("nginx_static_hashed", nginx_static_hashed=["(a"])[0][1]
    assert "quotation mark" in problems("nginx_static_hashed", nginx_static_hashed=['"; }'])[0][1]
    assert problems("nginx_static_hashed", nginx_static_hashed=[r"\.[0-9a-f]{12}\.css$"]) == []


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("asgi_wsgi_application", "core.wsgi", "not of the form"),
        ("asgi_wsgi_application", "core.wsgi:application()", "not of the form"),
        ("asgi_wsgi_application", "core.asgi:application", "is the ASGI application"),
        ("asgi_wsgi_threads", 0, "is 0"),
    ],
)
def test_wsgi_application(variable: str, value: Any, fault: str) -> None:
    given = {"asgi_application": "core.asgi:application", variable: value}
    ((told, text, _),) = problems("asgi_wsgi", asgi_http="wsgi", **given)
    assert told == variable and fault in text
    assert problems("asgi_wsgi", asgi_http="asgi", **given) == []
    assert problems("asgi_wsgi", asgi_http="wsgi", asgi_wsgi_application="core.wsgi:application") == []


SITES = (
    "site:pad=listen 80 default_server;listen [::]:80 default_server;listen 127.0.0.1:8000;server_name _ pad.test;\n"
)


@pytest.mark.parametrize(
    ("variable", "given", "fault"),
    [
        ("nginx_local_port", {"nginx_local_port": 8000}, "is 8000 for scrap, and that is a port of pad"),
        ("nginx_local_port", {"nginx_local_port": 80, "nginx_http_port": 81}, "is 80 for scrap"),
        ("nginx_server_names", {"nginx_server_names": ["_"]}, "has scrap answer to every name on port 80, as does pad"),
        ("nginx_server_names", {"nginx_server_names": ["a", "pad.test"]}, "has pad.test for scrap on port 80"),
    ],
)
def test_neighbours_differ(variable: str, given: dict[str, Any], fault: str) -> None:
    mine = {
        "release_app": "scrap",
        "nginx_local_port": 8001,
        "nginx_http_port": 80,
        "nginx_server_names": ["scrap.test"],
    }
    probe = {PROBE: {"stdout": DEBIAN + SITES}}
    ((told, text, fix),) = problems("nginx_neighbours", **mine | given, **probe)
    assert told == variable and fault in text and "scrap" in fix
    assert problems("nginx_neighbours", **mine, **probe) == []
    assert problems("nginx_neighbours", **mine | given | {"release_app": "pad"}, **probe) == [], (
        "its own site is no other"
    )
    if variable == "nginx_server_names":
        elsewhere = mine | given | {"nginx_http_port": 81}
        assert problems("nginx_neighbours", **elsewhere, **probe) == [], "another port is another site"


def test_name_of_the_project_is_free() -> None:
    host = "project:pad=there\nproject:pad-two=there\nusers=root redis pad-two \nrun=lock pad systemd \n"
    probe = {PROBE: {"stdout": DEBIAN + host}}
    for name, fault in (("redis", "is a user"), ("lock", "folder in /run")):
        ((variable, told, _),) = problems("release_name_is_free", release_app=name, **probe)
        assert variable == "release_app" and fault in told
    for name in ("pad", "scrap"):
        assert problems("release_name_is_free", release_app=name, **probe) == []
    workers = [{"name": "two-celery"}, {"name": "two"}, {"name": "twofold"}, {"name": "celery"}]
    told = [fault for _, fault, _ in problems("release_name_is_free", release_app="pad", asgi_workers=workers, **probe)]
    assert len(told) == 2 and "pad-two-celery" in told[0] and "pad-two would" in told[1]


def test_answer_about_the_data_is_clear() -> None:
    for value in ("", True, False, "true", "False", "yes", "no"):
        assert problems("remove_data", remove_data=value) == []
    ((variable, fault, _),) = problems("remove_data", remove_data="perhaps")
    assert variable == "remove_data" and '"perhaps" is neither' in fault


def test_token_that_stands_somewhere_is_made_somewhere() -> None:
    for name, value in (
        ("handshake_path", "/ws/?token={token}"),
        ("handshake_headers", {"Cookie": "sessionid={token}"}),
        ("handshake_subprotocols", ["bearer", "{token}"]),
    ):
        ((variable, fault, fix),) = problems("handshake_token", **{name: value})
        assert variable == name and "nothing creates a token" in fault and "handshake_token_command" in fix
        assert problems("handshake_token", **{name: value}, handshake_token="x") == []
        assert problems("handshake_token", **{name: value}, handshake_token_command=["mint"]) == []
    assert problems("handshake_token", handshake_path="/ws/", handshake_headers={}, handshake_subprotocols=[]) == []


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("handshake_headers", {"Coo kie": "x"}, "is not a header"),
        ("handshake_headers", {"Cookie": "a\r\nX: b"}, "is not a header"),
        ("handshake_headers", {"Origin": "https://x"}, "has Origin"),
        ("handshake_headers", {"Sec-WebSocket-Protocol": "x"}, "has Sec-WebSocket-Protocol"),
        ("handshake_subprotocols", ["a b"], "is not the name"),
        ("handshake_subprotocols", ["a,b"], "is not the name"),
        ("handshake_subprotocols", [""], "is not the name"),
    ],
)
def test_what_a_handshake_sends_can_be_sent(variable: str, value: Any, fault: str) -> None:
    ((told, text, _),) = problems("handshake_offers", **{variable: value})
    assert told == variable and fault in text
    right = {"handshake_headers": {"Cookie": "sessionid={token}"}, "handshake_subprotocols": ["bearer", "{token}"]}
    assert problems("handshake_offers", **right) == []


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"path": "../x", "content": "a"}, "leads above the project's folder"),
        ({"path": "a/../x", "content": "a"}, "leaves the project's folder"),
        ({"path": "..", "content": "a"}, "leaves the project's folder"),
        ({"path": "../", "content": "a"}, "is no path"),
        ({"path": "/etc/x", "content": "a"}, "is not relative to release_backend"),
        ({"path": "~/x", "content": "a"}, "is not relative to release_backend"),
        ({"path": "a/./x", "content": "a"}, "is not written plainly"),
        ({"path": "a//x", "content": "a"}, "is not written plainly"),
        ({"path": "$HOME/x", "content": "a"}, "is not written plainly"),
        ({"path": "x/", "content": "a"}, "is a folder"),
        ({"path": "", "content": "a"}, "is no path"),
        ({"path": "a\nb", "content": "a"}, "is no path"),
        ({"path": ".placed", "content": "a"}, "is one by which a release is known"),
        ({"path": "x"}, "has neither template nor content"),
        ({"path": "x", "content": "a", "template": "/x.j2"}, "has a template and content"),
        ({"path": "x", "template": "x.j2"}, "which is a relative path"),
        ({"path": "x", "template": "/nowhere/x.j2"}, "which is no file on this machine"),
        ({"path": "x", "content": "a", "mode": 416}, "the number 416"),
        ({"path": "x", "content": "a", "mode": "u=rw"}, 'the mode "u=rw"'),
        ({"path": "x", "content": "a", "mode": "0600"}, "the project cannot read it"),
        ({"path": "x", "content": "a", "mode": "0660"}, "can be written by root only"),
    ],
)
def test_own_files_have_a_place_and_a_text(entry: dict[str, Any], fault: str) -> None:
    """Each way to get one wrong, told once."""
    ((variable, told, _),) = problems("release_files", release_files=[entry])
    assert variable == "release_files"
    assert fault in told


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("../config.yaml", ""),
        ("../../config/local.yaml", ""),
        ("../../../x", "leads above the project's folder"),
        ("../server/x", "is not written plainly"),
        ("../server", "is not written plainly"),
        ("..//x", "is not relative to release_backend"),
        ("../../.complete", "is one by which a release is known"),
        ("../../.placed", "is one by which a release is known"),
    ],
)
def test_own_files_may_lie_above_the_backend_and_in_the_release(path: str, fault: str) -> None:
    """As far as the project's own folder."""
    found = problems("release_files", release_backend="src/server", release_files=[{"path": path, "content": "a"}])
    assert [told for _, told, _ in found] == ([f'the path "{path}" {fault}'] if fault else [])
    assert found == problems(
        "release_files", release_backend="./src/server/", release_files=[{"path": path, "content": "a"}]
    )


def test_own_files_do_not_meet() -> None:
    """Two of one path, and one below the other; different ones do well."""
    same = problems("release_files", release_files=[{"path": "a", "content": ""}, {"path": "a", "content": "b"}])
    assert [fault for _, fault, _ in same] == ["has 2 files a"]
    below = problems("release_files", release_files=[{"path": "a", "content": ""}, {"path": "a/b", "content": "b"}])
    assert [fault for _, fault, _ in below] == ["a is a file, and a/b lies in it"]
    good = [{"path": ".env", "content": ""}, {"path": "config/local.yml", "content": "b", "mode": "0644"}]
    assert problems("release_files", release_files=good) == []


def test_own_templates_can_be_filled_in(tmp_path: Path) -> None:
    """Undefined names and wrong syntax are found, names that come later are not; no value is told."""
    template = tmp_path / "env.j2"
    files = [{"path": ".env", "template": str(template)}]
    texts = {
        "KEY={{ vault_kee }}": "reads vault_kee, which is set nowhere",
        "KEY={% if %}": "cannot be filled in: ",
        "KEY={{ vault_key | int('x', 'y', 'z') }}": "cannot be filled in: ",
        "KEY={{ vault_key }} {{ _asgi_run }} {{ ansible_facts.x }} {{ later | default('') }}": "",
    }
    for text, fault in texts.items():
        template.write_text(text)
        found = problems("release_files", release_files=files, vault_key=SECRET)
        assert [fault in told for _, told, _ in found] == ([True] if fault else []), (text, found)
        assert SECRET not in str(found)


@pytest.mark.parametrize(
    ("paths", "fault"),
    [
        (["/srv/media/"], "is not relative to release_backend"),
        (["../media/"], "leaves the project's folder"),
        (["."], "is not written plainly"),
        ([""], "is no path"),
        (["manage.py"], "belongs to the code"),
        (["media/", "media/avatars/"], "media/avatars/ lies in media/"),
        (["media/avatars/", "media/"], "media/avatars/ lies in media/"),
        (["media", "media/"], "media/ lies in media"),
        (["db.sqlite3", "db.sqlite3"], "db.sqlite3 lies in db.sqlite3"),
    ],
)
def test_shared_paths_are_apart_and_in_the_project(paths: list[str], fault: str) -> None:
    """Each way to get one wrong, told once."""
    assert [told for _, told, _ in problems("release_shared_paths", release_shared_paths=paths)] == [
        fault if " lies in " in fault else f'"{paths[0]}" {fault}'
    ]


def test_shared_paths_and_own_files_are_apart() -> None:
    """A file of a release in what the project may write would be changed under it."""
    own = [{"path": "media/robots.txt", "content": ""}, {"path": "mediation", "content": ""}]
    ((variable, fault, _),) = problems("release_shared_paths", release_shared_paths=["media/"], release_files=own)
    assert (variable, fault) == ("release_files", "media/robots.txt lies in what release_shared_paths has, media/")
    assert problems("release_shared_paths", release_shared_paths=["media/", "db.sqlite3"], release_files=own[1:]) == []


PART = st.from_regex(r"[a-z][a-z0-9_.-]{0,6}", fullmatch=True)


@given(st.lists(PART, min_size=1, max_size=4).map("/".join))
def test_plain_paths_are_let_through(path: str) -> None:
    """No false alarm."""
    assert path_fault(path) == path_fault(f"{path}/") == ""


def test_redis_needs_a_password_unless_anonymous() -> None:
    """None at all is told as any required variable is."""
    assert problems("secret_lengths", redis_password="")[0][1] == "is required and not set"
    assert problems("secret_lengths", redis_password="", redis_anonymous=True) == []
    assert len(problems("secret_lengths", redis_password="short", redis_anonymous=True)) == 1


@pytest.mark.parametrize(("bind", "count"), [(["127.0.0.1", "-::1"], 0), (["127.0.0.1", "10.0.0.5"], 1), (["eth0"], 0)])
def test_redis_without_password_is_for_loopback(bind: list[str], count: int) -> None:
    """On any other address, whoever reaches it could read all messages."""
    found = problems("redis_anonymous", redis_bind=bind, redis_anonymous=True)
    assert [variable for variable, _, _ in found] == ["redis_anonymous"] * count
    assert problems("redis_anonymous", redis_bind=bind, redis_anonymous=False) == []


def test_redis_has_sixteen_databases() -> None:
    """Numbers that a layer could not select."""
    assert [bool(problems("redis_database", redis_database=number)) for number in (-1, 0, 15, 16)] == [1, 0, 0, 1]


OTHER = "redis_projects=project=shop user=channels prefix=asgi database=0 anonymous=yes;"
MINE = {"redis_user": "me", "redis_prefix": "me", "redis_database": 0, "redis_password": SECRET, "release_app": "me"}


@pytest.mark.parametrize(
    ("values", "variables"),
    [
        ({}, []),
        ({"release_app": "shop", "redis_user": "channels", "redis_prefix": "asgi"}, []),  # it is this project itself
        ({"redis_user": "channels"}, ["redis_user"]),
        ({"redis_user": "channels", "redis_password": ""}, []),
        ({"redis_prefix": "asgi"}, ["redis_prefix"]),
        ({"redis_prefix": "asgi2"}, ["redis_prefix"]),
        ({"redis_prefix": "as"}, ["redis_prefix"]),
        ({"redis_prefix": "asgi", "redis_database": 1}, []),
        ({"redis_anonymous": True}, ["redis_anonymous"]),
        ({"redis_user": "default"}, ["redis_user"]),
        ({"redis_user": "channels", "redis_prefix": "asgi"}, ["redis_user", "redis_prefix"]),
    ],
)
def test_projects_on_one_redis_are_apart(values: dict[str, Any], variables: list[str]) -> None:
    """Each clash with what the host holds already, and none where there is none."""
    found = problems("redis_projects", **{PROBE: {"stdout": OTHER}, **MINE, **values})
    assert [variable for variable, _, _ in found] == variables
    assert all("project shop" in fault for _, fault, _ in found)


@pytest.mark.parametrize(
    ("aliases", "fault"),
    [
        ({"redis": "127.0.0.1", "my_db-1.local": "10.0.0.5", "cache": "fd00::1"}, ""),
        ({"re dis": "127.0.0.1"}, '"re dis" is not a host name'),
        ({"redis\n": "127.0.0.1"}, "is not a host name"),
        ({"-redis": "127.0.0.1"}, "is not a host name"),
        ({"10.0.0.1": "127.0.0.1"}, "is not a host name"),
        ({"localhost": "10.0.0.5"}, "is this host already"),
        ({"redis": "redis.example.org"}, 'leads to "redis.example.org", which is no IP address'),
        ({"redis": "10.0.0.5/24"}, "which is no IP address"),
        ({"db": "10.0.0.6"}, "db leads to 10.0.0.5 for the project shop on this host"),
        ({"db": "10.0.0.5"}, ""),
        ({"mine": "10.0.0.5"}, ""),
    ],
)
def test_names_of_hosts_lead_to_one_address(aliases: dict[str, str], fault: str) -> None:
    """Each way to get one wrong, and what another project of the host has."""
    there = "host_aliases=# BEGIN names of shop;10.0.0.5 db;# END names of shop;"
    there += "# BEGIN names of dashboard;10.0.0.9 mine;# END names of dashboard;"
    found = problems(
        "base_host_aliases", base_host_aliases=aliases, release_app="dashboard", **{PROBE: {"stdout": there}}
    )
    assert [fault in told for _, told, _ in found] == ([True] if fault else []), found


@pytest.mark.parametrize(
    ("password", "fault"),
    [("short", "has fewer than 12"), ("pässwörter-sind-lang", "not printable ASCII"), ("p@ss/w:rd?#%+ '\"$\\", "")],
)
def test_passwords_of_the_database(password: str, fault: str) -> None:
    """Each fault, without a word of the password."""
    found = problems("postgresql_password", postgresql_password=password)
    assert [fault in told for _, told, _ in found] == ([True] if fault else [])
    assert password not in str(found)


@pytest.mark.parametrize("name", ["Shop", "my-shop", "1shop", "", "a" * 64, "postgres", "pg_shop", "all", "template1"])
def test_names_of_the_database(name: str) -> None:
    """Names that would need quotes, or mean something else."""
    found = problems("postgresql_names", postgresql_database=name, postgresql_user=name)
    assert [variable for variable, _, _ in found] == ["postgresql_database", "postgresql_user"]
    assert problems("postgresql_names", postgresql_database="_shop2", postgresql_user="a" * 63) == []


@pytest.mark.parametrize(
    ("values", "variable"),
    [
        ({"postgresql_bind": ["127.0.0.1", "10.0.0.5"]}, ""),
        ({"postgresql_clients": ["127.0.0.1", "10.0.0.0/24", "fd00::5"]}, ""),
        ({"postgresql_bind": ["0.0.0.0"]}, "postgresql_bind"),
        ({"postgresql_bind": ["*"]}, "postgresql_bind"),
        ({"postgresql_bind": ["8.8.8.8"]}, "postgresql_bind"),
        ({"postgresql_bind": ["10.0.0.5"], "postgresql_host": "127.0.0.1", "group_names": ["app"]}, "postgresql_bind"),
        ({"postgresql_bind": ["10.0.0.5"], "postgresql_host": "10.0.0.5", "group_names": ["app"]}, ""),
        ({"postgresql_clients": ["app-1"]}, "postgresql_clients"),
        ({"postgresql_clients": ["0.0.0.0/0"]}, "postgresql_clients"),
        ({"postgresql_clients": ["8.8.8.0/24"]}, "postgresql_clients"),
        ({"postgresql_clients": ["10.0.0.5/24"]}, "postgresql_clients"),
    ],
)
def test_addresses_of_the_database(values: dict[str, Any], variable: str) -> None:
    """It is not on the network of everybody, and where the project looks for it."""
    assert [one for one, _, _ in problems("postgresql_addresses", **values)] == ([variable] if variable else [])


class Hostvars(dict[str, Any]):
    """As much of Ansible's as a check reads."""

    def raw_get(self, name: str) -> Any:
        """A host's variables."""
        return self[name]


def test_hosts_of_the_database() -> None:
    """An address for everybody who is elsewhere."""
    apart = {"groups": {"app": ["a1", "a2"], "database": ["app1"]}}
    known = {**apart, "hostvars": Hostvars(a1={"private_address": "10.0.0.1"}, a2={})}
    found = problems("postgresql_hosts", **known)
    assert [one[:2] for one in found] == [
        ("postgresql_clients", "the address of a2 is not known"),
        ("postgresql_host", "the address of this host is not known"),
    ]
    assert problems("postgresql_hosts", **known, postgresql_clients=["10.0.0.0/8"], private_address="10.0.0.9") == []
    alone = {"groups": {"app": ["app1"], "database": ["app1"]}, "hostvars": Hostvars(app1={})}
    assert problems("postgresql_hosts", **alone) == []


@pytest.mark.parametrize(
    ("variable", "wrong"),
    [
        ("postgresql_port", 0),
        ("postgresql_memory_mb", 10),
        ("postgresql_max_connections", 5),
        ("nginx_http_port", 65536),
        ("nginx_local_port", "0"),
        ("asgi_processes", -1),
        ("asgi_start_seconds", 0),
        ("release_drain_seconds", -5),
        ("redis_port", 0),
        ("handshake_idle_seconds", -0.5),
        ("base_apt_cache_seconds", -1),
    ],
)
def test_numbers_are_within_limits(variable: str, wrong: Any) -> None:
    """Numbers that nothing could start with; each is looked at for the hosts of its role."""
    assert [one for one, _, _ in problems("numbers", **{variable: wrong})] == [variable]
    role = variable.partition("_")[0]
    (own,) = [found for name, found in CHECKS if getattr(found, "keywords", {}) == {"role": f"{role}_"}]
    host = HostView("app1", {variable: wrong}, {}, Templar())
    assert [one.variable for one in own(host)] == [variable]


def test_numbers_that_are_right_are_let_through() -> None:
    """All defaults, and what is no number is told elsewhere."""
    given: dict[str, Any] = {}
    for file in sorted(ROOT.glob("roles/*/defaults/main.yml")):
        given |= yaml.safe_load(file.read_text()) or {}
    plain = {name: given[name] for name in LIMITS if not isinstance(given[name], str)}
    assert len(plain) > 20 and problems("numbers", **plain) == []
    assert problems("numbers", redis_port="many", asgi_processes=None, nginx_http_port=[]) == []
    assert set(LIMITS) <= set(given)


@pytest.mark.parametrize(
    ("value", "variables"),
    [
        ({}, []),
        ({"postgresql_database": "chat"}, ["postgresql_database"]),
        ({"postgresql_database": "chat", "postgresql_user": "chat_user"}, ["postgresql_database", "postgresql_user"]),
        ({"release_app": "chat", "postgresql_database": "chat", "postgresql_user": "chat_user"}, []),
    ],
)
def test_projects_in_one_postgresql_are_apart(value: dict[str, Any], variables: list[str]) -> None:
    """Two would share their data, and with one of them the other's would go."""
    there = (
        "postgresql_projects=# BEGIN project chat;host chat chat_user 127.0.0.1/32 scram-sha-256;# END project chat;"
    )
    mine = {"release_app": "shop", "postgresql_database": "shop", "postgresql_user": "shop", **value}
    found = problems("postgresql_projects", **mine, **{PROBE: {"stdout": there}})
    assert [variable for variable, _, _ in found] == variables
    assert all("project chat" in fault for _, fault, _ in found)


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("redis_prefix", "a b", "with a meaning for Redis"),
        ("redis_prefix", "a*", "with a meaning for Redis"),
        ("redis_user", "", "is empty, or"),
        ("redis_user", "a b", "with a meaning for Redis"),
    ],
)
def test_names_in_redis_are_plain(variable: str, value: str, fault: str) -> None:
    """A pattern would be of others' names, too."""
    ((told, text, _),) = problems("redis_names", **{variable: value})
    assert told == variable and fault in text
    right = {"redis_prefix": "shop:1", "redis_user": "shop-1"}
    assert problems("redis_names", **right) == []


@pytest.mark.parametrize(
    ("given", "variable", "fault"),
    [
        ({"redis_extra_users": ["cache on"]}, "redis_extra_users", "is not `user NAME RULES`"),
        ({"redis_extra_users": ["user cache"]}, "redis_extra_users", "is not `user NAME RULES`"),
        ({"redis_extra_users": ["user a on\nuser b on"]}, "redis_extra_users", "is not `user NAME RULES`"),
        ({"redis_extra_users": ["user shop on"]}, "redis_extra_users", "declares shop, who is there already"),
        ({"redis_extra_users": ["user a on", "user a off"]}, "redis_extra_users", "declares a, who is there"),
        ({"redis_extra_users": ["user acl-operator on"]}, "redis_extra_users", "declares acl-operator"),
        ({"redis_anonymous": True, "redis_user": "default"}, "redis_anonymous", "which redis_user gives a password"),
        ({"redis_anonymous": True, "redis_extra_users": ["user default on"]}, "redis_extra_users", "declares default"),
    ],
)
def test_more_users_of_redis_are_lines_for_others(given: dict[str, Any], variable: str, fault: str) -> None:
    """Redis would not start with a wrong one. No line is shown, since it may hold a password."""
    ((told, text, _),) = problems("redis_extra_users", **{"redis_user": "shop", "redis_password": SECRET, **given})
    assert told == variable and fault in text
    right = {
        "redis_user": "shop",
        "redis_password": SECRET,
        "redis_extra_users": [f"user cache on >{SECRET} ~c:* +@read"],
    }
    assert problems("redis_extra_users", **right) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("nginx_server_names", ["a.example.org; listen 81"]),
        ("nginx_server_names", ["a b"]),
        ("nginx_server_names", ["https://{x}"]),
        ("nginx_server_names", []),
        ("nginx_header_buffers", "32k"),
        ("nginx_body_size", "10 MB"),
        ("nginx_maintenance_allow", ["10.0.0.1/8"]),
        ("nginx_maintenance_allow", ["office"]),
    ],
)
def test_what_nginx_reads_is_such(variable: str, value: Any) -> None:
    """With a wrong one in a file, nginx reloads for no project of the host."""
    assert [told for told, _, _ in problems("nginx_values", **{variable: value})] == [variable]
    right: dict[str, Any] = {
        "nginx_server_names": ["_", "*.example.org", "~^(www\\.)?x\\.org$", "xn--bcher-kva.example", "127.0.0.1"],
        "nginx_header_buffers": "1 12k", "nginx_body_size": 0, "nginx_maintenance_allow": ["127.0.0.1", "fd00::/8"],
    }  # fmt: skip
    assert problems("nginx_values", **right) == []


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"ALLOWED-HOSTS": "x"}, '"ALLOWED-HOSTS" cannot be the name'),
        ({"1ST": "x"}, '"1ST" cannot be the name'),
        ({"HOSTS": ["a", "b"]}, "HOSTS is not a string"),
        ({"EMPTY": None}, "EMPTY has no value"),
        ({"A": f"{SECRET}\0"}, "A contains a NUL"),
    ],
)
def test_environment_is_one_that_a_process_can_have(given: dict[str, Any], fault: str) -> None:
    """The file is read by a shell, which would take the rest of a line for a command."""
    for variable in ("release_environment", "release_secrets"):
        ((told, text, fix),) = problems("release_environment", **{variable: given})
        assert told == variable and fault in text and SECRET not in text + fix
        assert problems("release_environment", **{variable: {"A_1": "x", "DEBUG": False, "N": 3, "_E": ""}}) == []


def test_database_is_not_among_the_uploads() -> None:
    """nginx would give it to everybody."""
    given = {"release_app": "shop", "nginx_media_url": "/media/", "nginx_media_folder": "/srv/shop/shared/data"}
    found = problems("nginx_media_folder", **given, release_shared_paths=["data/db.sqlite3", "data/x/", "db.sqlite3"])
    assert [fault for _, fault, _ in found] == [
        "has data/db.sqlite3 of release_shared_paths in it, which all could read"
    ]


def test_static_files_are_apart_from_the_prefix() -> None:
    """nginx would refuse the same path twice."""
    given = {"nginx_path_prefix": "/static", "nginx_static_url": "/static/", "nginx_websocket_paths": ["/static/"]}
    assert [told for told, _, _ in problems("nginx_paths", **given | {"nginx_websocket_paths": ["/ws/"]})] == [
        "nginx_static_url"
    ]
    assert problems("nginx_paths", **given | {"nginx_static_url": ""}) == []


def test_database_that_is_read_is_there() -> None:
    """Without a host in the group there is no address to read."""
    reads = {"release_secrets": trust_as_template("{{ {'DATABASE_URL': postgresql_url} }}")}
    known = {"postgresql_url": "x", "postgresql_host": "y"}
    found = problems("release_database", **reads, **known, groups={"database": []})
    assert [one[:2] for one in found] == [("release_secrets", "reads postgresql_url, but group database has no host")]
    assert problems("release_database", **reads, **known, groups={"database": ["db1"]}) == []
    redis = {"release_secrets": {"BROKER": "{{ redis_url }}"}, "redis_url": "rediss://x"}
    found = problems("release_redis", **redis, groups={"redis": []})
    assert [one[:2] for one in found] == [("release_secrets", "reads redis_url, but group redis has no host")]
    assert problems("release_redis", **redis, groups={"redis": ["r1"]}) == []


@pytest.mark.parametrize(
    ("name", "fault", "fix"),
    [
        ("Pipfile", "it names no versions to install", "Run pipenv lock, and name Pipfile.lock."),
        ("setup.py", "its dependencies come with the project itself", "Write release_packages: [.]."),
        ("environment.yml", "it is no requirements file", "Name one of these"),
        ("pylock.toml", "its format is not read", "Export a requirements.txt"),
        ("uv.lock]x[", "it is no path", "Write such as uv.lock[production]."),
    ],
)
def test_requirements_of_no_known_kind(name: str, fault: str, fix: str) -> None:
    """Each with what to do instead, wherever the project comes from."""
    found = problems("release_requirements", release_requirements=[name], release_repository="x")
    assert [one[0] for one in found] == ["release_requirements"]
    assert fault in found[0][1] and fix in found[0][2]


def test_requirements_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    """Lock files too, extras aside, and with what belongs beside them."""
    for name in ("manage.py", "uv.lock", "poetry.lock", "requirements.txt"):
        (tmp_path / name).write_text("")
    folder = {"release_folder": str(tmp_path), "release_backend": "."}
    good_names = ["uv.lock[production,pg]", "requirements.txt"]
    assert problems("release_requirements", **folder, release_requirements=good_names) == []
    ((_, fault, _),) = problems("release_requirements", **folder, release_requirements=[])
    assert "nothing would be installed" in fault
    assert problems("release_requirements", **folder, release_requirements=[], release_packages=["django"]) == []
    ((_, fault, fix),) = problems("release_requirements", **folder, release_requirements=["poetry.lock"])
    assert "no pyproject.toml beside" in fault and str(tmp_path / "pyproject.toml") in fix
    ((_, fault, fix),) = problems("release_requirements", **folder, release_requirements=["Pipfile.lock"])
    assert "has no Pipfile.lock" in fault and "requirements.txt" in fix


@pytest.mark.parametrize("item", ["gunicorn==", "two words", "redis", "-r other.txt", "a\nb==1", "redis=7"])
def test_constraints_name_versions(item: str) -> None:
    """Anything else would be found only when an environment is made."""
    ((variable, fault, _),) = problems("release_packages", release_constraints=["django<6", item])
    assert variable == "release_constraints" and item.split()[0] in fault


def test_packages_are_lines_of_requirements() -> None:
    """Names, versions, places; and credentials in a wrong one are not told."""
    right = ["gunicorn", "psycopg[binary]>=3", "-e .", ".", "git+https://host/x.git", "x @ git+https://host/x.git@v1"]
    assert problems("release_packages", release_packages=right) == []
    ((_, fault, _),) = problems("release_packages", release_packages=[f"= https://me:{SECRET}@host/x"])
    assert "is no requirement" in fault and SECRET not in fault


def test_indexes_are_addresses_and_are_not_told() -> None:
    """Their values may be secrets, also where they are wrong."""
    right = ["https://me:secret@packages.example.org/simple/", "corp=https://host/simple", "file:///srv/simple/"]
    assert problems("release_indexes", release_index=right[0], release_extra_indexes=right) == []
    for wrong in ("packages.example.org", f"me:{SECRET}@host", "https://", "pypi", "ftp://host/", "https://a b/"):
        found = problems("release_indexes", release_index=wrong, release_extra_indexes=[wrong])
        assert [one[0] for one in found] == ["release_index", "release_extra_indexes"], wrong
        assert wrong not in str(found) or wrong in ("pypi", "https://", "packages.example.org")


@pytest.mark.parametrize(
    ("version", "right"),
    [("v1.4.2", True), ("feature/x", True), ("abc1234", True), ("-x", False), ("a b", False), ("a..b", False)],
)
def test_versions_are_names(version: str, right: bool) -> None:
    """None that git would take for an option or a range."""
    assert (problems("release_version", release_version=version) == []) is right


def private_key(folder: Path, *options: str) -> str:
    """A new private SSH key's text."""
    file = folder / f"key{len(list(folder.iterdir()))}"
    subprocess.run(["ssh-keygen", "-q", "-f", str(file), *(options or ("-t", "ed25519", "-N", ""))], check=True)
    return file.read_text()


def test_deploy_key_is_a_key_that_works_alone(tmp_path: Path) -> None:
    """Whole, private, and without a passphrase; nothing of it is told."""
    key = private_key(tmp_path)
    repository = {"release_repository": "git@host:team/app.git"}
    pem = private_key(tmp_path, "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "")
    for right in (key, key.strip(), key.replace("\n", "\r\n"), pem, ""):
        assert problems("release_deploy_key", release_deploy_key=right, **repository) == []
    wrong = {
        "has a passphrase": private_key(tmp_path, "-t", "ed25519", "-N", SECRET),
        "has a passphrase, which": private_key(tmp_path, "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", SECRET),
        "is a part of": key[: len(key) // 2],
        "is garbled": key.replace("b3BlbnNzaC", "????", 1),
        "is no private SSH key": "hunter2",
        "is the public half": "ssh-ed25519 AAAA me@here",
        "is a part": " ".join(key.splitlines()[:1]),
    }
    for fault, text in wrong.items():
        ((variable, told, _),) = problems("release_deploy_key", release_deploy_key=text, **repository)
        assert variable == "release_deploy_key" and fault in told and text not in told
    for other in ({"release_folder": "/x"}, {"release_repository": "https://host/x.git"}):
        assert len(problems("release_deploy_key", release_deploy_key=key, **other)) == 1


def test_system_packages_are_debians() -> None:
    """Names only."""
    assert problems("release_system_packages", release_system_packages=["gcc", "libpq-dev", "g++", "libc6:amd64"]) == []
    for wrong in ("libpq dev", "gcc=4:12", "Gcc", "--reinstall", "x"):
        assert len(problems("release_system_packages", release_system_packages=["gcc", wrong])) == 1, wrong


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("python3", True), ("3.12", True), (3.12, True), ("python3.11", True), ("/opt/python/bin/python3", True),
        ("3.12.1", True), ("cpython@3.12", True), ("pypy3.10", True), ("3.13t", True),
        (3.1, False), ("python", False), ("latest", False), ("bin/python3", False), (">=3.11", False),
    ],
)  # fmt: skip
def test_pythons_are_named(value: Any, right: bool) -> None:
    """As a version or a path; what YAML has made a number of is noticed."""
    assert (problems("release_python", release_python=value) == []) is right
