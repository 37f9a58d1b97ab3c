"""What strangers' projects need is read from any file that says so, and nothing of it is lost in silence."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.requirements import indexes, merged
from ansible_collections.channels.stack.plugins.module_utils.requirements.errors import RequirementsError
from ansible_collections.channels.stack.plugins.module_utils.requirements.needs import Needs
from ansible_collections.channels.stack.plugins.module_utils.requirements.versions import specifier
from packaging.markers import Marker, default_environment

ERROR = RequirementsError
HERE = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}


def read(files: dict[str, Any], *names: str, backend: str = ".", **more: Any) -> tuple[Needs, list[str]]:
    """What files of a source say; texts are encoded."""
    contents = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    return merged.read(contents, backend, names or ("requirements.txt",), **more)


def lines(*arguments: Any, **more: Any) -> list[str]:
    """The lines of what files say."""
    return read(*arguments, **more)[0].lines


def here(found: list[str], python: str = "3.11.2", **environment: str) -> list[str]:
    """What of lines holds on a host with this Python, without hashes."""
    values = {**default_environment(), **HERE, **environment, "python_full_version": python}
    values["python_version"] = ".".join(python.split(".")[:2])
    kept = []
    for line in found:
        what, _, marker = line.partition(" --hash=")[0].partition(" ; ")
        if not marker or Marker(marker).evaluate(values):
            kept.append(what)
    return kept


# --- requirements files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-16-be-bom", "utf-32", "latin-1", "cp1252"],
)  # PowerShell's > writes UTF-16
def test_any_encoding_is_read(encoding: str) -> None:
    more = "…" if encoding != "latin-1" else "..."  # which is a line's end in latin-1
    text = f"Django==4.2 # why{more} and more\r\nchannels[daphne]>=4\r\nx @ https://host/bücher.whl\r\n"
    content = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-bom" else text.encode(encoding)
    assert lines({"requirements.txt": content}) == [
        "Django==4.2", "channels[daphne]>=4", "x @ https://host/bücher.whl",
    ]  # fmt: skip


def test_lines_that_a_shell_has_added_in_another_encoding_are_read() -> None:
    """As PowerShell does with >>."""
    assert lines({"requirements.txt": b"Django\r\n" + "redis\r\n".encode("utf-16-le")}) == ["Django", "redis"]


def test_includes_become_one_list() -> None:
    """Relative to the file that has them, each once, also in a circle; those of constraints are constraints."""
    files = {
        "back/requirements/prod.txt": "-r base.txt\n-rextra.txt\n-c ../limits.txt\ngunicorn\n",
        "back/requirements/base.txt": "Django\n--requirement=../shared.txt\n-r prod.txt\n",
        "back/requirements/extra.txt": "redis\nDjango\n",
        "back/shared.txt": "channels\n",
        "back/limits.txt": "redis<8 --hash=sha256:aa\n-r more.txt\n",
        "back/more.txt": "Django<6\n",
    }
    needs, notices = read(files, "requirements/prod.txt", backend="back")
    assert needs.lines == ["Django", "channels", "redis", "gunicorn"]
    assert needs.constraints == ["redis<8 --hash=sha256:aa", "Django<6"]
    assert notices == []


def test_windows_paths_of_includes_are_found() -> None:
    assert lines({"requirements.txt": "-r reqs\\base.txt\n", "reqs/base.txt": "Django\n"}) == ["Django"]


def test_missing_include_is_named_with_what_is_there() -> None:
    with pytest.raises(
        ERROR,
        match=r"requirements\.txt:1: .* no file reqs/base\.txt\. It has: reqs/dev-requirements\.txt, requirements\.txt",
    ):
        read({"requirements.txt": "-r reqs/base.txt\n", "reqs/dev-requirements.txt": ""})


def test_lines_go_on_behind_a_backslash() -> None:
    text = "Django==4.2 \\\n    --hash=sha256:aa \\\n    --hash sha256:bb # why\n# channels\\\nredis\n"
    assert lines({"requirements.txt": text}) == ["Django==4.2 --hash=sha256:aa --hash=sha256:bb", "redis"]


def test_what_is_for_another_system_is_left_out_with_its_name() -> None:
    text = (
        'twisted-iocpsupport==1.0.4\npywin32 ; sys_platform == "win32"\nPyWin32==306\npyobjc-framework-Cocoa\nTwisted\n'
    )
    needs, notices = read({"requirements.txt": text})
    assert here(needs.lines) == ["Twisted"]
    assert notices == [
        "For Windows only, and left out: twisted-iocpsupport, PyWin32.",
        "For macOS only, and left out: pyobjc-framework-Cocoa.",
    ]


def test_backports_are_for_older_pythons() -> None:
    text = 'backports.zoneinfo==0.2.1\ndataclasses==0.8\nimportlib-metadata ; python_version < "3.8"\n'
    needs, notices = read({"requirements.txt": text})
    assert here(needs.lines) == []
    assert here(needs.lines, python="3.8.18") == ["backports.zoneinfo==0.2.1"]
    assert notices == ["For older Pythons only, and left out on newer ones: backports.zoneinfo, dataclasses."]


def test_pip_freeze_of_another_machine() -> None:
    text = (
        "pkg-resources==0.0.0\nasgiref @ file:///C:/ci/asgiref_16/work\n"
        "certifi[x] @ file:///home/me/c.whl ; os_name=='x'\n"
        "-e git+ssh://git@host/team/tool.git@abc123#egg=tool&subdirectory=src\n-e c:\\users\\me\\project\nDjango==4.2\n"
    )
    needs, notices = read({"requirements.txt": text})
    assert needs.lines == [
        "asgiref", 'certifi[x] ; os_name == "x"',
        "tool @ git+ssh://git@host/team/tool.git@abc123#subdirectory=src", "Django==4.2",
    ]  # fmt: skip
    assert [one.split(":")[0] for one in notices] == [
        "An artefact of Debian's pip freeze, and left out",
        "Paths of the machine on which pip freeze ran, so newest versions are installed instead",
        "Paths of the machine on which pip freeze ran, and left out",
    ]
    assert "asgiref, certifi" in notices[1] and "c:\\users\\me\\project" in notices[2]


def test_pip_list_is_understood() -> None:
    text = "Package    Version\n---------- -------\nDjango     4.2\nchannels   4.1.0\n"
    assert lines({"requirements.txt": text}) == ["Django==4.2", "channels==4.1.0"]


def test_packages_from_git() -> None:
    text = (
        "git+https://host/a.git@v1#egg=a\ngit+https://host/b.git ; python_version > '3'\nc @ git+https://host/c.git\n"
    )
    assert lines({"requirements.txt": text}) == [
        "a @ git+https://host/a.git@v1", "git+https://host/b.git ; python_version > '3'", "c @ git+https://host/c.git",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("git+https://h/a.git@v1#egg=a; python_version < '3'", "a @ git+https://h/a.git@v1 ; python_version < '3'"),
        ("https://h/b.whl; python_version < '3'", "https://h/b.whl ; python_version < '3'"),
        ("c @ https://h/c.whl; python_version < '3'", 'c @ https://h/c.whl ; python_version < \'3\''),
        ("-e git+https://h/d#egg=d ; python_version < '3'", "d @ git+https://h/d ; python_version < '3'"),
        ("-e ./lib ; python_version < '3'", "-e ./lib ; python_version < '3'"),
        ("-e './lib'", "-e ./lib"),
        ("git+git@host:team/e.git@v1#egg=e", "e @ git+ssh://git@host/team/e.git@v1"),
        ("git+https://h/f.git@feature/x#subdirectory=a/b&egg=f[g]", "f[g] @ git+https://h/f.git@feature/x#subdirectory=a/b"),
    ],
)  # fmt: skip
def test_conditions_of_addresses_are_kept(line: str, kept: str) -> None:
    assert lines({"requirements.txt": f"{line}\n", "lib/setup.py": ""}) == [kept]


def test_names_of_the_environment_are_told() -> None:
    """A host has none of them; an index can be named otherwise, a package cannot."""
    index = "--extra-index-url https://${USER}:${PASS}@host/simple"
    needs, notices = read({"requirements.txt": f"{index}\n-f file://${{PROJECT_ROOT}}/wheels\nDjango\n"})
    assert needs.lines == ["--find-links file://${PROJECT_ROOT}/wheels", "Django"]
    assert "https://***@host/simple" in notices[0] and "release_extra_indexes" in notices[0]
    with pytest.raises(ERROR, match=r"requirements\.txt:1: .* reads \$\{TOKEN\} of the environment"):
        read({"requirements.txt": "x @ git+https://${TOKEN}@host/x.git\n"})


def test_options_are_kept_or_named() -> None:
    text = "--index-url https://me:hunter2@host/simple\n--pre\n--trusted-host x\nDjango --global-option=y\n"
    needs, notices = read({"requirements.txt": text})
    assert needs.lines == ["--index-url https://me:hunter2@host/simple", "Django"]
    assert needs.prerelease
    assert notices == ["Options that uv does not have, and left out: --trusted-host x, --global-option=y."]


def test_hashes_stay_where_packages_are_added() -> None:
    text = "--require-hashes\nDjango==4.2 --hash=sha256:aa\n"
    assert lines({"requirements.txt": text}) == ["--require-hashes", "Django==4.2 --hash=sha256:aa"]
    needs, notices = read({"requirements.txt": text}, packages=["gunicorn"])
    assert needs.lines == ["Django==4.2 --hash=sha256:aa", "gunicorn"]
    assert "release_packages has no hashes" in notices[0]


SOURCE = {"back/lib/x/setup.py": "", "back/wheels/a.whl": b"", "back/setup.py": ""}


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("-e .", "-e ."), (".", "."), ("./lib/x", "./lib/x"), ("-e lib/x[more]", "-e ./lib/x[more]"),
        ("x @ file:lib/x", "x @ ./lib/x"), ("wheels/a.whl", "./wheels/a.whl"), (".[prod]", ".[prod]"),
        ("-f wheels", "--find-links file://${PROJECT_ROOT}/wheels"), ("-e ../back", "-e ."),
    ],
)  # fmt: skip
def test_what_lies_in_the_source_belongs_to_its_release(line: str, kept: str) -> None:
    needs, _ = read({**SOURCE, "back/requirements.txt": f"{line}\n"}, backend="back")
    assert [one.replace("-e ../back", "-e .") for one in needs.lines] == [kept]
    assert merged.local(needs)
    assert merged.digest(needs, "a") != merged.digest(needs, "b")


def test_other_needs_are_shared_by_releases() -> None:
    needs, _ = read({"requirements.txt": "Django\nx @ git+https://host/x.git\n"})
    assert merged.digest(needs, "a") == merged.digest(needs, "b")
    for changed in ({"packages": ["gunicorn"]}, {"constraints": ["redis<8"]}):
        other, _ = read({"requirements.txt": "Django\nx @ git+https://host/x.git\n"}, **changed)
        assert merged.digest(other, "a") != merged.digest(needs, "a")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("./nowhere", r"requirements\.txt:2: the source has no nowhere"),
        ("-e ../lib", r"requirements\.txt:2: the source has no \.\./lib"),
        ("asgiref=3.4.1=pyh_0", r"requirements\.txt:2: .* is no requirement\. It is a list of conda's"),
        ("what is this", r'requirements\.txt:2: "what is this" is no requirement'),
        ("hg+https://me:hunter2@host/x", r"requirements\.txt:2: .*host/x\" is of hg, and uv knows git alone"),
        ("x @ svn+https://host/x", r"is of svn"),
        ("-r https://me:hunter2@host/r.txt", r"requirements\.txt:2: https://\*\*\*@host/r\.txt is another machine's"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_line(line: str, told: str) -> None:
    with pytest.raises(ERROR, match=told) as error:
        read({"requirements.txt": f"Django\n{line}\n"})
    assert "hunter2" not in str(error.value)


def test_what_the_inventory_adds_is_told_by_its_variable() -> None:
    with pytest.raises(ERROR, match=r"^release_packages: the source has no nowhere"):
        read({"requirements.txt": ""}, packages=["./nowhere"])


@pytest.mark.parametrize(
    ("name", "told"),
    [("Pipfile", "Run pipenv lock"), ("setup.py", "release_packages"), ("environment.yml", "Name one")],
)
def test_other_kinds_are_refused(name: str, told: str) -> None:
    with pytest.raises(ERROR, match=told):
        read({name: ""}, name)


# --- pyproject.toml -------------------------------------------------------------------------------------------------


def test_project_table() -> None:
    text = """
        [project]
        name = "app"
        requires-python = ">=3.12"
        dependencies = ["django>=5", "mine", "tool[x]>=1 ; python_version > '3'"]
        [project.optional-dependencies]
        prod = ["gunicorn"]
        [dependency-groups]
        web = ["uvicorn", {include-group = "more"}]
        more = ["httptools"]
        [tool.uv.sources]
        mine = {git = "https://host/mine.git", tag = "v1"}
    """
    needs, notices = read({"pyproject.toml": text}, "pyproject.toml")
    assert needs.lines == ["django>=5", "mine @ git+https://host/mine.git@v1", 'tool[x]>=1 ; python_version > "3"']
    assert notices == [] and needs.python == ">=3.12"
    chosen = lines({"pyproject.toml": text}, "pyproject.toml[prod, web]")
    assert chosen == [*needs.lines, "gunicorn", "uvicorn", "httptools"]
    with pytest.raises(ERROR, match=r"no extra or group what; it has: more, prod, web"):
        read({"pyproject.toml": text}, "pyproject.toml[what]")


def test_each_choice_of_a_file_counts() -> None:
    text = '[project]\nname="a"\ndependencies=[]\n[project.optional-dependencies]\np=["x"]\nq=["y"]\n'
    assert lines({"pyproject.toml": text}, "pyproject.toml[p]", "pyproject.toml[q]") == ["x", "y"]


def test_what_pyproject_tells_uv_is_heeded_without_a_lock() -> None:
    text = """
        [project]
        name = "a"
        dependencies = ["django", "lib[x]"]
        [tool.uv]
        override-dependencies = ["asgiref<3.9"]
        constraint-dependencies = ["redis<8"]
        index = [{ url = "https://me:hunter2@packages.example/simple" }]
        [tool.uv.sources]
        lib = { path = "lib", editable = true }
    """
    needs, notices = read({"pyproject.toml": text, "lib/setup.py": ""}, "pyproject.toml")
    assert needs.lines == ["django", "-e ./lib[x]"]
    assert (needs.overrides, needs.constraints) == (["asgiref<3.9"], ["redis<8"])
    assert notices == [
        "pyproject.toml takes packages from packages.example; release_index or release_extra_indexes has to name it."
    ]


def test_python_that_the_project_is_not_for_is_told() -> None:
    assert "is for Python >=3.12, and gets 3.11.2" in merged.python_notice(">=3.12", "3.11.2")[0]
    for wanted, has in ((">=3.11", "3.11.2"), ("", "3.11.2"), (">=3.12", ""), ("garbage", "3.11.2")):
        assert merged.python_notice(wanted, has) == []


def test_dynamic_dependencies_are_followed() -> None:
    text = '[project]\nname="app"\ndynamic=["dependencies"]\n[tool.setuptools.dynamic]\ndependencies={file=["r.txt"]}\n'
    assert lines({"b/pyproject.toml": text, "b/r.txt": "Django\n"}, "pyproject.toml", backend="b") == ["Django"]


def test_pyproject_without_dependencies_says_what_else() -> None:
    with pytest.raises(ERROR, match=r"lists no dependencies.*release_requirements: \[\]"):
        read({"pyproject.toml": "[tool.black]\nline-length = 100\n"}, "pyproject.toml")


@pytest.mark.parametrize(
    ("poetry", "line"),
    [
        ("^1.2.3", ">=1.2.3,<2"), ("^1.2", ">=1.2,<2"), ("^0.2.3", ">=0.2.3,<0.3"), ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^0", ">=0,<1"), ("~1.2.3", ">=1.2.3,<1.3"), ("~1.2", ">=1.2,<1.3"), ("~1", ">=1,<2"), ("1.2.*", "==1.2.*"),
        ("*", ""), ("1.2.3", "==1.2.3"), (">= 1.2, <2.0", ">=1.2,<2.0"), (">=1.2 <2", ">=1.2,<2"), ("~=1.4", "~=1.4"),
        ("!=1.3", "!=1.3"), ("^2.0b1", ">=2.0b1,<3"), ("==1.*", "==1.*"), ("(>=1,<2)", ">=1,<2"),
    ],
)  # fmt: skip
def test_poetrys_versions(poetry: str, line: str) -> None:
    assert specifier(poetry) == line


POETRY = """
    [tool.poetry]
    name = "app"
    [tool.poetry.dependencies]
    python = ">=3.9,<4.0"
    Django = "^4.2"
    channels = {version = "~4.1", extras = ["daphne"]}
    colorama = {version = "*", markers = "sys_platform == 'win32'"}
    old = {version = "*", python = "<3.10"}
    mine = {git = "ssh://git@host/mine.git", branch = "main", subdirectory = "src"}
    lib = {path = "../lib", develop = true}
    psycopg2 = {version = "*", optional = true}
    twice = [{version = "<2", python = "<3.10"}, {version = "^2.0", python = ">=3.10"}]
    [tool.poetry.extras]
    pg = ["psycopg2"]
    [tool.poetry.group.web.dependencies]
    uvicorn = "*"
