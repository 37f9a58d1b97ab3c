"""Action that packs a project's source into an archive; see `plugins/modules/release_archive.py`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
import typing as t
from pathlib import Path, PurePosixPath

from ansible.plugins.action import ActionBase

from ..module_utils.requirements import merged
from ..module_utils.requirements.errors import RequirementsError
from ..module_utils.source.cache import prune, whole_file
from ..module_utils.source.git import (
    Git,
    Member,
    SourceError,
    fetched,
    members_at,
    members_of,
    submodules,
)

DEBRIS = {".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".mypy_cache", ".pytest_cache"}
POINTER = b"version https://git-lfs.github.com/spec/"


def listed(folder: Path, notices: list[str]) -> list[str]:
    """List a folder's files as git would, by its repository or by .gitignore files; an inner repository is one name."""
    git, wanted = Git(), ("ls-files", "-z", "--others", "--exclude-standard")
    found = git.run(*wanted, "--cached", cwd=folder)
    if b"dubious ownership" in found.stderr:
        told = "belongs to another user, so git does not look into its repository; only .gitignore was looked at."
        notices.append(f"{folder} {told}")
    within = found.returncode == 0 and found.stdout  # else in no repository, or in one that ignores the folder
    if not within:
        with tempfile.TemporaryDirectory() as empty:
            git.output("init", "--quiet", empty, cwd=folder)
            found = git.run(f"--git-dir={empty}/.git", "--work-tree=.", *wanted, cwd=folder)
    names = [os.fsdecode(name) for name in found.stdout.split(b"\0") if name]
    return [name.rstrip("/") for name in names] if within else names


def folder_files(folder: Path, submodules: bool, notices: list[str]) -> list[str]:
    """List a folder's files that belong to a release, relative to it and sorted."""
    names = []
    for name in listed(folder, notices):
        path = folder / name
        if path.is_dir() and not path.is_symlink():  # a submodule, or an inner repository, is one name
            if submodules and not (path / ".git").exists():
                told = "is a submodule that is not checked out. Run git submodule update --init --recursive"
                raise SourceError(f"release_folder: {path} {told}, or write release_submodules: false")
            if submodules or name.endswith("/"):  # a repository in a folder that is not one
                names += [f"{name.rstrip('/')}/{inner}" for inner in folder_files(path, True, notices)]
        elif path.is_symlink() or path.is_file():
            names.append(name)
    return sorted(name for name in names if not DEBRIS.intersection(PurePosixPath(name).parts))


def member(name: str, path: Path) -> Member:
    """Return a file's entry in the archive, without owner and times, and its content."""
    info = tarfile.TarInfo(name)
    if path.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        return info, b""
    content = path.read_bytes()
    info.size = len(content)
    info.mode = 0o755 if os.access(path, os.X_OK) else 0o644
    return info, content


def pack(members: list[Member], target: Path) -> None:
    """Write a complete archive, or none at all."""
    with (
        whole_file(target) as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))


def digest(members: list[Member]) -> str:
    """Return a name for the content: the same files, modes and links give the same name."""
    summary = hashlib.sha256()
    for info, content in members:
        head = f"{info.name}\0{info.mode:o}\0{info.linkname}\0{hashlib.sha256(content).hexdigest()}\n"
        summary.update(head.encode(errors="surrogateescape"))  # names may be in any encoding
    return summary.hexdigest()[:12]


def from_folder(folder: Path, submodules: bool, notices: list[str]) -> tuple[str, list[Member]]:
    """Return the release's name and the members of a local folder."""
    if not folder.is_dir():
        raise SourceError(f"release_folder: there is no folder {folder} on the controller")
    members = [member(name, folder / name) for name in folder_files(folder, submodules, notices)]
    return digest(members), members


