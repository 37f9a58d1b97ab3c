"""Get a version of a project from git, on the controller: with a deploy key and submodules, without a work tree."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import typing as t
from pathlib import Path
from urllib.parse import unquote

Member = tuple[tarfile.TarInfo, bytes]
LINK = "160000"  # the mode of a submodule in a tree
FULL = "No space left on device"
HINTS = {
    "Permission denied (publickey": "The server takes none of the keys that it was offered: set release_deploy_key to "
    "the text of one that it takes.",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "The server has another key than the one in this machine's known_hosts.",
    "Host key verification failed": "This machine's known_hosts does not have the server: log in to it once by ssh, or "
    "set release_deploy_key, with which its key is taken down.",
    "could not read Username": "The repository is not public: write release_repository as git@host:path and set "
    "release_deploy_key, or put a token into the address: https://user:token@host/path.",
    FULL: "Make room there, or let release_cache name another folder.",
    "could not read Password": "Write user and token into the address: https://user:token@host/path.",
}
# Variables that describe the repository of a git hook, since a hook may start a deploy.
OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
          "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_NAMESPACE")  # fmt: skip


class SourceError(Exception):
    """The source cannot be packed; the text says what to change."""


class Git:
    """git, without any prompts. While a key is in use, it is in a file that only its owner can read."""

    def __init__(self, key: str = "") -> None:
        """Take the text of a private SSH key."""
        self._key = key
        # Git LFS files stay pointers, and a notice says so: a clone without a remote cannot fetch them.
        own = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}  # HINTS are in this language
        self._environment = {name: value for name, value in os.environ.items() if name not in OTHERS} | own
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Git:
        """Put the key where ssh finds it."""
        if self._key:
            file = self._stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="release-key-"))  # of mode 0600
            file.write("\n".join(self._key.strip().splitlines()) + "\n")
            file.flush()
            # Offer none of the agent's keys: servers count attempts, and a key may be another project's. Share no
            # connection: it may have been opened with another key, or outlive this one.
            options = ("IdentitiesOnly=yes", "IdentityAgent=none", "ControlPath=none", "BatchMode=yes",
                       "StrictHostKeyChecking=accept-new")  # fmt: skip
            words = ["ssh", "-i", file.name, *(word for one in options for word in ("-o", one))]
            self._environment["GIT_SSH_COMMAND"] = shlex.join(words)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the key."""
        self._stack.close()

    def run(self, *arguments: str, cwd: Path, address: str = "") -> subprocess.CompletedProcess[bytes]:
        """Run git in a folder; the argument `ADDRESS` is replaced by an address without its credentials."""
        environment, bare, settings = dict(self._environment), address, []
        if found := re.match(r"(https?://)([^/@\s]*)@([^/]+)", address):
            # Every user of this machine can see arguments; only the owner can see the environment.
            bare = address.replace(f"{found[2]}@", "", 1)
            server = f"{found[1]}{found[3]}"
            if ":" in found[2]:
                secret = base64.b64encode(unquote(found[2]).encode()).decode()
                settings = [(f"http.{server}/.extraHeader", f"Authorization: Basic {secret}")]
            else:  # a user whose password a credential helper may have
                settings = [(f"credential.{server}.username", unquote(found[2]))]
        count = int(environment.get("GIT_CONFIG_COUNT") or 0)
        for number, (key, value) in enumerate(settings, count):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
            environment["GIT_CONFIG_COUNT"] = str(number + 1)
        command = ["git", *(bare if one == "ADDRESS" else one for one in arguments)]
        try:
            return subprocess.run(
                command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )  # fmt: skip
        except FileNotFoundError as error:
            if error.filename != "git":  # the folder is missing
                raise
            raise SourceError("git is not installed on this machine, or not on its path") from error

    def output(self, *arguments: str, cwd: Path, address: str = "") -> bytes:
        """Run git and return its output; raise SourceError, without any credentials of an address in its text."""
        done = self.run(*arguments, cwd=cwd, address=address)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace")
            hint = next((f"\n{hint}" for sign, hint in HINTS.items() if sign in said), "")
            said = re.sub(r"://[^/@\s]+@", "://***@", said)
            raise SourceError(f"git {arguments[0]} failed in {cwd}: {said}{hint}")
        return done.stdout


def commit_of(git: Git, clone: Path, version: str) -> str:
    """The commit that a version names in a clone; empty if there is none."""
    for name in ("refs/fetched/HEAD" if version == "HEAD" else version, f"refs/tags/{version}", f"refs/all/{version}"):
        found = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", cwd=clone)
        if found.returncode == 0:
            return found.stdout.decode().split()[-1]
    return ""