"""


def test_poetry_without_lock() -> None:
    files = {"back/pyproject.toml": POETRY, "lib/setup.py": ""}
    needs, _ = read(files, "pyproject.toml", backend="back")
    assert needs.python == ">=3.9,<4.0"
    assert here(needs.lines) == [
        "django>=4.2,<5", "channels[daphne]>=4.1,<4.2", "mine @ git+ssh://git@host/mine.git@main#subdirectory=src",
        "-e ../lib", "twice>=2.0,<3",
    ]  # fmt: skip
    assert here(needs.lines, python="3.9.18")[2] == "old"
    chosen = here(lines(files, "pyproject.toml[pg,web]", backend="back"))
    assert {"psycopg2", "uvicorn"} == set(chosen) - set(here(needs.lines))


def test_alternatives_need_a_lock() -> None:
    text = '[tool.poetry]\nname="a"\n[tool.poetry.dependencies]\ndjango="^3.2 || ^4.2"\n'
    with pytest.raises(ERROR, match="run poetry lock"):
        read({"pyproject.toml": text}, "pyproject.toml")


# --- lock files -----------------------------------------------------------------------------------------------------
# Their indexes' addresses are made up: a registry's does not stand in this repository.

UV_PROJECT = '[project]\nname = "app"\ndependencies = ["django", "channels[daphne]"]\n'
UV_LOCK = """
    version = 1
    revision = 3
    requires-python = ">=3.9"
    [manifest]
    overrides = [{ name = "asgiref", specifier = "<3.9" }]
    [[package]]
    name = "app"
    source = { virtual = "." }
    dependencies = [
        { name = "django", version = "4.2.30", marker = "python_full_version < '3.10'" },
        { name = "django", version = "5.2.19", marker = "python_full_version >= '3.10'" },
        { name = "channels", extra = ["daphne"] },
        { name = "lib" },
        { name = "tool" },
        { name = "torch", marker = "extra == 'extra-3-app-gpu'" },
    ]
    [package.optional-dependencies]
    prod = [{ name = "gunicorn" }]
    gpu = [{ name = "torch" }]
    [package.dev-dependencies]
    dev = [{ name = "pytest" }]
    [[package]]
    name = "django"
    version = "4.2.30"
    source = { registry = "INDEX" }
    dependencies = [{ name = "tzdata", marker = "sys_platform == 'win32'" }]
    [[package]]
    name = "django"
    version = "5.2.19"
    source = { registry = "INDEX" }
    sdist = { url = "https://files.example/d.tar.gz", hash = "sha256:bb" }
    wheels = [{ url = "https://files.example/d.whl", hash = "sha256:aa" }]
    dependencies = [{ name = "tzdata", marker = "sys_platform == 'win32'" }, { name = "channels" }]
    [[package]]
    name = "channels"
    version = "4.3.2"
    source = { registry = "INDEX" }
    dependencies = [{ name = "django", version = "5.2.19", marker = "python_full_version >= '3.10'" }]
    [package.optional-dependencies]
    daphne = [{ name = "daphne" }]
    [[package]]
    name = "daphne"
    version = "4.2.3"
    source = { registry = "INDEX" }
    dependencies = [{ name = "twisted", extra = ["tls"], marker = "python_full_version >= '3.10' or os_name == 'x'" }]
    [[package]]
    name = "twisted"
    version = "26.4.0"
    source = { registry = "INDEX" }
    [package.optional-dependencies]
    tls = [{ name = "pyopenssl", marker = "platform_system != 'Windows'" }]
    http2 = [{ name = "h2" }]
    [[package]]
    name = "pyopenssl"
    version = "26.0"
    source = { registry = "INDEX" }
    [[package]]
    name = "h2"
    version = "4"
    source = { registry = "INDEX" }
    [[package]]
    name = "tzdata"
    version = "2026.1"
    source = { registry = "INDEX" }
    [[package]]
    name = "lib"
    version = "1"
    source = { editable = "libs/lib" }
    dependencies = [{ name = "page" }]
    [[package]]
    name = "page"
    version = "1"
    source = { url = "https://files.example/page-1.whl" }
    wheels = [{ url = "https://files.example/page-1.whl", hash = "sha256:cc" }]
    [[package]]
    name = "tool"
    version = "1"
    source = { git = "https://host/tool?subdirectory=src&rev=v1#0123abc" }
    [[package]]
    name = "gunicorn"
    version = "23.0.0"
    source = { registry = "INDEX" }
    [[package]]
    name = "torch"
    version = "2"
    source = { registry = "INDEX" }
    [[package]]
    name = "pytest"
    version = "8"
    source = { registry = "INDEX" }
