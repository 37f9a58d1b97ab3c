"""A source is packed whole, without debris, and is named by its content alone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("release_archive", ROOT / "plugins" / "action" / "release_archive.py")
assert spec and spec.loader
release_archive = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release_archive)
RequirementsError = release_archive.project_requirements.RequirementsError


@pytest.fixture
def pack(tmp_path: Path) -> Any:
    """Return a function that packs and returns the result; `failed` is set where it failed."""
    defaults = {
        "folder": None, "repository": None, "version": "HEAD", "deploy_key": "", "submodules": True, "backend": ".",
        "requirements": [], "packages": [], "constraints": [], "python": "3.11.2",
    }  # fmt: skip

    def run(**arguments: Any) -> dict[str, Any]:
        wanted = {**defaults, "marker": ".complete", "cache": str(tmp_path / "cache"), **arguments}
        try:
            return release_archive.archive(wanted)
        except (release_archive.SourceError, RequirementsError, OSError) as error:
            return {"failed": True, "msg": str(error)}

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project, in a folder that is in no git work tree."""
    folder = tmp_path / "project"
    (folder / "backend" / "requirements").mkdir(parents=True)
    (folder / "backend" / "manage.py").write_text("#!/usr/bin/env python\n")
    (folder / "backend" / "manage.py").chmod(0o755)
    (folder / "backend" / "requirements" / "base.txt").write_text("Django\n")
    (folder / "backend" / "requirements" / "production.txt").write_text("-r base.txt\ngunicorn\n")
    (folder / "link").symlink_to("backend/manage.py")
    return folder


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, independent of the user's own settings."""
    identity = {
        f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, env={**os.environ, **identity}
    )


def names(result: dict[str, Any]) -> set[str]:
    """Return the names in the archive that a result tells of."""
    with tarfile.open(result["path"]) as archive:
        return set(archive.getnames()) - {".complete"}


def test_folder_is_packed_with_modes_and_links(pack: Any, project: Path) -> None:
    result = pack(folder=str(project))
    with tarfile.open(result["path"]) as archive:
        assert archive.getmember("backend/manage.py").mode == 0o755
        assert archive.getmember("backend/requirements/base.txt").mode == 0o644
        assert archive.getmember("link").linkname == "backend/manage.py"
        assert archive.getnames()[-1] == ".complete", "a folder that has the marker might lack what comes after it"


def test_debris_stays_behind(pack: Any, project: Path) -> None:
    for name in ("backend/__pycache__/x.pyc", ".venv/bin/python", "node_modules/x/index.js"):
        (project / name).parent.mkdir(parents=True)
        (project / name).write_text("debris")
    assert names(pack(folder=str(project))) == {
        "backend/manage.py", "backend/requirements/base.txt", "backend/requirements/production.txt", "link",
    }  # fmt: skip


def test_ignored_files_stay_behind_in_a_work_tree(pack: Any, project: Path) -> None:
    git(project, "init", "-q")
    (project / ".gitignore").write_text("*.sqlite3\n")
    (project / "backend" / "db.sqlite3").write_text("data")
    (project / "backend" / "new.py").write_text("not committed yet\n")
    packed = names(pack(folder=str(project)))
    assert "backend/new.py" in packed
    assert "backend/db.sqlite3" not in packed


def test_same_content_has_the_same_name_and_bytes(pack: Any, project: Path, tmp_path: Path) -> None:
    first = pack(folder=str(project))
    content = Path(first["path"]).read_bytes()
    Path(first["path"]).unlink()
    os.utime(project / "backend" / "manage.py", (1, 1))
    second = pack(folder=str(project))
    assert second["release"] == first["release"]
    assert Path(second["path"]).read_bytes() == content


@pytest.mark.parametrize("change", ["content", "mode", "name", "link"])
def test_any_change_has_another_name(pack: Any, project: Path, change: str) -> None:
    before = pack(folder=str(project))["release"]
    manage = project / "backend" / "manage.py"
    if change == "content":
        manage.write_text("#!/usr/bin/env python3\n")
    elif change == "mode":
        manage.chmod(0o644)
    elif change == "name":
        manage.rename(manage.with_name("run.py"))
    else:
        (project / "link").unlink()
        (project / "link").symlink_to("backend")
    assert pack(folder=str(project))["release"] != before


def test_requirements_are_followed(pack: Any, project: Path) -> None:
    wanted = {"folder": str(project), "backend": "backend", "requirements": ["requirements/production.txt"]}
    before = pack(**wanted)["requirements_hash"]
    (project / "backend" / "manage.py").write_text("changed\n")
    assert pack(**wanted)["requirements_hash"] == before
    (project / "backend" / "requirements" / "base.txt").write_text("Django<6\n")
    assert pack(**wanted)["requirements_hash"] != before


def test_missing_requirements_are_named(pack: Any, project: Path) -> None:
    result = pack(folder=str(project), backend="backend", requirements=["requirements.txt"])
    assert result["failed"]
    assert "backend/requirements.txt" in result["msg"] and "backend/requirements/base.txt" in result["msg"]


def test_missing_folder_is_named(pack: Any, tmp_path: Path) -> None:
    result = pack(folder=str(tmp_path / "nowhere"))
    assert result["failed"] and "nowhere" in result["msg"]


@pytest.fixture
def repository(project: Path) -> Path:
    """The project as a git repository with a tag, a later commit, and a branch."""
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    git(project, "tag", "v1")
    (project / "backend" / "new.py").write_text("new\n")
    git(project, "add", ".")
    git(project, "commit", "-qm", "second")
    git(project, "branch", "feature", "v1")
    return project


def test_versions_of_a_repository(pack: Any, repository: Path) -> None:
    packed = {
        version: pack(repository=str(repository), version=version) for version in ("HEAD", "main", "v1", "feature")
    }
    assert "backend/new.py" in names(packed["main"])
    assert "backend/new.py" not in names(packed["v1"])
    assert (
        packed["HEAD"]["release"]
        == packed["main"]["release"]
        != packed["v1"]["release"]
        == packed["feature"]["release"]
    )
    by_commit = pack(repository=str(repository), version=packed["v1"]["release"])
    assert by_commit["release"] == packed["v1"]["release"]


def test_moved_branch_is_followed(pack: Any, repository: Path) -> None:
    before = pack(repository=str(repository), version="main")["release"]
    (repository / "backend" / "newer.py").write_text("newer\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "third")
    assert pack(repository=str(repository), version="main")["release"] != before


def test_unknown_version_is_named(pack: Any, repository: Path) -> None:
    result = pack(repository=str(repository), version="v9")
    assert result["failed"] and "v9" in result["msg"]


def test_credentials_of_an_address_do_not_show(pack: Any) -> None:
    result = pack(repository="https://user:hunter2@127.0.0.1:1/project.git", version="main")
    assert result["failed"]
    assert "hunter2" not in result["msg"]
