"""What is read from a uv.lock is what `uv export` makes of it: uv itself locks projects of many shapes.

The index and the repository that they take packages from are on this machine.
"""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.requirements import merged
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.markers import Marker, default_environment
from small_index import Package, served

UV = Path(sys.executable).with_name("uv")
PACKAGES = [
    Package("alpha", "1.0", ("beta[more]",)),
    Package("alpha", "2.0", ("beta[more]", "gamma ; sys_platform == 'win32'"), python=">=3.11"),
    Package("beta", "1.0", (
        "delta ; python_version < '3.12'", "epsilon ; platform_system == 'Linux' and extra == 'more'",
        "zeta ; extra == 'other' or (extra == 'more' and os_name == 'nt')",
    ), ("more", "other")),
    Package("gamma", "1.0", ("delta",)),
    Package("delta", "1.0", ("alpha",)),
    Package("delta", "2.0", ("alpha<3", "zeta ; python_full_version < '3.11.4'")),
    Package("epsilon", "1.0"),
    Package("epsilon", "2.0", ("zeta ; implementation_name == 'pypy'",), python=">=3.10"),
    Package("zeta", "1.0"),
    Package("zeta", "2.0", python=">=3.13"),
    Package("linked", "1.0", ("zeta",)),
]  # fmt: skip
#: Packages that no index has, each with where it comes from.
SOURCES = {
    "near": "{{ path = 'libs/near' }}",
    "worked": "{{ path = 'libs/worked', editable = true }}",
    "member": "{{ workspace = true }}",
    "fetched": "{{ git = '{git}', tag = 'v1', subdirectory = 'parts/fetched' }}",
    "pinned": "{{ git = '{git}', rev = '{commit}' }}",
    "linked": "{{ url = '{server}/files/linked-1.0-py3-none-any.whl' }}",
    "packed": "{{ url = '{server}/files/packed-1.tar.gz', subdirectory = 'inner/part' }}",
    "built": "{{ path = 'libs/built-1.0-py3-none-any.whl' }}",
}
BUILT = Package("built", "1.0", ("zeta",))
MARKERS = (
    "", "python_version >= '3.10'", "python_version < '3.12'", "sys_platform == 'win32'", "os_name == 'posix'",
    "platform_system == 'Linux' and python_version < '3.11'", "sys_platform == 'darwin' or python_version >= '3.13'",
    "implementation_name == 'pypy'",
)  # fmt: skip
WANTED = (
    "alpha", "alpha<2", "beta", "beta[other]", "beta[more,other]", "gamma", "delta", "epsilon<2", "zeta", *SOURCES,
)  # fmt: skip
CHOICES: tuple[tuple[str, ...], ...] = ((), ("x",), ("y",), ("g",), ("x", "g"), ("y", "dev"))
HOSTS = [
    {
        "python_version": python.rpartition(".")[0], "python_full_version": python, "implementation_name": made,
        "sys_platform": system, "platform_system": platform, "os_name": name,
    }
    for python in ("3.9.18", "3.10.4", "3.11.2", "3.12.9", "3.13.5")
    for system, platform, name in (
        ("linux", "Linux", "posix"), ("win32", "Windows", "nt"), ("darwin", "Darwin", "posix"),
    )
    for made in ("cpython", "pypy")
]  # fmt: skip


@dataclass(frozen=True)
class Project:
    """What a pyproject.toml asks for, by the list that asks."""

    needs: tuple[str, ...] = ()
    x: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    g: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    conflict: bool = False

    def pyproject(self, places: dict[str, str]) -> str:
        """The file; `places` has the addresses that are known when the test runs."""
        sources = ", ".join(f"{name} = {where.format(**places)}" for name, where in SOURCES.items())
        conflicts = "[[{ extra = 'x' }, { extra = 'y' }]]" if self.conflict else "[]"
        return f"""
            [project]
            name = "app"
            version = "1"
            requires-python = ">=3.9"
            dependencies = {json.dumps(self.needs)}
            optional-dependencies = {{ x = {json.dumps(self.x)}, y = {json.dumps(self.y)} }}
            [dependency-groups]
            dev = {json.dumps(self.dev)}
            g = [{", ".join([*map(json.dumps, self.g), '{ include-group = "dev" }'])}]
            [tool.uv]
            package = false
            conflicts = {conflicts}
            override-dependencies = {json.dumps(self.overrides)}
            workspace = {{ members = ["libs/member"] }}
            sources = {{ {sources} }}
        """


def member(name: str, needs: str = "[]") -> str:
    """The pyproject.toml of a package of the project's own."""
    return f'[project]\nname = "{name}"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = {needs}\n'


def packed(path: str, text: str) -> bytes:
    """An archive with one file in it."""
    archive, info = io.BytesIO(), tarfile.TarInfo(path)
    info.size = len(text.encode())
    with tarfile.open(fileobj=archive, mode="w:gz") as members:
        members.addfile(info, io.BytesIO(text.encode()))
    return archive.getvalue()


