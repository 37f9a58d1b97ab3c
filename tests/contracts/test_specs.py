"""The variables' contract: specs, defaults, names and the reference say the same, and every variable has a reader."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import HANDED

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
# Checks the variables of all roles, which does not make it their reader.
JUDGE = ROOT / "plugins" / "module_utils" / "preflight"
# Said by a role for inventories to read, and for nobody else.
FOR_INVENTORIES = {"postgresql_direct_url", "postgresql_url", "redis_sentinels", "redis_url", "redis_urls"}
# Public names without their role's prefix, with their role: what people type in a hurry. No further ones.
WITHOUT_PREFIX = {"rollback_to": "asgi"}
# Read by the judge alone, and meant for it: how it is to look, or what it computes for roles.
FOR_THE_JUDGE = {
    "certificate_acme_check_names", "hardening_clock_seconds", "load_most", "nginx_worker_connections",
    "preflight_allow_sqlite", "preflight_allow_untested",
}  # fmt: skip


class AnyTagLoader(yaml.SafeLoader):
    """Reads files with Ansible's own tags, such as !unsafe, as plain values."""


AnyTagLoader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


@cache
def load(path: Path) -> Any:
    """A YAML file's content as it is written, or an empty mapping."""
    return (yaml.load(path.read_text(encoding="utf-8"), AnyTagLoader) or {}) if path.is_file() else {}


def entry_points(role: str) -> dict[str, dict[str, Any]]:
    """What the spec of a role has, by entry point: `main`, and each `tasks_from`."""
    return load(ROOT / "roles" / role / "meta" / "argument_specs.yml").get("argument_specs", {})


def options(role: str) -> dict[str, dict[str, Any]]:
    """The public variables of a role, as its spec has them."""
    return entry_points(role).get("main", {}).get("options") or {}


def defaults(role: str) -> dict[str, Any]:
    """The public variables of a role, as its defaults have them."""
    return load(ROOT / "roles" / role / "defaults" / "main.yml")