"""


USUAL = indexes.usual_index()


def uv_files(index: str = f"https://{USUAL}/simple") -> dict[str, str]:
    """A project with a lock file of uv."""
    return {"pyproject.toml": UV_PROJECT, "uv.lock": UV_LOCK.replace("INDEX", index), "libs/lib/pyproject.toml": ""}


def test_uv_lock_is_walked() -> None:
    needs, _ = read(uv_files(), "uv.lock")
    assert here(needs.lines, "3.9.18") == [
        "channels==4.3.2", "daphne==4.2.3", "django==4.2.30", "-e ./libs/lib", "page @ https://files.example/page-1.whl",
        "tool @ git+https://host/tool@0123abc#subdirectory=src",
    ]  # fmt: skip
    newer = set(here(needs.lines, "3.11.2")) - set(here(needs.lines, "3.9.18"))
    assert newer == {"django==5.2.19", "twisted==26.4.0", "pyopenssl==26.0"}
    assert "tzdata==2026.1" in here(needs.lines, sys_platform="win32")
    assert needs.overrides == ["asgiref<3.9"] and needs.python == ">=3.9"
    assert [one.split(" ; ")[-1].split(" --")[0] for one in needs.lines if one.startswith("pyopenssl")] == [
        "platform_system != 'Windows' and (python_full_version >= '3.10' or os_name == 'x')"
    ]
    assert "--hash=sha256:aa --hash=sha256:bb" in next(one for one in needs.lines if one.startswith("django==5"))


def test_uv_extras_and_groups_are_chosen() -> None:
    assert "gunicorn==23.0.0" in here(lines(uv_files(), "uv.lock[prod]"))
    assert {"torch==2", "pytest==8"} <= set(here(lines(uv_files(), "uv.lock[gpu,dev]")))
    with pytest.raises(ERROR, match="it has: dev, gpu, prod"):
        read(uv_files(), "uv.lock[nothing]")


def test_pyproject_takes_the_lock_beside_it() -> None:
    needs, notices = read(uv_files(), "pyproject.toml")
    assert needs.lines == lines(uv_files(), "uv.lock") == lines(uv_files(), "uv.lock", "pyproject.toml")
    assert notices[0] == "uv.lock is beside pyproject.toml, so its versions are installed."


@pytest.mark.parametrize("host", ["packages.example", f"my{USUAL}", f"{USUAL}.example"])
def test_foreign_index_of_a_lock_is_told_without_credentials(host: str) -> None:
    _, notices = read(uv_files(f"https://me:hunter2@{host}/simple/{USUAL}"), "uv.lock")
    assert notices == [f"uv.lock takes packages from {host}; release_index or release_extra_indexes has to name it."]


def test_usual_index_is_the_one_that_pip_and_uv_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not be named, so nothing is told of it; where there is no pip to ask, uv knows it too."""
    assert "." in USUAL and read(uv_files(), "uv.lock")[1] == []
    for gone in [name for name in sys.modules if name == "pip" or name.startswith("pip.")]:
        monkeypatch.delitem(sys.modules, gone)
    monkeypatch.setitem(sys.modules, "pip", None)
    assert indexes.usual_index.__wrapped__() == USUAL
    monkeypatch.setattr(indexes.shutil, "which", lambda *_, **__: None)
    assert indexes.usual_index.__wrapped__() == ""


