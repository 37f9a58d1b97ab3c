"""A source is packed whole, without debris, and is named by its content alone."""

from __future__ import annotations

import base64
import functools
import http.server
import importlib
import json
import os
import resource
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.requirements.errors import RequirementsError
from ansible_collections.channels.stack.plugins.module_utils.source import git as project_git

ROOT = Path(__file__).resolve().parents[2]
release_archive = importlib.import_module("ansible_collections.channels.stack.plugins.action.release_archive")


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


@pytest.fixture
def full() -> Iterator[Any]:
    """Return a function after which no file may grow beyond some bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_is_told_with_the_path_and_leaves_nothing(tmp_path: Path, full: Any) -> None:
    members, archive = [(tarfile.TarInfo("film"), os.urandom(100_000))], tmp_path / "releases" / "a.tar.gz"
    members[0][0].size = 100_000
    wanted = {"backend": ".", "requirements": [], "packages": ["x" * 9000], "constraints": [], "python": ""}
    full(4096)
    with pytest.raises(OSError, match="cannot be written") as packed:
        release_archive.pack(members, archive)
    with pytest.raises(OSError, match="cannot be written") as needed:
        release_archive.needs_of({}, wanted, "0123456789ab", tmp_path)
    full(10**9)
    assert str(archive) in str(packed.value) and str(tmp_path / "requirements") in str(needed.value)
    assert all("release_cache" in str(error.value) for error in (packed, needed))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "a part of it is left"
    release_archive.pack(members, archive)
    assert archive.exists()


def test_full_disk_is_told_of_a_clone(pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what git left of it is made whole by the next run."""
    (tmp_path / "bin").mkdir()
    fake = "#!/bin/sh\n: >HEAD\necho 'error: could not write config file: No space left on device' >&2\nexit 128\n"
    (tmp_path / "bin" / "git").write_text(fake)
    (tmp_path / "bin" / "git").chmod(0o755)
    source = tmp_path / "source"
    source.mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        told = pack(repository=str(source), version="HEAD")["msg"]
    assert f"failed in {tmp_path / 'cache' / 'git'}/" in told and "release_cache" in told
    git(source, "init", "--quiet")
    (source / "manage.py").touch()
    git(source, "add", "--all")
    git(source, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "first")
    assert not pack(repository=str(source), version="HEAD").get("failed")


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


