"""A generation's name tells apart all that it is made of, the bundle's own scripts and units too, and nothing else."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.generation import specification
from ansible_collections.channels.stack.plugins.module_utils.generation.settings import PLACEHOLDER

ROOT = Path(__file__).resolve().parents[2]
WORKERS = [
    {"name": "nightly", "command": "x", "schedule": "0 3 * * *", "singleton": True},
    {"name": "queue", "command": "y"},
]
OPTIONS: dict[str, Any] = {"asgi_http": "wsgi", "nginx_path_prefix": "/chat", "asgi_workers": WORKERS}
MANAGERS = ("systemd", "supervisor")
HOME = "/srv/dash-board/generations/0123456789ab-c0ffee"

Specify = Callable[..., dict[str, Any]]


@pytest.fixture
def name(generation: Specify) -> Callable[..., str]:
    """Return a function that names a generation by what it is made of."""

    def named(**options: Any) -> str:
        return str(generation(named=False, **{**OPTIONS, **options})["name"])

    return named


def texts(document: dict[str, Any]) -> dict[str, str]:
    """Return the text of each file, by its path."""
    found = [entry for key in ("files", "manager_files") for entry in document[key] if "content" in entry]
    return {entry["path"]: entry["content"].replace(document["name"], "") for entry in found}


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each plain value in a document, as what holds it and under which key or number."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        if isinstance(item, dict | list) and item:
            yield from leaves(item)
        else:
            yield value, key


@pytest.mark.parametrize("manager", MANAGERS)
def test_each_file_of_a_generation_is_in_its_name(tmp_path: Path, generation: Specify, manager: str) -> None:
    """Every template is changed: where a file of the generation is another one then, so is the name."""
    folder = Path(shutil.copytree(ROOT / "templates" / "asgi", tmp_path / "asgi"))

    def made() -> dict[str, Any]:
        return generation(folder, named=False, asgi_manager=manager, **OPTIONS)

    before, changed = made(), set()
    for template in sorted(folder.iterdir()):
        text = template.read_text()
        template.write_text(f"{text}# changed\n")
        after = made()
        template.write_text(text)
        others = {path for path, text in texts(after).items() if texts(before)[path] != text}
        assert (before["name"] != after["name"]) == bool(others), f"a changed {template.name} would never reach a host"
        changed |= others
    assert changed == set(texts(before)), "files that no template makes"
    assert {"env", "within", "serve", "work", "launch", "wsgi", "cron", "mount/asgi_mount.py"} < changed


def test_whole_document_is_in_the_name(generation: Specify) -> None:
    document = generation(**OPTIONS)
    before, changed = specification.digest(document), copy.deepcopy(document)
    places = list(leaves(changed))
    assert len(places) > 100
    for holder, key in places:
        holder[key], value = "another", holder[key]
        assert specification.digest(changed) != before, f"{key} {value!r}"
        holder[key] = value
    assert specification.digest(changed) == before


@pytest.mark.parametrize(
    "options",
    [
        {"release_secrets": {"SECRET_KEY": "another"}},
        {"release_environment": {"ALLOWED_HOSTS": "another"}},
        {"release_settings_module": "another.settings"},
        {"_asgi_release": {"name": "0123456789ab", "version": "v1", "code": "/srv/x/code", "venv": "/srv/x/another"}},
        {"asgi_processes": 3},  # what the host has by itself: a channel layer in memory leaves it as it is then
        {"asgi_processes": 4},
        {"asgi_workers": WORKERS[:1]},
        {"asgi_workers": [WORKERS[0], {**WORKERS[1], "command": "z"}]},
        {"asgi_server": "uvicorn"},
        {"asgi_manager": "supervisor"},
        {"asgi_http": "asgi"},
        {"nginx_path_prefix": ""},
        {"asgi_application": "another:application"},
        {"asgi_wsgi_application": "another:application"},
        {"asgi_wsgi_threads": 9},
        {"asgi_stop_seconds": 11},
        {"asgi_memory_max": "1G"},
        {"asgi_open_files": 1000},
        {"asgi_backlog": 1000},
        {"asgi_ping_interval": 21},
        {"asgi_sandbox": {"PrivateTmp": False}},
        {"release_shared_paths": ["media/"]},
    ],
    ids=str,
)
def test_what_processes_run_with_is_in_the_name(name: Callable[..., str], options: dict[str, Any]) -> None:
    assert name(**options) != name()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"inventory_hostname": "other", "groups": {"app": ["host", "other"], "database": ["host"]}},
        # The same commit.
        {"_asgi_release": {"name": "0123456789ab", "version": "v2", "code": "/srv/x/code", "venv": "/srv/x/venv"}},
        {"_asgi_generation": "0123456789ab-facade"},
        {"release_keep": 9},
        {"release_drain_seconds": 9, "release_drain_spread_seconds": 9, "release_drain_generations": 9},
        {"release_hooks_before_migrate": ["x"]},
        {"release_hooks_before_switch": ["x"], "release_hooks_after_switch": ["x"]},
        {"release_who": "another@desk"},
        {"asgi_start_seconds": 9, "asgi_watch_seconds": 9, "asgi_wait_seconds": 9},
        {"asgi_stop_seconds": "10", "asgi_processes": "0"},  # as the command line gives them
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("manager", MANAGERS)
def test_what_is_about_a_run_or_a_host_is_not(name: Callable[..., str], options: dict[str, Any], manager: str) -> None:
    assert name(asgi_manager=manager, **options) == name(asgi_manager=manager)


@pytest.mark.parametrize("manager", MANAGERS)
def test_one_process_keeps_the_name(generation: Specify, manager: str) -> None:
    """That a project's channel layer is in memory is known only when the generation has its name."""
    options = {**OPTIONS, "asgi_manager": manager}
    whole, alone = generation(**options), generation(processes=1, **options)
    assert alone["name"] == whole["name"]
    assert (len(whole["sockets"]), len(alone["sockets"])) == (3, 1)
    assert alone["instances"] == alone["kinds"][0]["instances"] == whole["instances"][:1]
    assert alone["wsgi"] == whole["wsgi"] and len(whole["wsgi"]["sockets"]) == 3, "HTTP has no channel layer"
    differing = {path for path, text in texts(alone).items() if texts(whole)[path] != text}
    assert differing == (set() if manager == "systemd" else {"dash-board-daphne.conf"})


