"""Action that packs a project's source into an archive on the controller, named by its content.

Packs a local folder (`folder`), or a `version` (branch, tag or commit) of a git `repository`, into a tar file that has
the same bytes for the same content, so that many hosts share one and an unchanged source makes nothing new. From a
folder it takes what git would (files that .gitignore names stay behind) where the folder is in a work tree, else all
but well-known debris. The file `marker` comes last in it, so that a folder that has it was unpacked whole.

    - name: Source is packed
      release_archive:
        repository: https://git.example.org/team/dashboard.git
        version: v1.4.2
        backend: backend                        # in which requirements are looked up; files that they include are found
        requirements: [requirements/base.txt]
        marker: .complete
        cache: .cache                           # keeps archives and clones

Returns `release` (twelve hexadecimal digits of the commit or of the folder's content), `path` of the archive,
`requirements_hash` (SHA-256 of all requirements files together), `size` (bytes of the source, unpacked) and `version`
(what was asked for, a version or a folder's name). An action and not a module: on the controller, the start of another
interpreter would take longer than the work.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import subprocess
import tarfile
import typing as t
from pathlib import Path, PurePosixPath

from ansible.plugins.action import ActionBase

DEBRIS = {".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".mypy_cache", ".pytest_cache"}
INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]+(\S+)")


class SourceError(Exception):
    """The source cannot be packed; the text says what to change."""


def git(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run git in a folder; it asks nobody for anything."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(
        ["git", *arguments], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def successful_git(*arguments: str, cwd: Path) -> str:
    """Run git and return what it printed; raise SourceError, in which credentials of an address do not show."""
    done = git(*arguments, cwd=cwd)
    if done.returncode:
        said = re.sub(r"://[^/@\s]+@", "://***@", done.stderr.strip() or done.stdout.strip())
        raise SourceError(f"git {arguments[0]} failed: {said}")
    return done.stdout


def folder_files(folder: Path) -> list[str]:
    """List the files of a folder that belong to a release, relative to it, sorted."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=folder)
    if listed.returncode == 0 and listed.stdout:
        names = [name for name in listed.stdout.split("\0") if name and os.path.lexists(folder / name)]
    else:
        names = [
            os.path.relpath(os.path.join(parent, name), folder)
            for parent, folders, files in os.walk(folder)
            if not DEBRIS.intersection(PurePosixPath(os.path.relpath(parent, folder)).parts)
            for name in (*files, *(link for link in folders if os.path.islink(os.path.join(parent, link))))
        ]
    return sorted(name for name in names if not DEBRIS.intersection(PurePosixPath(name).parts))


def member(name: str, path: Path) -> tuple[tarfile.TarInfo, bytes]:
    """Return a file's entry in the archive, free of owner and times, and its content."""
    info = tarfile.TarInfo(name)
    if path.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        return info, b""
    content = path.read_bytes()
    info.size = len(content)
    info.mode = 0o755 if os.access(path, os.X_OK) else 0o644
    return info, content


def pack(members: list[tuple[tarfile.TarInfo, bytes]], target: Path) -> None:
    """Write an archive, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    with (
        part.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    part.replace(target)


def digest(members: list[tuple[tarfile.TarInfo, bytes]]) -> str:
    """Return the name of a content: the same files, modes and links give the same one."""
    summary = hashlib.sha256()
    for info, content in members:
        head = f"{info.name}\0{info.mode:o}\0{info.linkname}\0{hashlib.sha256(content).hexdigest()}\n"
        summary.update(head.encode())
    return summary.hexdigest()[:12]


def from_folder(folder: Path) -> tuple[str, list[tuple[tarfile.TarInfo, bytes]]]:
    """Return the release's name and the members of a local folder."""
    if not folder.is_dir():
        raise SourceError(f"release_folder: there is no folder {folder} on the controller")
    names = [name for name in folder_files(folder) if (folder / name).is_symlink() or (folder / name).is_file()]
    members = [member(name, folder / name) for name in names]
    return digest(members), members