def fetched(git: Git, address: str, version: str, cache: Path) -> tuple[str, Path]:
    """Return the commit that a version names, and a bare clone that has it; raise SourceError if there is none."""
    public = re.sub(r"://[^/@\s]+@", "://", address)  # another token uses the same clone
    clone = cache / "git" / hashlib.sha256(public.encode()).hexdigest()[:16]
    # A full disk or a killed run may have left only part of it.
    if not all((clone / name).exists() and (clone / name).stat().st_size for name in ("HEAD", "config", "objects")):
        try:
            shutil.rmtree(clone, ignore_errors=True)
            clone.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(f"{clone} cannot be made: {error.strerror}. {HINTS[FULL]}") from error
        git.output("init", "--quiet", "--bare", cwd=clone)
    whole = bool(re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", version))
    if whole and (commit := commit_of(git, clone, version)):
        return commit, clone  # a commit never changes
    # The address stays out of the clone's configuration: it may hold credentials.
    git.output("fetch", "--quiet", "--prune", "--force", "--end-of-options", "ADDRESS", "+refs/heads/*:refs/heads/*",
        "+refs/tags/*:refs/tags/*", "+HEAD:refs/fetched/HEAD", cwd=clone, address=address)  # fmt: skip
    commit = commit_of(git, clone, version)
    if not commit and re.fullmatch(r"[0-9a-f]{7,64}|refs/.+", version):
        # A commit on no branch: fetch it by its full name if the server allows that, else by whatever refers to it.
        wanted = version if whole else "+refs/*:refs/all/*"
        git.run("fetch", "--quiet", "--force", "--end-of-options", "ADDRESS", wanted, cwd=clone, address=address)
        commit = commit_of(git, clone, version) or commit_of(git, clone, version.removeprefix("refs/"))
    if not commit:
        raise SourceError(f"release_version: the repository has no branch, tag or commit named {version}")
    return commit, clone


def resolved(address: str, url: str) -> str:
    """A submodule's address, which may be relative to the address of the repository around it."""
    if not url.startswith(("./", "../")):
        return url
    base, separator = address.rstrip("/"), "/"
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            head, separator, _ = base.rpartition("/")
            if not separator:  # git@host:path
                head, separator, _ = base.rpartition(":")
            base = head
        url = url.partition("/")[2]
    return f"{base}{separator}{url}"


def submodules(git: Git, clone: Path, commit: str) -> dict[str, tuple[str, str]]:
    """A commit's submodules by path, each with its address (or nothing) and its commit."""
    listed = git.output("ls-tree", "-r", "-z", "--full-tree", commit, cwd=clone).decode(errors="surrogateescape")
    entries = (entry.partition("\t") for entry in listed.split("\0") if entry.startswith(LINK))
    links = {path: head.split()[2] for head, _, path in entries}
    if not links:
        return {}
    said = git.run("config", "--blob", f"{commit}:.gitmodules", "--list", "--null", cwd=clone).stdout.decode()
    values = dict(t.cast(tuple[str, str], tuple(one.split("\n", 1))) for one in said.split("\0") if "\n" in one)
    addresses = {
        value: values.get(f"{key.removesuffix('.path')}.url", "")
        for key, value in values.items()
        if key.endswith(".path")
    }
    return {path: (addresses.get(path, ""), link) for path, link in links.items()}


def members_of(archive: bytes) -> list[Member]:
    """Return the files of a tar archive that git made."""
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


def members_at(
    git: Git, place: tuple[str, Path], commit: str, cache: Path, notices: list[str], within: str = ""
) -> list[Member]:
    """Return the files of a commit, and those of its submodules at the commits that it names.

    `place` is the repository's address and a clone that has the commit; `within` is its own path if it is a submodule.
    """
    address, clone = place
    members = members_of(git.output("archive", "--format=tar", commit, cwd=clone))
    for path, (url, link) in submodules(git, clone, commit).items():
        if not url:
            notices.append(
                f"{within}{path} is a repository that .gitmodules does not name, so its files are not there."
            )
            continue
        inner = resolved(address, url)
        try:
            _, inner_clone = fetched(git, inner, link, cache)
        except SourceError as error:
            hint = "release_submodules: false leaves all of them out."
            raise SourceError(f"Submodule {within}{path}: {error}\n{hint}") from error
        for info, content in members_at(git, (inner, inner_clone), link, cache, notices, f"{within}{path}/"):
            info.name = f"{path}/{info.name}"
            members.append((info, content))
    return members
