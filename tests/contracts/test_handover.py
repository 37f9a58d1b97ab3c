"""What passes between roles has a public name, and stands in roles/README.md with who makes it and who reads it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import HANDED
from test_specs import ROLES, ROOT, entry_points, facts_set, load, opened, tasks

# Has all of the names, and reads none.
NAMING = {Path("plugins/module_utils/preflight/view.py")}
# Plugins of a role that are not called like it.
OF_ROLES = {"generation": "asgi"}
CALLS = ("ansible.builtin.import_role", "ansible.builtin.include_role")
# Python on the controller can read variables of a run; modules get arguments and nothing else.
PYTHON = ("action", "filter", "lookup", "module_utils", "strategy")
# An attribute that Ansible gives to plugins.
ANSIBLES = {"_load_name"}
# Not behind a brace or a dollar sign: there it is a part of a name of nginx's.
PRIVATE = re.compile(rf"(?<![\w}}$])__?({'|'.join(ROLES)})_\w+")


@cache
def texts() -> dict[Path, str]:
    """All that can read a variable of a run, by its path in the bundle, without lines that are comments."""
    files = [*(ROOT / "playbooks").glob("*.yml"), ROOT / "site.yml"]
    for folder in ("roles", "templates", *(f"plugins/{kind}" for kind in PYTHON)):
        found = (ROOT / folder).glob("*/**/*" if folder == "roles" else "**/*")
        files += [path for path in found if path.is_file() and "__pycache__" not in path.parts]
    return {
        path.relative_to(ROOT): "\n".join(
            line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
        )
        for path in sorted(files)
    }


def owner(path: Path) -> str:
    """The role whose file this is, or the path of a playbook or plugin that is no role's."""
    if path.parts[0] in ("roles", "templates"):
        return path.parts[1]
    names = (path.stem, path.parent.name) if path.parts[0] == "plugins" else ()
    return next((role for name in names if (role := OF_ROLES.get(name, name)) in ROLES), str(path))


def foreign(path: Path, text: str) -> list[str]:
    """Private names of other roles in a text."""
    return sorted({match[0] for match in PRIVATE.finditer(text) if match[1] != owner(path)} - ANSIBLES)


@pytest.mark.parametrize("path", texts(), ids=str)
def test_private_names_stay_in_their_role(path: Path) -> None:
    names = foreign(path, texts()[path])
    assert not names, f"{path} reads {', '.join(names)}: see roles/README.md on what roles hand over"


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        ("roles/nginx/tasks/main.yml", "when: _preflight_host.init == 'systemd'", ["_preflight_host"]),
        ("roles/nginx/vars/main.yml", "{{ hostvars[x].__redis_users }} {{ _nginx_app }}", ["__redis_users"]),
        ("playbooks/site.yml", "when: __preflight_report is not defined", ["__preflight_report"]),
        ("templates/nginx/limits.conf.j2", "${{ _nginx_app }}_handshake_key $x_redis_y", []),
        ("plugins/module_utils/doctor/hosts.py", 'variables["_asgi_home"]', ["_asgi_home"]),
        ("plugins/action/generation.py", 'variables["_asgi_base"], variables["_nginx_app"]', ["_nginx_app"]),
        ("plugins/module_utils/preflight/view.py", 'PROBE = "__preflight_probe"', []),
    ],
)
def test_private_names_are_found(path: str, text: str, names: list[str]) -> None:
    assert foreign(Path(path), text) == names


def given(path: Path, task: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a task or a play gives to a role beside the options of the entry point that it runs, and who gives it."""
    for call in CALLS:
        if called := task.get(call):
            role = called["name"].removeprefix("channels.stack.")
            options = entry_points(role)[called.get("tasks_from", "main")].get("options") or {}
            yield from ((name, owner(path)) for name in task.get("vars") or {} if name not in options)
    if "ansible.builtin.import_playbook" in task:
        yield from ((name, owner(path)) for name in task.get("vars") or {})


@cache
def makers() -> dict[str, set[str]]:
    """What the tree hands over, and who makes it: public facts of roles, and variables that roles are called with."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        for play in load(path):
            for task in [play, *opened(play.get("tasks") or [])]:
                for name, who in given(path.relative_to(ROOT), task):
                    found[name].add(who)
    for role in ROLES:
        for path, task in tasks(role):
            for name in facts_set(task):
                if not name.startswith("_"):
                    found[name].add(role)
            for name, who in given(path, task):
                found[name].add(who)
    return found


def readers(name: str) -> set[str]:
    """Who reads a variable, without those who make it."""
    reading = re.compile(rf"(?<!\w){name}\b")
    found = {owner(path) for path, text in texts().items() if path not in NAMING and reading.search(text)}
    return found - makers()[name]


def listed() -> dict[str, list[str]]:
    """The table in roles/README.md: from whom, to whom and what, by name."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|(.*)\|$", (ROOT / "roles" / "README.md").read_text(), re.MULTILINE)
    return {name: cells for name, *cells in rows}


def quoted(cell: str) -> set[str]:
    """The names in a cell."""
    return set(re.findall(r"`([\w./]+)`", cell))


def test_list_is_what_the_tree_hands_over() -> None:
    """And preflight refuses just these in inventories."""
    assert set(listed()) == set(makers()) == HANDED


@pytest.mark.parametrize("name", sorted(HANDED))
def test_list_says_from_whom_and_to_whom(name: str) -> None:
    made_by, read_by, _ = listed()[name]
    assert quoted(made_by) == makers()[name], f"who makes {name}"
    assert quoted(read_by) == readers(name), f"who reads {name}"


@pytest.mark.parametrize("name", sorted(HANDED))
def test_list_has_the_keys_that_are_read(name: str) -> None:
    """Where the value is a mapping."""
    keys = {key for text in texts().values() for key in re.findall(rf"\b{name}\.(\w+)", text)}
    for role in ROLES:
        for _, task in tasks(role):
            value = (task.get("ansible.builtin.set_fact") or {}).get(name)
            keys |= set(value) if isinstance(value, dict) else set()
    assert quoted(listed()[name][2]) == keys