def from_repository(address: str, version: str, cache: Path) -> tuple[str, Path]:
    """Return the commit that a version names, and a bare clone that has it."""
    clone = cache / "git" / hashlib.sha256(address.encode()).hexdigest()[:16]
    if not (clone / "HEAD").exists():
        clone.mkdir(parents=True, exist_ok=True)
        successful_git("init", "--quiet", "--bare", cwd=clone)
    # The address stays out of the clone's configuration: it may hold credentials.
    successful_git("fetch", "--quiet", "--prune", "--force", "--tags", address, "+refs/heads/*:refs/heads/*",
        "+HEAD:refs/fetched/HEAD", cwd=clone)  # fmt: skip
    for name in ("refs/fetched/HEAD" if version == "HEAD" else version, f"refs/tags/{version}"):
        found = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", cwd=clone)
        if found.returncode == 0:
            return found.stdout.strip(), clone
    raise SourceError(f"release_version: the repository has no branch, tag or commit named {version}")


def members_of(archive: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the files of a tar archive as git made it."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for info in packed:
            stream = packed.extractfile(info) if info.isfile() else None
            if info.isfile() or info.issym():
                clean = tarfile.TarInfo(info.name)
                clean.type, clean.linkname, clean.size = info.type, info.linkname, info.size
                clean.mode = 0o755 if info.mode & 0o100 else 0o644
                found.append((clean, stream.read() if stream else b""))
    return found


def requirements_hash(contents: dict[str, bytes], backend: str, names: list[str]) -> str:
    """Return a digest of requirements files and of all that they include; raise SourceError for one that is missing."""
    summary, seen = hashlib.sha256(), set()
    pending = [os.path.normpath(os.path.join(backend, name)) for name in names]
    while pending:
        name = pending.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if name not in contents:
            raise SourceError(
                f"release_requirements: the source has no file {name}. "
                f"It has: {', '.join(sorted(n for n in contents if 'requirements' in n)[:8]) or 'none of that kind'}"
            )
        summary.update(contents[name])
        for line in contents[name].decode("utf-8", "replace").splitlines():
            if included := INCLUDE.match(line):
                pending.append(os.path.normpath(os.path.join(os.path.dirname(name), included[1])))
    return summary.hexdigest()


def archive(wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Pack what is wanted, and return what the action returns; raise SourceError or OSError where that cannot be."""
    cache = Path(wanted["cache"]).expanduser().absolute()
    if wanted["folder"]:
        release, members = from_folder(Path(wanted["folder"]).expanduser())
    else:
        commit, clone = from_repository(wanted["repository"], wanted["version"], cache)
        release, tar = commit[:12], cache / "releases" / f"{commit}.{os.getpid()}.tar"
        tar.parent.mkdir(parents=True, exist_ok=True)
        successful_git("archive", "--format=tar", f"--output={tar}", commit, cwd=clone)
        members = members_of(tar.read_bytes())
        tar.unlink()
    contents = {info.name: content for info, content in members if info.isfile()}
    requirements = requirements_hash(contents, wanted["backend"], wanted["requirements"])
    target = cache / "releases" / f"{release}.tar.gz"
    if not target.exists():
        pack([*members, (tarfile.TarInfo(wanted["marker"]), b"")], target)
    return {
        "release": release,
        "path": str(target),
        "requirements_hash": requirements,
        "size": sum(info.size for info, _ in members),
        "version": wanted["version"] if wanted["repository"] else Path(wanted["folder"]).name,
    }


class ActionModule(ActionBase):
    """The action. Archives are a cache of the controller and no state that anybody asked for: it changes nothing."""

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
                "requirements": {"type": "list", "elements": "str", "default": []},
                "marker": {"type": "str", "required": True},
                "cache": {"type": "path", "required": True},
            },
            mutually_exclusive=[("folder", "repository")],
            required_one_of=[("folder", "repository")],
        )
        try:
            return {"changed": False, **archive(wanted)}
        except (SourceError, OSError) as error:
            return {"failed": True, "msg": str(error)}