def nested(items: dict[str, dict[str, Any]], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option, and the options inside its value."""
    for name, spec in items.items():
        yield prefix + name, spec
        yield from nested(spec.get("options") or {}, f"{prefix}{name}.")


def tasks(role: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every task and handler of a role, blocks opened."""
    for folder in ("tasks", "handlers"):
        for path in sorted((ROOT / "roles" / role / folder).rglob("*.yml")):
            for task in opened(load(path) or []):
                yield path.relative_to(ROOT), task


def opened(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The tasks of a list, with those inside blocks."""
    for task in items:
        yield task
        for part in ("block", "rescue", "always"):
            yield from opened(task.get(part) or [])


@pytest.mark.parametrize("role", ROLES)
def test_role_has_a_contract(role: str) -> None:
    """A role without a spec would have variables that nothing checks and nothing documents."""
    specs = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")
    assert "main" in specs.get("argument_specs", {}), f"roles/{role}/meta/argument_specs.yml has no entry point main"
    assert specs["argument_specs"]["main"].get("short_description"), f"role {role} has no short_description"


def calls() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each call of a role by a playbook or another role, with the name of its task."""
    plays = [play for path in sorted((ROOT / "playbooks").glob("*.yml")) for play in load(path)]
    lists = [play[part] for play in plays for part in ("pre_tasks", "tasks", "post_tasks") if part in play]
    used = [task for items in lists for task in opened(items)]
    for task in [*used, *(task for role in ROLES for _, task in tasks(role))]:
        for module in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
            if module in task:
                yield task["name"], task[module]


def entries_used() -> dict[str, set[str]]:
    """The `tasks_from` that playbooks and roles use, by role."""
    found: dict[str, set[str]] = {role: set() for role in ROLES}
    for _, called in calls():
        if "tasks_from" in called:
            found[called["name"].removeprefix("channels.stack.")].add(called["tasks_from"])
    return found


def test_roles_are_validated_by_preflight_alone() -> None:
    """Ansible's own fails for specs like ours, and costs a task for each role and host: docs/decisions.md."""
    made = list(calls())
    assert len(made) > 30
    assert not any("roles" in play for path in (ROOT / "playbooks").glob("*.yml") for play in load(path))
    validated = [f"{name} ({called['name']})" for name, called in made if called.get("rolespec_validate") is not False]
    assert not validated, f"write rolespec_validate: false: {validated}"


@pytest.mark.parametrize("role", ROLES)
def test_each_entry_point_has_a_contract(role: str) -> None:
    """What a playbook or another role runs of a role is described, and nothing that is run nowhere."""
    used = entries_used()[role]
    assert set(entry_points(role)) - {"main"} == used, f"role {role}: specs, and tasks_from of playbooks and roles"
    for entry in used:
        assert entry_points(role)[entry].get("short_description"), f"role {role}, {entry}: no short_description"
        assert entry_points(role)[entry].get("description"), f"role {role}, {entry}: no description"


@pytest.mark.parametrize("role", ROLES)
def test_entry_points_say_the_same_of_a_variable(role: str) -> None:
    """A variable that the role's inventory knows is the same everywhere; others are given by who runs the entry."""
    for entry, point in entry_points(role).items():
        for name, spec in (point.get("options") or {}).items():
            known = options(role).get(name)
            assert known is None or spec == known, f"role {role}, {entry}: {name} is another one in main"
            assert known or "default" not in spec, f"role {role}, {entry}: {name}"


@pytest.mark.parametrize("role", ROLES)
def test_entry_points_have_what_they_read(role: str) -> None:
    """A public variable that stands in an entry point's own file is one of its options."""
    for entry in entries_used()[role]:
        text = (ROOT / "roles" / role / "tasks" / f"{entry}.yml").read_text()
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        found = {name for name in options(role) if re.search(rf"(?<!-e )\b{name}\b(?!=)", code)}
        missing = found - set(entry_points(role)[entry].get("options") or {})
        assert not missing, f"roles/{role}/meta/argument_specs.yml: {entry} reads {sorted(missing)}"


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_the_specs(role: str) -> None:
    """The same variables with the same values in both files; what is required has no default."""
    spec = {name: item["default"] for name, item in options(role).items() if "default" in item}
    files = f"roles/{role}/defaults/main.yml and meta/argument_specs.yml"
    only_spec, only_defaults = sorted(set(spec) - set(defaults(role))), sorted(set(defaults(role)) - set(spec))
    assert not only_spec, f"{files}: a default only in the spec: {only_spec}"
    assert not only_defaults, f"{files}: a default only in the defaults: {only_defaults}"
    differing = {
        name: (spec[name], defaults(role)[name]) for name in spec if not same(spec[name], defaults(role)[name])
    }
    assert not differing, f"{files}: differing values (spec, defaults): {differing}"
    both = [name for name, item in options(role).items() if item.get("required") and name in defaults(role)]
    assert not both, f"{files}: required, and has a default: {both}"


def same(one: Any, other: Any) -> bool:
    """Equal in type too: 1 is not true, and "12" is not 12."""
    return yaml.safe_dump(one, sort_keys=True) == yaml.safe_dump(other, sort_keys=True)


@pytest.mark.parametrize("role", ROLES)
def test_options_are_described(role: str) -> None:
    """Every option has a type and a description, keys of a value included."""
    for name, spec in (each for point in entry_points(role).values() for each in nested(point.get("options") or {})):
        assert spec.get("type"), f"role {role}: {name} has no type"
        assert spec.get("description"), f"role {role}: {name} has no description"
        if spec["type"] == "list":
            assert spec.get("elements"), f"role {role}: {name} is a list and has no elements"


@pytest.mark.parametrize("role", ROLES)
def test_secrets_are_marked(role: str) -> None:
    """A variable that is named like a secret says whether it is one."""
    for name, spec in nested(options(role)):
        if re.search(r"(password|secret|token|_key)$", name) and spec.get("type") == "str":
            assert "no_log" in spec, f"role {role}: {name} is named like a secret: set no_log to true or false"


@pytest.mark.parametrize("role", ROLES)
def test_names(role: str) -> None:
    """`role_x` is public, `_role_x` computed, `__role_x` registered; what is handed to other roles is public."""
    for name in {name for point in entry_points(role).values() for name in point.get("options") or {}}:
        own = name.startswith(f"{role}_") or WITHOUT_PREFIX.get(name) == role
        assert own, f"role {role}: public variable {name} does not begin with {role}_"
    for path in sorted((ROOT / "roles" / role / "vars").rglob("*.yml")):
        for name in load(path):
            assert name.startswith(f"_{role}_"), f"{path.relative_to(ROOT)}: {name} does not begin with _{role}_"
    for file, task in tasks(role):
        registered = task.get("register", f"__{role}_")
        assert registered.startswith(f"__{role}_"), f"{file}: registers {registered}, not __{role}_…"
        for fact in facts_set(task):
            own = re.match(rf"__?{role}_", fact) or (fact in HANDED and fact.startswith(f"{role}_"))
            assert own, f"{file}: sets the fact {fact}, not _{role}_…"


def facts_set(task: dict[str, Any]) -> list[str]:
    """The facts that a task sets."""
    arguments = task.get("ansible.builtin.set_fact") or {}
    return [name for name in arguments if name != "cacheable"]


@cache
def readers() -> dict[Path, str]:
    """Every file that may read a variable, without its comments, which do not."""
    files = [path for folder in ("templates", "playbooks") for path in (ROOT / folder).rglob("*")]
    files += [ROOT / "site.yml", *(ROOT / "plugins").rglob("*.py")]
    for part in ("tasks", "handlers", "vars", "defaults", "templates", "files", "meta"):
        files += [path for role in ROLES for path in (ROOT / "roles" / role / part).rglob("*")]
    texts = {}
    for path in files:
        if path.is_file() and JUDGE not in path.parents and path.name != "argument_specs.yml":
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            texts[path] = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return texts


@pytest.mark.parametrize("role", ROLES)
def test_no_variable_is_dead(role: str) -> None:
    """Every public variable is read somewhere; its own line in the defaults does not count."""
    dead = []
    for name in options(role).keys() - FOR_INVENTORIES - FOR_THE_JUDGE:
        reading = re.compile(rf"(?<![\w.]){name}\b(?!:(\s|$))")
        if not any(reading.search(text) for text in readers().values()):
            dead.append(name)
    assert not dead, f"role {role}: no task, template, plugin or playbook reads {dead}"


def test_reference_has_each_variable_once() -> None:
    """However many entry points of a role read a variable, it is explained in one place."""
    text = (ROOT / "docs" / "variables.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(name for role in ROLES for name in options(role))


def test_reference_is_current() -> None:
    """docs/variables.md is what the specs say."""
    command = [sys.executable, str(ROOT / "scripts" / "variables.py"), "--check"]
    check = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert check.returncode == 0, f"{check.stderr}{check.stdout}"


def test_reference_tells_no_secret_and_no_lie(tmp_path: Path) -> None:
    """Pipes are escaped, secrets' defaults are left out, required ones marked; a changed spec makes it stale."""
    role = tmp_path / "roles" / "redis"
    (role / "meta").mkdir(parents=True)
    (role / "defaults").mkdir()
    spec = {
        "redis_password": {"type": "str", "no_log": True, "default": "hunter2hunter2", "description": "Secret."},
        "redis_mode": {"type": "str", "choices": ["a", "b"], "required": True, "description": "This C(a) | that."},
        "redis_size": {"type": "str", "default": "{{ x | int }}", "description": ["One.", "Two."]},
    }
    contract = {"argument_specs": {"main": {"short_description": "Redis", "options": spec}}}
    specs = role / "meta" / "argument_specs.yml"
    specs.write_text(yaml.safe_dump(contract, sort_keys=False), encoding="utf-8")
    (role / "defaults" / "main.yml").write_text("redis_size: '{{ x | int }}'\nredis_password: hunter2hunter2\n")
    command = [sys.executable, str(ROOT / "scripts" / "variables.py"), "--root", str(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
    text = (tmp_path / "docs" / "variables.md").read_text(encoding="utf-8")
    assert "| `redis_password` | str | not shown | Secret. |" in text
    assert "| `redis_mode` | one of `a`, `b` | **required** | This `a` \\| that. |" in text
    assert "| `redis_size` | str | `{{ x \\| int }}` | One. Two. |" in text
    assert "hunter2" not in text
    assert subprocess.run([*command, "--check"], timeout=60, check=False).returncode == 0
    specs.write_text(specs.read_text().replace("Secret.", "Password."), encoding="utf-8")
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert stale.returncode == 1
    assert "+| `redis_password` | str | not shown | Password. |" in stale.stdout