WORKSPACE = """
    version = 1
    [[package]]
    name = "page"
    source = { virtual = "page" }
    dependencies = [{ name = "django" }]
    [[package]]
    name = "back"
    source = { editable = "server" }
    dependencies = [{ name = "lib", extra = ["x"] }]
    [[package]]
    name = "lib"
    source = { editable = "lib" }
    [package.optional-dependencies]
    x = [{ name = "channels" }]
    [[package]]
    name = "django"
    version = "5.2"
    source = { registry = "https://packages.example" }
    [[package]]
    name = "channels"
    version = "4.3"
    source = { registry = "https://packages.example" }
"""
MEMBER = """[project]\nname = "back"\ndependencies = ["lib[x]"]\n[tool.uv.sources]\nlib = { workspace = true }\n"""


def test_workspace_of_uv_is_read_for_the_backend() -> None:
    """Its lock file is above, and the top need not be a project."""
    files = {
        "pyproject.toml": "[tool.uv.workspace]\nmembers = ['*']\n", "uv.lock": WORKSPACE,
        "server/pyproject.toml": MEMBER, "lib/pyproject.toml": "", "page/pyproject.toml": "[project]\nname = 'page'\n",
    }  # fmt: skip
    wanted = ["channels==4.3", "-e ../lib"]
    assert lines(files, "../uv.lock", backend="server") == wanted
    needs, notices = read(files, "pyproject.toml", backend="server")
    assert needs.lines == wanted
    assert notices[0] == "uv.lock is of the workspace of server/pyproject.toml, so its versions are installed."
    with pytest.raises(ERROR, match=r"uv\.lock is a workspace of page, back, lib, and release_backend is none of them"):
        read(files, "uv.lock")


