"""A generation's name tells all that it is made of apart, the bundle's own scripts and units too."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TASKS = (ROOT / "roles/asgi/tasks/generation.yml").read_text() + (ROOT / "roles/asgi/vars/main.yml").read_text()
DESCRIPTION = "generation.json.j2"  # what the host's tool reads; no process does
OPTIONS = {
    "asgi_http": "wsgi",
    "nginx_path_prefix": "/chat",
    "asgi_workers": [{"name": "nightly", "command": "x", "schedule": "0 3 * * *"}, {"name": "queue", "command": "y"}],
}


Name = Callable[..., str]


@pytest.fixture
def name(evaluate: Callable[..., str], templates: Path) -> Name:
    """Return a function that gives the name of a generation that is made of those templates."""

    def named(**options: Any) -> str:
        return evaluate("_asgi_generation_name", templates, **{**OPTIONS, **options})

    return named


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A copy of the role's templates."""
    return Path(shutil.copytree(ROOT / "templates" / "asgi", tmp_path / "asgi"))


def test_each_file_of_a_generation_is_in_its_name(templates: Path, name: Name) -> None:
    files = set(re.findall(r"template', '([\w.]+\.j2)'", TASKS)) | {"process.service.j2", "program.conf.j2"}
    files -= {DESCRIPTION, "units.json.j2", "programs.json.j2", "kinds.json.j2"}
    files -= {"tmpfiles.conf.j2", "manage.j2"}  # whichever generation serves
    assert {"within.j2", "serve.j2", "launch.j2", "work.j2", "wsgi.j2", "cron.j2", "env.j2"} <= files
    for file in sorted(files):
        manager = "supervisor" if file == "program.conf.j2" else "systemd"
        before = name(asgi_manager=manager)
        assert before == name(asgi_manager=manager)
        (templates / file).write_text((templates / file).read_text() + "# changed\n")
        assert name(asgi_manager=manager) != before, f"a changed {file} would never reach a host"


def test_hosts_of_a_project_name_it_alike(name: Name) -> None:
    """Also where a worker that may run but once has its process on the first of them."""
    workers = [{"name": "once", "command": "x", "schedule": "0 3 * * *", "singleton": True}]
    first, second = (name(asgi_workers=workers, groups={"app": [host]}) for host in ("host", "other"))
    assert first == second
