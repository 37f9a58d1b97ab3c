"""What a release's environment is made from, and the files that are the user's own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

Render = Callable[..., str]
NEEDS = {"lines": ["django==5.2", "daphne>=4"], "constraints": [], "overrides": [], "prerelease": False}


def uv(render: Render, **options: Any) -> dict[str, Any]:
    """Return uv's settings for an environment."""
    given = {"_release_needs": NEEDS, "_release_constraints": [], "_release_versions": {}, **options}
    return tomllib.loads(render("release/uv.toml.j2", **given))


def test_release_needs_are_one_list(render: Render) -> None:
    text = render("release/requirements.txt.j2", _release_needs=NEEDS, release_requirements=["a.txt", "b.txt"])
    head, *lines = text.splitlines()[1:]
    assert lines == NEEDS["lines"]
    assert head == "# What dash-board needs: a.txt, b.txt, release_packages."


def test_release_settings_of_uv(render: Render) -> None:
    nothing = ("constraint-dependencies", "build-constraint-dependencies", "override-dependencies")
    assert uv(render) == {name: [] for name in nothing}
    found = uv(
        render,
        _release_needs={**NEEDS, "prerelease": True, "overrides": ["redis<8"]},
        _release_constraints=['six==1.17; python_version < "3"'],
        _release_versions={"django": "5.2", "daphne": "4.2.3"},
    )
    assert found == {
        "prerelease": "allow",
        "constraint-dependencies": ['six==1.17; python_version < "3"', "django==5.2", "daphne==4.2.3"],
        "build-constraint-dependencies": [],
        "override-dependencies": ["redis<8"],
    }


@pytest.mark.parametrize(
    ("index", "found"),
    [
        ("https://user:p%40ss@index.invalid/simple", {"url": "https://user:p%40ss@index.invalid/simple"}),
        ("own=https://index.invalid/simple?a=b", {"name": "own", "url": "https://index.invalid/simple?a=b"}),
    ],
)
def test_release_indexes(render: Render, index: str, found: dict[str, str]) -> None:
    """Only the last, which stands for the usual one, is the default; without it the usual one is asked, too."""
    assert uv(render, release_extra_indexes=[index])["index"] == [{**found, "default": False}]
    assert uv(render, release_index=index)["index"] == [{**found, "default": True}]
    both = uv(render, release_extra_indexes=["https://extra.invalid/simple"], release_index=index)["index"]
    assert both == [{"url": "https://extra.invalid/simple", "default": False}, {**found, "default": True}]


def test_release_files_are_the_projects_alone(render: Render) -> None:
    own = [
        {"path": "a/b/.env", "content": "KEY=1\n"},
        {"path": "a/open.txt", "content": "x", "secret": False, "mode": "0644"},
        {"path": "plain.txt", "content": "y"},
    ]
    told = json.loads(render("release/release_files.json.j2", release_files=own))
    assert told == {
        "entries": [
            {"path": "a", "directory": True, "force": False},
            {"path": "a/b", "directory": True, "force": False},
            {"path": "a/b/.env", "group": "dash-board", "mode": "0640", "secret": "a/b/.env"},
            {"path": "a/open.txt", "group": "dash-board", "mode": "0644", "content": "x"},
            {"path": "plain.txt", "group": "dash-board", "mode": "0640", "secret": "plain.txt"},
        ],
        "secrets": {"a/b/.env": "KEY=1\n", "plain.txt": "y"},
    }