def test_member_of_a_workspace_is_not_taken_from_an_index() -> None:
    with pytest.raises(ERROR, match=r"server/pyproject\.toml: lib is a member of the workspace"):
        read({"server/pyproject.toml": MEMBER}, "pyproject.toml", backend="server")


def test_newer_format_is_refused() -> None:
    with pytest.raises(ERROR, match="format 2"):
        read({"uv.lock": "version = 2\n"}, "uv.lock")


POETRY_LOCKED = """
    [tool.poetry]
    name = "app"
    [tool.poetry.dependencies]
    python = ">=3.9"
    channels = {version = "^4.1", extras = ["daphne"]}
    numpy = [{version = "<2", python = "<3.10"}, {version = "^2.0", python = ">=3.10"}]
    psycopg2 = {version = "*", optional = true}
    lib = {path = "lib"}
    [tool.poetry.extras]
    pg = ["psycopg2"]
    [tool.poetry.group.dev.dependencies]
    pytest = "*"
"""
# As Poetry wrote it before 2.1: who needs what, and nothing of the conditions under which the project needs it.
POETRY_LOCK = """
    [[package]]
    name = "channels"
    version = "4.1.0"
    python-versions = ">=3.8"
    OPTIONAL = false
    [package.dependencies]
    Django = ">=4.2"
    daphne = {version = ">=4.0.0", optional = true, markers = "extra == \\"daphne\\""}
    h2 = {version = "*", optional = true, markers = "extra == \\"h2\\""}
    [package.extras]
    daphne = ["daphne (>=4.0.0)"]
    [[package]]
    name = "Django"
    version = "4.2.16"
    python-versions = ">=3.8"
    files = [{file = "d.whl", hash = "sha256:aa"}]
    [package.dependencies]
    tzdata = {version = "*", markers = "sys_platform == \\"win32\\""}
    [[package]]
    name = "daphne"
    version = "4.1.2"
    python-versions = ">=3.8"
    [[package]]
    name = "h2"
    version = "4"
    python-versions = "*"
    [[package]]
    name = "tzdata"
    version = "2024.1"
    python-versions = "*"
    [[package]]
    name = "numpy"
    version = "1.26.4"
    python-versions = ">=3.9"
    [[package]]
    name = "numpy"
    version = "2.1.1"
    python-versions = ">=3.10"
    [[package]]
    name = "psycopg2"
    version = "2.9.9"
    python-versions = "*"
    optional = true
    [[package]]
    name = "lib"
    version = "1"
    python-versions = "*"
    [package.source]
    type = "directory"
    url = "lib"
    [package.dependencies]
    numpy = "*"
    private = "*"
    [[package]]
    name = "private"
    version = "0.3"
    python-versions = "*"
    [package.source]
    type = "git"
    url = "git@host:team/private.git"
    reference = "main"
    resolved_reference = "0123abc"
    [[package]]
    name = "pytest"
    version = "8.0"
    python-versions = "*"
    [metadata]
    lock-version = "2.0"
"""


