"""The host's tool as a deploy installs it: where nothing was before, and over an older one whose drain still runs."""

from __future__ import annotations

import getpass
import grp
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "asgi" / "files"))
from generations.close import may_look

files = importlib.import_module("ansible_collections.channels.stack.plugins.modules.file_set")

ROOT = Path(__file__).resolve().parents[2]
APP = "toolsite"
OLDER = ("generations", "locks", "managers", "prepare", "project", "timeline")


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    """What the role gives the module, for a host."""
    loader = DataLoader()
    role = ROOT / "roles" / "asgi"
    loader.set_basedir(str(role))
    values = loader.load_from_file(str(role / "vars" / "main.yml"), trusted_as_template=True)
    values |= {"release_app": APP, "ansible_search_path": [str(role)], "ansible_managed": "Ansible managed"}
    found = Templar(loader=loader, variables=values).template(trust_as_template("{{ _asgi_tool_files }}"))
    return list(found)


@pytest.fixture
def install(
    entries: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[], list[str]]:
    """Return a function that installs the tool below tmp_path, and returns the paths that it has changed."""
    own = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}

    def moved(path: str) -> str:
        return f"{tmp_path}{path}" if path.startswith("/") else path

    def installed() -> list[str]:
        given = [{**each, **own, **{key: moved(each[key]) for key in ("path", "link") if key in each}}
                 for each in entries]  # fmt: skip
        args = {"entries": given, "_ansible_remote_tmp": str(tmp_path), "_ansible_keep_remote_files": False}
        with patch_module_args(args), pytest.raises(SystemExit):
            files.main()
        told = json.loads(capsys.readouterr().out)
        assert not told.get("failed"), told
        return [path.removeprefix(str(tmp_path)) for path in told["paths"]]

    for folder in ("bin", "sbin", "lib"):
        (tmp_path / "usr" / "local" / folder).mkdir(parents=True)
    return installed


def run(path: Path, *arguments: str) -> str:
    """Run the tool by one of its paths, and return what it said."""
    return subprocess.run([str(path), *arguments], capture_output=True, text=True, check=True).stdout


def test_each_file_of_the_tool_is_installed(entries: list[dict[str, Any]]) -> None:
    texts = {each["path"]: each["content"] for each in entries if "content" in each}
    for file in (ROOT / "roles" / "asgi" / "files" / "generations").iterdir():
        assert texts[f"/usr/local/lib/{APP}/generations/{file.name}"] == file.read_text()


def test_tool_works_by_its_command(install: Callable[[], list[str]], tmp_path: Path) -> None:
    """And a second run changes nothing."""
    assert f"/usr/local/sbin/{APP}-generations" in install()
    assert install() == []
    said = run(tmp_path / "usr" / "local" / "sbin" / f"{APP}-generations", "list", "--json")
    assert json.loads(said) == {"generations": [], "history": [], "fleet": {}}


def test_older_tool_is_replaced_under_its_drains(install: Callable[[], list[str]], tmp_path: Path) -> None:
    """One that may not look into others' processes starts the tool by its own path, hours after it was replaced."""
    library = tmp_path / "usr" / "local" / "lib" / APP
    library.mkdir()
    for name in OLDER:
        (library / f"{name}.py").write_text("raise SystemExit('the older one')\n")
    (tmp_path / "usr" / "local" / "sbin" / f"{APP}-generations").symlink_to(library / "generations.py")
    assert set(install()) >= {f"/usr/local/lib/{APP}/{name}.py" for name in OLDER}
    assert {path.name for path in library.iterdir()} == {"generations", "generations.py"}
    assert run(Path(sys.executable), str(library / "generations.py"), "unlock") == "nobody holds the lock\n"
    assert "generations drain" in run(tmp_path / "usr" / "local" / "sbin" / f"{APP}-generations", "--help")


@pytest.mark.skipif(
    os.geteuid() == 0 and not may_look(), reason="its connections are closed by a tool that starts anew"
)
def test_drain_outlives_its_files(tmp_path: Path) -> None:
    """A newer version may replace them in the hours that it runs: all that it needs was read when it began."""
    library, home = tmp_path / "lib" / APP, tmp_path / "srv" / APP
    shutil.copytree(ROOT / "roles" / "asgi" / "files" / "generations", library / "generations")
    paths = library / "generations" / "paths.py"
    paths.write_text(paths.read_text().replace('Path("/srv")', f"Path({str(tmp_path / 'srv')!r})"))
    folder, path = home / "generations" / "release0-aaaaaa", str(tmp_path / "server.sock")
    folder.mkdir(parents=True)
    described = {
        "generation": folder.name, "release": "release0", "version": "v1", "unit": f"{APP}-daphne", "instances": [],
        "manager": "systemd", "user": getpass.getuser(), "sockets": [path],
    }  # fmt: skip
    (folder / "generation.json").write_text(json.dumps(described))
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        accepted, _ = server.accept()
        command = [sys.executable, str(library / "generations"), "drain", folder.name, "3", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as drain:
            while not (folder / "deadline").exists() and drain.poll() is None:
                time.sleep(0.05)
            for file in (library / "generations").iterdir():
                file.unlink()
                file.write_text("raise SystemExit('of another version')\n")
            client.settimeout(20)
            assert client.recv(1) == b""
            accepted.close()
            assert drain.communicate()[0].endswith(f"{folder.name}: stopped\n")
