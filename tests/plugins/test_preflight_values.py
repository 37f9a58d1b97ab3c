"""Each value is of the kind that is meant before anything turns it into that, and what is meant is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.values import (
    option_problems,
    unknown_notices,
    unknown_problems,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import HostView, Role

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> Role:
    """A role's contract."""
    specs = yaml.safe_load((ROOT / "roles" / name / "meta" / "argument_specs.yml").read_text())
    return Role(name, specs["argument_specs"]["main"]["options"], {}, {}, ["app"])


ROLES = {path.name: load(path.name) for path in sorted((ROOT / "roles").iterdir()) if path.is_dir()}
SPECS = {name: (role.name, spec) for role in ROLES.values() for name, spec in role.options.items()}
NAMES = sorted(SPECS)


def told(**variables: Any) -> list[tuple[str, str]]:
    """What is told of these variables: faults and fixes."""
    role = ROLES[SPECS[next(iter(variables))][0]]
    host = HostView("app1", {"group_names": ["app"], **variables}, {role.name: role}, Templar())
    return [(one.fault, one.fix) for one in option_problems(host, role) if one.variable in variables]


@pytest.mark.parametrize(
    ("name", "fix", "noticed"),
    [
        ("nginx_server_name", "Write nginx_server_names.", False),
        ("redis_pasword", "Write redis_password.", False),
        ("release_bakend", "Write release_backend.", False),
        ("asgi_flavour", "Remove it, or give it a name that does not begin with a role's name.", False),
        ("nginx_vhosts", "", True),
        ("redis_sentinel_quorum", "", True),
        ("firewall_zones", "", True),
        ("myapp_color", "", False),
    ],
)
def test_name_that_no_role_knows(name: str, fix: str, noticed: bool) -> None:
    """Of a daemon's name, another role of the user's may read it, unless it is nearly one of ours."""
    host = HostView("app1", {"group_names": ["app"], name: "x"}, ROLES, Templar())
    assert [one.fix for one in unknown_problems(host, ROLES)] == ([fix] if fix else [])
    notices = list(unknown_notices(host, ROLES))
    assert len(notices) == noticed and all(name in text for text in notices)


@pytest.mark.parametrize("name", NAMES)
def test_each_variable_has_a_kind(name: str) -> None:
    """Texts, lists and mappings are none of the others; Ansible's own validation takes nearly all of these."""
    kind = SPECS[name][1].get("type", "str")
    wrong: dict[str, list[Any]] = {
        "list": ["a, b", "a", {"a": "b"}, 5, True],
        "dict": ["A=b", "A=b, C=d", ["A=b"], 5, "{}"],
        "int": [True, ["1"], {"a": 1}, "1_000", "08", "2.0", " 1", 1.5],
        "float": [True, ["1"], {"a": 1}, "1e3", "1_0.5"],
        "bool": [["yes"], {"a": True}, 2, "y", "t", ""],
        "raw": [],  # takes several kinds, and has a check of its own
    }
    texts = [["a"], {"a": "b"}, True, 1.1, 12]
    for value in wrong.get(kind, texts):
        if name == "release_python" and not isinstance(value, list | dict):
            continue  # which has a check of its own
        found = told(**{name: value})
        assert len(found) == 1 and found[0][1], f"{name}: {value!r} ({kind}) gave {found}"


@pytest.mark.parametrize("name", NAMES)
def test_quoted_numbers_and_truths_are_let_through(name: str) -> None:
    """As `-e name=value` gives them, and checks see what they say."""
    role, spec = SPECS[name]
    says = {"int": ("12", 12), "float": ("0.5", 0.5), "bool": ("false", False)}.get(spec.get("type", "str"))
    if says:
        assert told(**{name: says[0]}) == []
        assert HostView("app1", {name: says[0]}, {role: ROLES[role]}, Templar()).get(name) == says[1]


@pytest.mark.parametrize(
    ("variable", "value", "fault", "fix"),
    [
        ("nginx_server_names", "a.org, b.org", "should be a list", "nginx_server_names: [a.org, b.org]"),
        ("release_drain_command", "python x.py 'two words'", "", 'release_drain_command: [python, x.py, "two words"]'),
        ("release_hooks_before_switch", "python manage.py warm, all", "", '["python manage.py warm, all"]'),
        ("release_environment", "A=b C=d", "should be a mapping", "release_environment: {A: b, C: d}"),
        ("release_environment", ["A=b", "C=1"], "is a list", 'release_environment: {A: b, C: "1"}'),
        ("handshake_send", {"type": "echo"}, "is a mapping", """handshake_send: '{"type": "echo"}'"""),
        ("release_version", 1.1, "is the number 1.1 as YAML reads it", 'release_version: "1.1"'),
        ("release_hooks_after_switch", [{"a": "b"}], "item 1 is a mapping", ""),
        ("release_shared_paths", ["a", None], "item 2 is empty", ""),
        ("asgi_workers", [{"name": "w", "command": ["celery", "-A", "x"]}], "command of item 1 is a list", ""),
        ("asgi_workers", [{"name": "w", "command": "x", "number": True}], "number of item 1 is true", ""),
        ("asgi_workers", ["celery --loglevel=info"], "item 1 is the text", ""),
        ("release_files", [{"path": "x", "content": {"a": 1}}], "content of item 1 is not a valid str (not shown", ""),
        ("asgi_server_packages", {"daphne": "daphne"}, 'daphne is the text "daphne", but should be a list',
         "daphne: [daphne]"),
        ("base_packages", {"all": ["x"], "app": "nginx"}, "app is the text", "app: [nginx]"),
    ],
)  # fmt: skip
def test_what_is_meant_is_told(variable: str, value: Any, fault: str, fix: str) -> None:
    """As a line to write, where it can be guessed."""
    ((said, better),) = told(**{variable: value})
    assert fault in said and fix in better, (said, better)


@pytest.mark.parametrize("name", ["release_secrets", "handshake_headers"])
def test_secrets_are_not_told(name: str) -> None:
    """Neither as they are nor as they are meant."""
    for value in ("A=hunter2-hunter2", ["A=hunter2-hunter2"]):
        ((fault, fix),) = told(**{name: value})
        assert "hunter2" not in fault + fix


def test_what_is_right_is_let_through() -> None:
    """Numbers among the words of a command, and every kind as it is meant."""
    assert told(release_drain_command=["python", "manage.py", "drain", "--seconds", 10]) == []
    assert told(asgi_workers=[{"name": "w", "command": "x", "number": "2", "singleton": "no", "schedule": ""}]) == []
    assert told(release_environment={"DEBUG": False, "N": 3}) == []
    assert told(asgi_server_packages={"daphne": ["daphne"]}) == []