def run(folder: Path, *command: str | Path) -> str:
    """Run a program in a folder, without settings of whoever runs the tests; returns what it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "GIT_"))}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment | {"NO_PROXY": "*"})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An index, a repository of git, and a cache for uv."""
    repository = tmp_path_factory.mktemp("repository")
    files = {"pyproject.toml": member("pinned", '["epsilon"]'), "parts/fetched/pyproject.toml": member("fetched")}
    for path, text in files.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    git = ("git", "-c", "user.name=Tests", "-c", "user.email=tests@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "Begin"), ("tag", "v1")):
        run(repository, *git, *command)
    commit = run(repository, *git, "rev-parse", "HEAD").strip()
    archive = {"/files/packed-1.tar.gz": packed("packed-1/inner/part/pyproject.toml", member("packed"))}
    with served(PACKAGES, archive) as server:
        yield {
            "git": repository.as_uri(), "commit": commit, "server": server,
            "cache": str(tmp_path_factory.mktemp("cache")),
        }  # fmt: skip


def uv(folder: Path, places: dict[str, str], *arguments: str) -> str:
    """Run uv as on a machine with no settings."""
    more = ("--no-config", "--quiet", "--cache-dir", places["cache"], "--default-index", f"{places['server']}/simple")
    return run(folder, UV, *arguments, *more)


def logical(text: str) -> list[str]:
    """The requirements of a file, each on one line."""
    return [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


@functools.cache
def condition(marker: str) -> Marker:
    """A marker, parsed once for all hosts."""
    return Marker(marker)


def installed(lines: list[str], host: dict[str, str]) -> list[str]:
    """What of lines a host installs, with the hashes that it may have."""
    kept, values = [], {**default_environment(), "extra": "", **host}
    for line in lines:
        what, *hashes = line.split(" --hash=")
        what, _, marker = what.partition(" ; ")
        if not marker or condition(marker).evaluate(values):
            kept.append(" ".join([what.strip(), *sorted(hashes)]))
    return sorted(kept)


@st.composite
def projects(draw: Any) -> Project:
    """Projects of any shape; of those that declare a conflict, one side has an older package."""
    line = st.builds(
        lambda what, marker: f"{what} ; {marker}" if marker else what, st.sampled_from(WANTED), st.sampled_from(MARKERS)
    )
    some = st.lists(line, max_size=4).map(tuple)
    conflict, lists = draw(st.booleans()), {name: draw(some) for name in ("needs", "x", "y", "dev", "g")}
    if conflict:
        lists["x"], lists["y"] = (*lists["x"], "epsilon<2"), (*lists["y"], "epsilon>=2 ; python_version >= '3.10'")
        lists = {name: tuple(one for one in many if "epsilon<2 ;" not in one) for name, many in lists.items()}
        lists |= {name: tuple(one for one in lists[name] if one != "epsilon<2") for name in ("needs", "y", "dev", "g")}
    overrides = draw(st.sampled_from([(), ("delta<2",), ("zeta<2 ; sys_platform == 'linux'",)]))
    return Project(**lists, overrides=overrides, conflict=conflict)


EVERYTHING = Project(
    ("alpha", *SOURCES, "beta[other] ; python_version < '3.12'"), ("alpha<2",), ("gamma ; os_name == 'posix'",),
    ("zeta",), ("beta",), ("delta<2",),
)  # fmt: skip
APART = Project(("delta",), ("epsilon<2",), ("epsilon>=2 ; python_version >= '3.10'",), conflict=True)


@settings(max_examples=10, deadline=None)
@example(EVERYTHING, CHOICES)
@example(APART, CHOICES)
@given(projects(), st.sets(st.sampled_from(CHOICES), min_size=1, max_size=2))
def test_uv_lock_says_what_uv_exports(
    places: dict[str, str], project: Project, choices: Collection[tuple[str, ...]]
) -> None:
    """With extras and groups or without, on every host: the same versions, from the same places, by the same hashes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {
            "pyproject.toml": project.pyproject(places),
            "libs/near/pyproject.toml": member("near", "[\"zeta ; sys_platform != 'win32'\"]"),
            "libs/worked/pyproject.toml": member("worked", '["gamma"]'),
            "libs/member/pyproject.toml": member("member", '["beta[more]"]'),
        }
        contents = {path: text.encode() for path, text in files.items()} | {f"libs/{BUILT.file}": BUILT.wheel()}
        for path, content in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        uv(folder, places, "lock")
        contents["uv.lock"] = (folder / "uv.lock").read_bytes()
        for chosen in choices:
            options = [word for one in chosen for word in ("--extra" if one in "xy" else "--group", one)]
            export = ("export", "--frozen", "--no-default-groups", "--no-emit-project", "--no-header", "--no-annotate")
            theirs = logical(uv(folder, places, *export, *options))
            needs, _ = merged.read(contents, ".", [f"uv.lock[{','.join(chosen)}]"])
            for host in HOSTS:
                assert installed(needs.lines, host) == installed(theirs, host), (chosen, host)