def poetry_files(lock: str = POETRY_LOCK) -> dict[str, str]:
    """A project with a lock file of Poetry."""
    optional = lock.replace("OPTIONAL", "optional")
    return {"pyproject.toml": POETRY_LOCKED, "poetry.lock": optional, "lib/setup.py": ""}


def test_poetry_lock_is_walked() -> None:
    found = lines(poetry_files(), "poetry.lock")
    common = ["channels==4.1.0", "daphne==4.1.2", "django==4.2.16", "./lib"]
    git = "private @ git+ssh://git@host/team/private.git@0123abc"
    assert here(found) == [*common, "numpy==2.1.1", git]
    assert here(found, "3.9.18") == [*common, "numpy==1.26.4", git]
    assert "tzdata==2024.1" in here(found, sys_platform="win32")
    assert next(one for one in found if one.startswith("django")).endswith(" --hash=sha256:aa")
    assert "psycopg2==2.9.9" in here(lines(poetry_files(), "poetry.lock[pg]"))
    assert "pytest==8.0" in here(lines(poetry_files(), "poetry.lock[dev]"))


def test_hashes_of_older_poetry_locks() -> None:
    """Up to 1.4 they stand at the end, and packages have a category."""
    old = POETRY_LOCK.replace('files = [{file = "d.whl", hash = "sha256:aa"}]', 'category = "main"')
    old = old.replace('lock-version = "2.0"', 'lock-version = "1.1"\n[metadata.files]\nDjango = [{hash = "sha256:bb"}]')
    found = lines(poetry_files(old), "poetry.lock")
    assert here(found) == here(lines(poetry_files(), "poetry.lock"))
    assert next(one for one in found if one.startswith("django")).endswith(" --hash=sha256:bb")