def from_repository(
    git: Git, wanted: t.Mapping[str, t.Any], cache: Path, notices: list[str]
) -> tuple[str, list[Member]]:
    """Return the release's name and the members of a version of a repository."""
    address = wanted["repository"]
    commit, clone = fetched(git, address, wanted["version"], cache)
    if wanted["submodules"]:
        return commit[:12], members_at(git, (address, clone), commit, cache, notices)
    members = members_of(git.output("archive", "--format=tar", commit, cwd=clone))
    # A commit without its submodules is a different release.
    return (digest(members) if submodules(git, clone, commit) else commit[:12]), members


def readable(members: list[Member]) -> dict[str, bytes]:
    """The contents of files by path, including paths that lead to them through links."""
    contents = {info.name: content for info, content in members if info.isfile()}
    for link in [info for info, _ in members if info.issym()]:
        target = os.path.normpath(os.path.join(os.path.dirname(link.name), link.linkname))
        if target in contents:
            contents[link.name] = contents[target]
        else:
            below = [name for name in contents if name.startswith(f"{target}/")]
            contents |= {link.name + name.removeprefix(target): contents[name] for name in below}
    return contents


def needs_of(contents: dict[str, bytes], wanted: t.Mapping[str, t.Any], release: str, cache: Path) -> dict[str, t.Any]:
    """Read what the project needs, and store it for the role in a private file: lines may hold credentials."""
    needs, notices = merged.read(
        contents, wanted["backend"], wanted["requirements"], wanted["packages"], wanted["constraints"]
    )
    name = merged.digest(needs, release)
    path = cache / "requirements" / f"{name}.json"
    with whole_file(path, 0o600, 0o700) as file:
        file.write(json.dumps(vars(needs)).encode())
    return {
        "requirements_hash": name,
        "requirements": str(path),
        "needs_git": any("git+" in line for line in [*needs.lines, *needs.constraints, *needs.overrides]),
        "needs_source": merged.local(needs),
        "notices": notices + merged.python_notice(needs.python, wanted["python"]),
    }


def archive(wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Pack what is wanted, and return the action's result; raise SourceError or OSError if that fails."""
    cache = Path(wanted["cache"]).expanduser().absolute()
    notices: list[str] = []
    if wanted["folder"]:
        release, members = from_folder(Path(wanted["folder"]).expanduser(), wanted["submodules"], notices)
    else:
        with Git(wanted["deploy_key"]) as git:
            release, members = from_repository(git, wanted, cache, notices)
    pointers = [info.name for info, content in members if content.startswith(POINTER)]
    if pointers:
        notices.append(f"Git LFS has the content of {', '.join(pointers[:4])}; the release has only pointers to it.")
    needs = needs_of(readable(members), wanted, release, cache)
    target = cache / "releases" / f"{release}.tar.gz"
    prune(target.parent)
    if not target.exists():
        pack([*members, (tarfile.TarInfo(wanted["marker"]), b"")], target)
    return {
        **needs,
        "release": release,
        "path": str(target),
        "size": sum(info.size for info, _ in members),
        "version": wanted["version"] if wanted["repository"] else Path(wanted["folder"]).name,
        "notices": notices + needs["notices"],
    }


class ActionModule(ActionBase):
    """The action. Archives are a cache on the controller, not a state that anybody asked for: it changes nothing."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Pack the source."""
        super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path"},
                "repository": {"type": "str"},
                "version": {"type": "str", "default": "HEAD"},
                "backend": {"type": "str", "default": "."},
                "deploy_key": {"type": "str", "default": "", "no_log": True},
                "submodules": {"type": "bool", "default": True},
                "requirements": {"type": "list", "elements": "str", "default": []},
                "packages": {"type": "list", "elements": "str", "default": []},
                "constraints": {"type": "list", "elements": "str", "default": []},
                "python": {"type": "str", "default": ""},
                "marker": {"type": "str", "required": True},
                "cache": {"type": "path", "required": True},
            },
            mutually_exclusive=[("folder", "repository")],
            required_one_of=[("folder", "repository")],
        )
        try:
            return {"changed": False, **archive(wanted)}
        except (SourceError, RequirementsError, OSError) as error:
            return {"failed": True, "msg": str(error)}