@pytest.mark.parametrize("manager", MANAGERS)
def test_what_is_written_has_the_name_and_no_secret_beside_the_environment(generation: Specify, manager: str) -> None:
    document = generation(asgi_manager=manager, **OPTIONS)
    entries, secrets = specification.entries(document, HOME)
    assert "s3cr3t" in secrets["env"] and list(secrets) == ["env"]
    (env,) = (entry for entry in entries if "secret" in entry)
    assert env == {"path": f"{HOME}/env", "secret": "env", "group": "dash-board", "mode": "0640"}
    shown = f"{entries} {specification.without_texts(document)}"
    assert "s3cr3t" not in shown and PLACEHOLDER not in f"{shown} {secrets}"
    assert "content" not in str(specification.without_texts(document))
    paths = [entry["path"] for entry in entries]
    assert paths[0] == HOME and len(set(paths)) == len(paths)
    assert [entry["path"] for entry in entries if entry.get("directory")] == [HOME, f"{HOME}/mount"]
    links = {entry["path"]: entry["link"] for entry in entries if "link" in entry}
    static = "/srv/dash-board/static/0123456789ab"
    assert links == {f"{HOME}/code": "/srv/x/code", f"{HOME}/venv": "/srv/x/venv", f"{HOME}/static": static}
    scripts = {entry["path"].removeprefix(f"{HOME}/") for entry in entries if entry.get("mode") == "0755"}
    assert scripts == {"within", "serve", "work", "launch", "wsgi"}
    assert {name for name in ("generation.json", "cron", "gunicorn.conf.py") if f"{HOME}/{name}" not in paths} == set()


def test_files_that_nothing_runs_are_not_there(generation: Specify) -> None:
    paths = {entry["path"] for entry in generation()["files"]}
    assert paths == {"env", "within", "serve", "work", "launch", "cron", "code", "venv", "static"}
    assert texts(generation())["cron"] == ""


def test_nothing_is_rendered_twice(generation: Specify) -> None:
    """Once for the name and for the files, and only what is another text on this host once more."""
    for groups, again in (({"app": ["host"]}, set()), ({"app": ["other", "host"]}, {"cron.j2"})):
        rendered: list[str] = []
        generation(rendered=rendered, named=False, groups={**groups, "database": ["host"]}, **OPTIONS)
        kinds = 4 if again == set() else 5  # a unit for each kind; the singleton's has no process here
        assert rendered.count("process.service.j2") == kinds
        others = [template for template in rendered if template != "process.service.j2"]
        assert {template for template in others if others.count(template) > 1} == again


def test_nginx_gets_the_sockets_that_there_are(evaluate: Callable[..., str]) -> None:
    """What serves may have one process, where a new generation of the same name would begin with more."""
    given = {
        "__asgi_specified": {"generation": {"sockets": ["/run/one", "/run/two"]}},
        "__asgi_list": {"rc": 0, "stdout": '{"generations": [{"sockets": ["/run/one"]}]}'},
    }
    assert evaluate("_asgi_sockets", _asgi_settled=True, **given) == "['/run/one']"
    for other in ({}, {"_asgi_settled": False}, {"_asgi_settled": True, "__asgi_list": {"rc": 1, "stdout": ""}}):
        assert evaluate("_asgi_sockets", **{**given, **other}) == "['/run/one', '/run/two']"
