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

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
# Checks the variables of all roles, which does not make it their reader.
JUDGE = ROOT / "plugins" / "module_utils" / "preflight"
# Said by a role for inventories to read, and for nobody else.
FOR_INVENTORIES = {"postgresql_url", "redis_url"}
# Read by the judge alone, and meant for it: how it is to look, or what it computes for roles.
FOR_THE_JUDGE = {
    "certificate_acme_check_names", "hardening_clock_seconds", "nginx_worker_connections", "preflight_allow_sqlite"
}  # fmt: skip


class AnyTagLoader(yaml.SafeLoader):
    """Reads files with Ansible's own tags, such as !unsafe, as plain values."""


AnyTagLoader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


@cache
def load(path: Path) -> Any:
    """A YAML file's content as it is written, or an empty mapping."""
    return (yaml.load(path.read_text(encoding="utf-8"), AnyTagLoader) or {}) if path.is_file() else {}


def options(role: str) -> dict[str, dict[str, Any]]:
    """The public variables of a role, as its spec has them."""
    specs = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")
    return specs.get("argument_specs", {}).get("main", {}).get("options") or {}


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
    for name, spec in nested(options(role)):
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
    """`role_x` is public, `_role_x` computed, `__role_x` registered."""
    for name in options(role):
        assert name.startswith(f"{role}_"), f"role {role}: public variable {name} does not begin with {role}_"
    for path in sorted((ROOT / "roles" / role / "vars").rglob("*.yml")):
        for name in load(path):
            assert name.startswith(f"_{role}_"), f"{path.relative_to(ROOT)}: {name} does not begin with _{role}_"
    for file, task in tasks(role):
        registered = task.get("register", f"__{role}_")
        assert registered.startswith(f"__{role}_"), f"{file}: registers {registered}, not __{role}_…"
        for fact in facts_set(task):
            assert re.match(rf"__?{role}_", fact), f"{file}: sets the fact {fact}, not _{role}_…"


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