def test_poetry_lock_with_groups_says_it_all() -> None:
    """From 2.1 on."""
    lock = """
        [[package]]
        name = "channels"
        version = "4.1.0"
        optional = false
        groups = ["main", "dev"]
        files = [{file = "c.whl", hash = "sha256:aa"}]
        [[package]]
        name = "numpy"
        version = "1.26.4"
        optional = false
        groups = ["main"]
        markers = "python_version < \\"3.10\\""
        [[package]]
        name = "colorama"
        version = "0.4.6"
        optional = false
        groups = ["main", "dev"]
        markers = {main = "platform_system == \\"Windows\\"", dev = "sys_platform == \\"win32\\""}
        [[package]]
        name = "psycopg2"
        version = "2.9.9"
        optional = true
        groups = ["main"]
        markers = "extra == \\"pg\\""
        [[package]]
        name = "pytest"
        version = "8.0"
        optional = false
        groups = ["dev"]
        [metadata]
        lock-version = "2.1"
    """
    found = lines(poetry_files(lock), "poetry.lock")
    assert found[0] == "channels==4.1.0 --hash=sha256:aa"
    assert here(found) == ["channels==4.1.0"]
    assert here(found, "3.9.18", platform_system="Windows") == ["channels==4.1.0", "numpy==1.26.4", "colorama==0.4.6"]
    assert here(lines(poetry_files(lock), "poetry.lock[pg]")) == ["channels==4.1.0", "psycopg2==2.9.9"]
    assert here(lines(poetry_files(lock), "poetry.lock[dev]")) == ["channels==4.1.0", "pytest==8.0"]


