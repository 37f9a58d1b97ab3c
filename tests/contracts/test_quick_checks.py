"""What is checked while somebody works: `make check` and the hooks of pre-commit use what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_files_that_are_slow_are_there_and_are_marked(pytestconfig: pytest.Config) -> None:
    (conftest,) = (
        plugin
        for _, plugin in pytestconfig.pluginmanager.list_name_plugin()
        if getattr(plugin, "__file__", None) == str(ROOT / "tests" / "conftest.py")
    )
    assert {path.stem for path in (ROOT / "tests").rglob("test_*.py")} >= conftest.SLOW
    with (ROOT / "pyproject.toml").open("rb") as file:
        (marker,) = tomllib.load(file)["tool"]["pytest"]["ini_options"]["markers"]
    assert marker.startswith("slow:")
    assert "-m 'not slow' tests" in (ROOT / "Makefile").read_text()


def test_hooks_run_tools_of_lint() -> None:
    """A hook needs nothing but .venv/, and complains of nothing that `make lint` lets pass."""
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    linted = (ROOT / "scripts" / "lint.sh").read_text()
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        tool = re.fullmatch(r"\.venv/bin/(.*)", hook["entry"])
        assert tool, hook["entry"]
        words = [word for word in tool[1].split() if word not in ("--quiet", "--force-exclude")]
        assert " ".join(words) in linted.replace("--quiet ", ""), hook["entry"]


def test_patterns_of_hooks_match_files() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (variables,) = (hook for hook in hooks if hook["id"] == "variables")
    read = ("roles/redis/defaults/main.yml", "roles/redis/meta/argument_specs.yml", "docs/variables.md")
    assert all(re.search(variables["files"], path) and (ROOT / path).is_file() for path in read)
    assert not re.search(variables["files"], "roles/redis/tasks/main.yml")