def test_ignored_files_stay_behind_without_a_repository(pack: Any, project: Path) -> None:
    """As in an archive that was downloaded; also of a repository in a folder that is none, and of one's parent."""
    (project / ".gitignore").write_text("*.sqlite3\n!keep.sqlite3\n/media/\n")
    (project / "backend" / ".gitignore").write_text("/local.py\n")
    for name in ("db.sqlite3", "keep.sqlite3", "media/a.png", "backend/local.py", "backend/media/b.png"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("data")
    wanted = {
        ".gitignore", "link", "keep.sqlite3", "backend/.gitignore", "backend/manage.py", "backend/media/b.png",
        "backend/requirements/base.txt", "backend/requirements/production.txt",
    }  # fmt: skip
    assert names(pack(folder=str(project))) == wanted
    git(project / "backend", "init", "-q")
    assert names(pack(folder=str(project), submodules=False)) == wanted
    git(project.parent, "init", "-q")
    (project.parent / ".gitignore").write_text("*\n")
    assert names(pack(folder=str(project))) == wanted


def test_folder_of_another_user_is_told(pack: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(project, "init", "-q")
    (project / ".gitignore").write_text("*.sqlite3\n")
    (project / "db.sqlite3").write_text("data")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    result = pack(folder=str(project))
    assert "db.sqlite3" not in names(result) and "backend/manage.py" in names(result)
    assert "belongs to another user" in result["notices"][0]


def test_folder_in_a_larger_repository(pack: Any, project: Path) -> None:
    """What git tracks is taken although it is ignored."""
    git(project.parent, "init", "-q")
    (project.parent / ".gitignore").write_text("*.sqlite3\n/cache\n")
    for name in ("seed.sqlite3", "db.sqlite3"):
        (project / name).write_text("data")
    git(project.parent, "add", "--force", "project/seed.sqlite3")
    assert {"seed.sqlite3"} == {name for name in names(pack(folder=str(project))) if name.endswith("3")}


def test_names_of_any_encoding_are_packed(pack: Any, project: Path) -> None:
    (project / os.fsdecode(b"b\xfccher.txt")).write_text("latin-1")
    assert os.fsdecode(b"b\xfccher.txt") in names(pack(folder=str(project)))


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


@pytest.mark.parametrize("link", ["file", "folder"])
def test_requirements_behind_a_link_are_read(pack: Any, project: Path, link: str) -> None:
    (project / "backend" / "file.txt").symlink_to("requirements/base.txt")
    (project / "folder").symlink_to("backend/requirements")
    wanted, lines = {
        "file": ("backend/file.txt", ["Django"]), "folder": ("folder/production.txt", ["Django", "gunicorn"]),
    }[link]  # fmt: skip
    result = pack(folder=str(project), requirements=[wanted])
    assert json.loads(Path(result["requirements"]).read_text())["lines"] == lines


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


def test_tag_that_is_gone_is_not_deployed(pack: Any, repository: Path) -> None:
    git(repository, "tag", "--annotate", "--message=two", "v2")
    assert "failed" not in pack(repository=str(repository), version="v2")
    git(repository, "tag", "--delete", "v2")
    assert "named v2" in pack(repository=str(repository), version="v2")["msg"]


def test_unknown_version_is_named(pack: Any, repository: Path) -> None:
    result = pack(repository=str(repository), version="v9")
    assert result["failed"] and "v9" in result["msg"]


def test_credentials_of_an_address_do_not_show(pack: Any) -> None:
    result = pack(repository="https://user:hunter2@127.0.0.1:1/project.git", version="main")
    assert result["failed"]
    assert "hunter2" not in result["msg"]


# --- commits, keys, submodules --------------------------------------------------------------------------------------

# Plays ssh: notes how it was called and the key that it was given, and runs the command here.
SSH = """#!/bin/sh
printf '%s\\n' "$@" > "$NOTES/arguments"
while [ "$1" != "-i" ]; do shift; done
stat -c %a "$2" > "$NOTES/mode"
cat "$2" > "$NOTES/key"
for last; do :; done
exec sh -c "$last"
"""
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nhunter2hunter2\r\n-----END OPENSSH PRIVATE KEY-----"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a stand-in for ssh notes what it was asked for."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "ssh").write_text(SSH)
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(folder))
    return folder


def test_deploy_key_is_given_to_ssh_alone(pack: Any, repository: Path, notes: Path) -> None:
    result = pack(repository=f"ssh://git@127.0.0.1{repository}", version="v1", deploy_key=KEY)
    assert "backend/manage.py" in names(result)
    arguments = (notes / "arguments").read_text().splitlines()
    assert {"IdentitiesOnly=yes", "IdentityAgent=none", "ControlPath=none", "BatchMode=yes"} <= set(arguments)
    assert "StrictHostKeyChecking=accept-new" in arguments
    assert "hunter2" not in str(arguments) + str(result)
    assert (notes / "mode").read_text() == "600\n"
    assert (notes / "key").read_text() == KEY.replace("\r", "") + "\n"
    assert not Path(arguments[arguments.index("-i") + 1]).exists(), "the key is left on the controller"


@pytest.mark.parametrize("user", ["user:hunter2%21", "hunter2"])
def test_credentials_of_an_address_are_no_argument(pack: Any, notes: Path, user: str) -> None:
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    (notes / "git").write_text(f'#!/bin/sh\necho "$@" >> "$NOTES/git-arguments"\nexec {real} "$@"\n')
    (notes / "git").chmod(0o755)
    result = pack(repository=f"http://{user}@127.0.0.1:1/project.git", version="main")
    assert result["failed"]
    told = (notes / "git-arguments").read_text()
    assert "http://127.0.0.1:1/project.git" in told and "hunter2" not in told
    assert "hunter2" not in "".join(str(path.read_bytes()) for path in notes.parent.rglob("config"))


class Private(http.server.SimpleHTTPRequestHandler):
    """Gives a folder to user `mé` with the password `hunter2!`, and to nobody else."""

    def do_GET(self) -> None:
        """Give a file, or ask who wants it."""
        wanted = "Basic " + base64.b64encode("mé:hunter2!".encode()).decode()
        if self.headers.get_all("Authorization") == [wanted]:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x", charset="UTF-8"')
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def private(repository: Path) -> Iterator[str]:
    """Address of a server that gives the repository to one user."""
    git(repository, "update-server-info")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Private, directory=str(repository)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}/.git"
    server.shutdown()
    server.server_close()


