"""Renders a role's templates as a run would, with undefined variables an error."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.channels.stack.plugins.module_utils.generation.files import variables_of
from ansible_collections.channels.stack.plugins.module_utils.generation.settings import Settings, settings_of
from ansible_collections.channels.stack.plugins.module_utils.generation.specification import Document, specify
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.limits import limits_of
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.workers import processes_of
from ansible_collections.channels.stack.plugins.module_utils.preflight.systems import packages_of
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = {
    "ansible_managed": "Ansible managed",
    "inventory_hostname": "host",
    "groups": {"app": ["host"], "database": ["host"], "redis": ["host"]},
    "inventory_dir": "/inventory",
    "group_names": ["app", "database", "redis"],
    "hostvars": {"host": {}},
    "postgresql_password": "p@ss/w:rd?#%+ '\"$\\",
    "release_app": "dash-board",
    "redis_password": "correct horse battery staple",
    "release_environment": {"ALLOWED_HOSTS": "localhost"},
    "release_secrets": {"SECRET_KEY": "s3cr3t"},
    "preflight_host": {"cores": "4", "memory_mb": "2000", "python": "3.11.2", "id": "debian", "version": "12"},
    "_asgi_release": {"name": "0123456789ab", "version": "v1", "code": "/srv/x/code", "venv": "/srv/x/venv"},
    "_asgi_generation": "0123456789ab-c0ffee",
}
ROLES = (
    "base", "firewall", "hardening", "stores", "redis", "sentinel", "postgresql", "pgbouncer", "backup", "pgbackrest",
    "release", "asgi", "certificate", "nginx", "haproxy", "keepalived", "logs", "handshake", "remove", "metrics",
    "monitoring",
)  # fmt: skip


@functools.cache
def role_variables() -> dict[str, Any]:
    """Return the defaults and computed variables of all roles, read once: nobody changes them."""
    loader, found = DataLoader(), {}
    for name in ROLES:
        for folder in ("defaults", "vars"):
            path = ROOT / "roles" / name / folder / "main.yml"
            if path.exists():
                found |= loader.load_from_file(str(path), trusted_as_template=True) or {}
    return found


def with_counts(values: dict[str, Any]) -> dict[str, Any]:
    """Return variables with the facts that preflight computes from a host's cores and memory."""
    facts = values["preflight_host"]
    answer = "".join(f"{name}={value}\n" for name, value in facts.items())
    host = HostView(values["inventory_hostname"], {**values, PROBE: {"stdout": answer}}, {}, Templar())
    computed = {**processes_of(host), "limits": limits_of(host)}
    return {**values, "preflight_host": {**computed, "packages": packages_of(facts), **facts}}


def filled(source: Path, values: dict[str, Any]) -> str:
    """Return a template's text, with a newline at its end as Ansible's lookup leaves it there."""
    loader = DataLoader()
    loader.set_basedir(str(source.parent))
    text = str(Templar(loader=loader, variables=values).template(trust_as_template(source.read_text())))
    return text if text.endswith("\n") else f"{text}\n"


def settings_in(values: dict[str, Any]) -> Settings:
    """Return what some variables say about a generation."""
    templar = Templar(loader=DataLoader(), variables=values)
    return settings_of(lambda name: templar.template(values[name]))


@pytest.fixture
def render() -> Callable[..., str]:
    """Return a function that renders templates/PATH with some variables set as an inventory would."""

    def rendered(path: str, **variables: Any) -> str:
        values = with_counts({**role_variables(), **INVENTORY, **variables})
        if not path.startswith("asgi/"):
            return filled(ROOT / "templates" / path, values)
        settings, name = settings_in(values), values["_asgi_generation"]
        values["__asgi_specified"] = {"generation": specify(settings, lambda *_: "", name)}
        values = {**values, **variables_of(settings), "_asgi_generation": name}
        return filled(ROOT / "templates" / path, values).replace(settings.provisional, name)

    return rendered


@pytest.fixture
def generation() -> Callable[..., Document]:
    """Return a function that specifies a generation as a run would, with some variables set as an inventory would.

    Its name is that of the templates of other tests, unless `named` is false. Its templates are in the folder
    `templates`, and those that were rendered are added to `rendered`.
    """

    def specified(
        templates: Path = ROOT / "templates" / "asgi",
        named: bool = True,
        processes: int = 0,
        rendered: list[str] | None = None,
        **variables: Any,
    ) -> Document:
        values = with_counts({**role_variables(), **INVENTORY, **variables})

        def fill(template: str, given: Mapping[str, Any]) -> str:
            if rendered is not None:
                rendered.append(template)
            return filled(templates / template, {**values, **given})

        return specify(settings_in(values), fill, values["_asgi_generation"] if named else "", processes)

    return specified


@pytest.fixture
def evaluate() -> Callable[..., str]:
    """Return a function that fills in a role's variable as an inventory that reads it would.

    Templates that it looks up are in the folder `templates`.
    """

    def evaluated(name: str, templates: Path = ROOT, **variables: Any) -> str:
        values = with_counts({**role_variables(), **INVENTORY, **variables})
        loader = DataLoader()
        loader.set_basedir(str(templates))
        return str(Templar(loader=loader, variables=values).template(values[name]))

    return evaluated