def test_poetry_lock_needs_its_project() -> None:
    with pytest.raises(ERROR, match=r"without the pyproject\.toml"):
        read({"poetry.lock": POETRY_LOCK}, "poetry.lock")


def test_pipfile_lock() -> None:
    lock = {
        "_meta": {
            "requires": {"python_version": "3.8"},
            "sources": [{"name": "corp", "url": "https://$USER:$PASS@packages.example/simple", "verify_ssl": True}],
        },
        "default": {
            "channels": {"extras": ["daphne"], "hashes": ["sha256:bb", "sha256:aa"], "version": "==4.1.0"},
            "tzdata": {"markers": "sys_platform == 'win32'", "version": "==2024.1"},
            "tool": {"git": "https://host/tool.git", "ref": "0123abc"},
            "lib": {"editable": True, "path": "./lib"},
            "any": "*",
        },
        "develop": {"pytest": {"version": "==8.0"}},
        "deploy": {"gunicorn": {"version": "==23.0.0"}},
    }  # fmt: skip
    needs, notices = read({"Pipfile.lock": json.dumps(lock), "lib/setup.py": ""}, "Pipfile.lock")
    assert needs.lines == [
        "any", "channels[daphne]==4.1.0 --hash=sha256:aa --hash=sha256:bb", "-e ./lib",
        "tool @ git+https://host/tool.git@0123abc", "tzdata==2024.1 ; sys_platform == 'win32'",
    ]  # fmt: skip
    assert needs.python == "==3.8.*"
    assert notices == [
        "Pipfile.lock takes packages from packages.example; release_index or release_extra_indexes has to name it."
    ]

    assert lines({"Pipfile.lock": json.dumps(lock), "lib/setup.py": ""}, "Pipfile.lock[deploy]") == [
        *needs.lines, "gunicorn==23.0.0",
    ]  # fmt: skip
    with pytest.raises(ERROR, match=r"Pipfile\.lock has no group web; it has: deploy, develop"):
        read({"Pipfile.lock": json.dumps(lock)}, "Pipfile.lock[web]")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("uv.lock", "[["), ("uv.lock", "version = 1\npackage = [1]"),
        ("Pipfile.lock", "{"), ("Pipfile.lock", "[]"), ("Pipfile.lock", '{"default": {}, "_meta": {"sources": 1}}'),
        ("pyproject.toml", "="), ("pyproject.toml", "[project]\ndependencies = 'django'"),
    ],
)  # fmt: skip
def test_broken_files_are_named(name: str, content: str) -> None:
    with pytest.raises(ERROR, match=name):
        read({name: content}, name)