def test_credentials_of_an_address_are_used(pack: Any, private: str) -> None:
    assert "backend/manage.py" in names(pack(repository=f"http://m%C3%A9:hunter2%21@{private}", version="v1"))
    assert "put a token into the address" in pack(repository=f"http://{private}", version="v1")["msg"]


def test_another_token_makes_no_other_clone(pack: Any, private: str, tmp_path: Path) -> None:
    for token in ("old", "hunter2%21"):
        result = pack(repository=f"http://m%C3%A9:{token}@{private}", version="v1")
    assert "failed" not in result and len(list((tmp_path / "cache" / "git").iterdir())) == 1


def test_user_of_an_address_has_what_a_credential_helper_says(
    pack: Any, private: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Write user and token" in pack(repository=f"http://m%C3%A9@{private}", version="v1")["msg"]
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "credential.helper")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "!f() { echo password=hunter2!; }; f")
    assert "backend/manage.py" in names(pack(repository=f"http://m%C3%A9@{private}", version="v1"))


def test_hook_of_another_repository_does_not_matter(
    pack: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deploy from a post-receive hook finds GIT_DIR set."""
    (repository / ".gitignore").write_text("*.sqlite3\n")
    (repository / "db.sqlite3").write_text("data")
    git(tmp_path, "init", "-q", "--bare", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    packed = names(pack(folder=str(repository)))
    assert "db.sqlite3" not in packed and "backend/manage.py" in packed
    assert "backend/new.py" in names(pack(repository=str(repository), version="main"))


def test_machine_without_git_is_told(pack: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for source in ({"folder": str(repository)}, {"repository": str(repository)}):
        assert "git is not installed on this machine" in pack(**source)["msg"]


def test_lfs_leaves_pointers(pack: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its filter would fail: there is no remote to fetch from."""
    (repository / ".gitattributes").write_text("*.png filter=lfs\n")
    (repository / "logo.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "a picture")
    for number, (key, value) in enumerate(
        [("filter.lfs.required", "true"), ("filter.lfs.smudge", 'test "$GIT_LFS_SKIP_SMUDGE" = 1 && cat')]
    ):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
        monkeypatch.setenv("GIT_CONFIG_COUNT", str(number + 1))
    result = pack(repository=str(repository), version="main")
    assert "logo.png" in names(result) and "logo.png" in result["notices"][0]


def test_commit_that_no_branch_has(pack: Any, repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    (repository / "backend" / "lost.py").write_text("lost\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "of no branch")
    commit = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    git(repository, "update-ref", "refs/pull/1/head", commit)
    git(repository, "checkout", "-q", "main")
    by_short = pack(repository=f"file://{repository}", version=commit[:8])
    assert "backend/lost.py" in names(by_short)
    git(repository, "update-ref", "-d", "refs/pull/1/head")
    whole = pack(repository=f"file://{repository}/", version=commit)
    assert whole["release"] == by_short["release"] == commit[:12]
    assert pack(repository=f"file://{repository}//", version=commit[:8])["failed"], "no server tells a shortened name"


def test_known_commit_needs_no_server(pack: Any, repository: Path) -> None:
    commit = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "v1"], capture_output=True, text=True, check=True
    ).stdout.strip()
    first = pack(repository=str(repository), version=commit)
    repository.rename(repository.with_name("gone"))
    assert pack(repository=str(repository), version=commit)["release"] == first["release"]


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A repository with a submodule, by a relative address, which has one itself."""
    for name in ("inner", "middle", "outer"):
        folder = tmp_path / "team" / name
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main")
        (folder / f"{name}.py").write_text(name)
        git(folder, "add", ".")
        git(folder, "commit", "-qm", name)
    allow = ("-c", "protocol.file.allow=always")
    for name, submodule in (("middle", "inner"), ("outer", "middle")):
        folder = tmp_path / "team" / name
        git(folder, *allow, "submodule", "--quiet", "add", f"../{submodule}", f"libs/{submodule}")
        git(folder, "commit", "-qam", f"with {submodule}")
    outer = tmp_path / "team" / "outer"
    git(outer, *allow, "submodule", "--quiet", "update", "--init", "--recursive")
    # What the superproject names is deployed, and not what its submodules have had since.
    (tmp_path / "team" / "middle" / "later.py").write_text("later")
    git(tmp_path / "team" / "middle", "add", ".")
    git(tmp_path / "team" / "middle", "commit", "-qm", "later")
    return outer


NESTED = {
    ".gitmodules", "outer.py", "libs/middle/.gitmodules", "libs/middle/middle.py", "libs/middle/libs/inner/inner.py",
}  # fmt: skip


def test_submodules_are_packed(pack: Any, nested: Path) -> None:
    result = pack(repository=str(nested), version="main", requirements=[])
    assert names(result) == NESTED
    without = pack(repository=str(nested), version="main", submodules=False)
    assert names(without) == {".gitmodules", "outer.py"}
    assert without["release"] != result["release"]


def test_submodules_are_fetched_with_the_key(pack: Any, nested: Path, notes: Path) -> None:
    assert names(pack(repository=f"git@host:{nested}", version="main", deploy_key=KEY)) == NESTED
    assert f"git-upload-pack '{nested.parent}/inner'" in (notes / "arguments").read_text()


def test_submodules_of_a_folder_are_packed(pack: Any, nested: Path) -> None:
    assert names(pack(folder=str(nested))) == NESTED
    assert names(pack(folder=str(nested), submodules=False)) == {".gitmodules", "outer.py"}
    bare = nested.with_name("bare")
    subprocess.run(["git", "clone", "-q", str(nested), str(bare)], check=True)
    result = pack(folder=str(bare))
    assert "libs/middle is a submodule that is not checked out" in result["msg"]


def test_submodule_that_cannot_be_had_is_named(pack: Any, nested: Path) -> None:
    (nested.parent / "inner").rename(nested.parent / "gone")
    result = pack(repository=str(nested), version="main")
    assert "Submodule libs/middle/libs/inner: " in result["msg"]
    assert "release_submodules: false" in result["msg"]


def test_repository_within_that_nobody_declared_is_told(pack: Any, nested: Path) -> None:
    git(nested, "rm", "-q", "--cached", ".gitmodules")
    git(nested, "commit", "-qm", "undeclared")
    result = pack(repository=str(nested), version="main")
    assert "libs/middle is a repository that .gitmodules does not name" in result["notices"][0]


@pytest.mark.parametrize(
    ("address", "url", "meant"),
    [
        ("https://host/team/app.git", "../lib.git", "https://host/team/lib.git"),
        ("https://host/team/app.git/", "../../other/lib", "https://host/other/lib"),
        ("git@host:team/app.git", "../lib.git", "git@host:team/lib.git"),
        ("git@host:app.git", "../lib.git", "git@host:lib.git"),
        ("https://host/app", "./lib", "https://host/app/lib"),
        ("https://host/app", "git@other:lib.git", "git@other:lib.git"),
    ],
)
def test_relative_addresses(address: str, url: str, meant: str) -> None:
    assert project_git.resolved(address, url) == meant


def test_pointers_are_told(pack: Any, project: Path) -> None:
    (project / "logo.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n")
    assert "logo.png" in pack(folder=str(project))["notices"][0]


# --- what the project needs -----------------------------------------------------------------------------------------


def test_needs_are_kept_for_the_role_alone(pack: Any, project: Path) -> None:
    (project / "backend" / "requirements.txt").write_text("x @ git+https://me:hunter2@host/x.git\n")
    wanted = {"folder": str(project), "backend": "backend", "requirements": ["requirements.txt"]}
    result = pack(**wanted, packages=["gunicorn"], constraints=["redis<8"])
    file = Path(result["requirements"])
    assert file.stat().st_mode & 0o077 == 0
    needs = json.loads(file.read_text())
    assert needs["lines"] == ["x @ git+https://me:hunter2@host/x.git", "gunicorn"]
    assert needs["constraints"] == ["redis<8"] and result["needs_git"]
    assert "hunter2" not in str(result)
    assert pack(**wanted)["requirements_hash"] != result["requirements_hash"]


def test_needs_in_the_source_are_of_one_release(pack: Any, project: Path) -> None:
    wanted = {"folder": str(project), "backend": "backend", "packages": ["-e ."]}
    before = pack(**wanted)["requirements_hash"]
    (project / "backend" / "manage.py").write_text("changed\n")
    assert pack(**wanted)["requirements_hash"] != before
