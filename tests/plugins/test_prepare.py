"""What a project does before it serves: root believes none of it, and touches nothing but the release."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "roles" / "asgi" / "files"))
from generations import project  # noqa: E402
from generations.locks import Refused, working  # noqa: E402

RELEASE, GENERATION = "0123456789ab", "0123456789ab-c0ffee"
SETTINGS = """
import os
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY, ROOT_URLCONF, USE_TZ = "x", "urls", True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.staticfiles"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR.parents[2] / "shared" / "db"}}
STATIC_URL, STATIC_ROOT = "static/", BASE_DIR / "collected"
STATICFILES_DIRS = [BASE_DIR / "assets"]
"""
MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
WANTED = {"applications": ["served:application"], "seconds": 20, "collect": True, "migrate": True, "commands": []}
# What root did as it was told by the last lines of the output.
LAST_LINES = "static url: /static/\\nstatic files are shipped: True\\nstatic root: {victim}"
# A descriptor is found by its name, and answered on before anything was done.
FORGE = """
for name in os.listdir("/proc/self/fd"):
    if os.path.lexists(f"/proc/self/fd/{{name}}") and "memfd:answer" in os.readlink(f"/proc/self/fd/{{name}}"):
        os.write(int(name), json.dumps({forged!r}).encode())
os._exit(0)
"""
Prepare = Callable[..., dict[str, Any]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project's folder on a host, with a release of a project and a generation of it; a victim is beside it."""
    home, code = tmp_path / "srv", tmp_path / "srv" / "releases" / RELEASE / "backend"
    (code / "assets").mkdir(parents=True)
    for folder in ("static", "shared/media", f"generations/{GENERATION}"):
        (home / folder).mkdir(parents=True)
    for name, text in (
        ("settings.py", SETTINGS), ("manage.py", MANAGE), ("urls.py", "urlpatterns = []"),
        ("served.py", "application = 1"), ("assets/site.css", "collected"),
    ):  # fmt: skip
        (code / name).write_text(text)
    generation = home / "generations" / GENERATION
    (generation / "code").symlink_to(code)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    (generation / "within").write_text(f'#!/bin/sh\nexport PATH={path}\ncd {code}\nexec "$@"\n')
    (generation / "within").chmod(0o755)
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious").write_text("precious")
    return home


@pytest.fixture
def prepare(home: Path) -> Prepare:
    """Return a function that prepares the project, with lines after its settings or in what is imported to serve."""
    code = home / "releases" / RELEASE / "backend"
    me = pwd.getpwuid(os.geteuid()).pw_name

    def prepared(settings: str = "", served: str = "", shared_paths: Any = (), **wanted: Any) -> dict[str, Any]:
        (code / "settings.py").write_text(SETTINGS + settings)
        (code / "served.py").write_text(f"import atexit, json, os, sys\n{served}\napplication = 1\n")
        described = {"user": me, "generation": GENERATION, "release": RELEASE, "shared_paths": list(shared_paths)}
        with working(home, "a deploy", 0) as (lock, _):
            told: dict[str, Any] = project.Project(home, described).prepare({**WANTED, **wanted}, lock)
        return told

    return prepared


@pytest.fixture(autouse=True)
def victim(tmp_path: Path, home: Path) -> Any:
    """A folder outside of the release, which is untouched at the end of each test."""
    yield tmp_path / "victim"
    assert not (tmp_path / "victim").is_symlink()
    assert {path.name: path.read_text() for path in (tmp_path / "victim").iterdir()} == {"precious": "precious"}


def test_project_is_checked_collected_and_migrated_once(home: Path, prepare: Prepare) -> None:
    told = prepare(commands=["echo run >>$HOOKS"], settings=f"\nos.environ['HOOKS'] = '{home / 'hooks'}'\n")
    assert told == {
        "changed": True, "layer": "", "migrated": True, "static": "linked", "static_url": "/static/",
        "static_root": str(home / "releases" / RELEASE / "backend" / "collected"),
    }  # fmt: skip
    assert (home / "releases" / RELEASE / "backend" / "collected" / "site.css").read_text() == "collected"
    assert os.readlink(told["static_root"]) == str(home / "static" / RELEASE)
    assert (home / "hooks").read_text() == "run\n"
    again = prepare()
    assert (again["changed"], again["static"]) == (False, "own")


def test_host_that_does_not_migrate_runs_no_commands_before_it(home: Path, prepare: Prepare) -> None:
    told = prepare(commands=["false"], migrate=False, collect=False)
    assert not told["migrated"] and not (home / "shared" / "db").exists() and not list((home / "static").iterdir())


@pytest.mark.parametrize("where", ["settings", "served"])
def test_what_a_project_prints_is_not_taken_for_its_answer(prepare: Prepare, victim: Path, where: str) -> None:
    lines = f"\nimport atexit\natexit.register(print, '{LAST_LINES.format(victim=victim)}')\n"
    assert prepare(**{where: lines})["static"] == "linked"


def test_static_root_outside_of_the_release_is_left_alone(prepare: Prepare, victim: Path) -> None:
    assert prepare(settings=f"\nSTATIC_ROOT = '{victim}'\n")["static"] == "elsewhere"


def test_hashed_names_outside_of_the_release_would_be_missed(prepare: Prepare, victim: Path, capfd: Any) -> None:
    storage = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}
    with pytest.raises(project.Failed):
        prepare(settings=f"\nSTATIC_ROOT = '{victim}'\nSTORAGES = {storage}\n")
    assert "Let STATIC_ROOT be a folder of the project" in capfd.readouterr().err


@pytest.mark.parametrize("path", ["{victim}", "{code}/../../../../victim", "{code}/media/evil", "{code}/media/evil/in"])
def test_forged_answer_leads_root_nowhere(home: Path, prepare: Prepare, victim: Path, path: str) -> None:
    """Also through what the project's user may write: a shared path that is a link, and a link that it made there."""
    code = home / "releases" / RELEASE / "backend"
    (code / "media").symlink_to(home / "shared" / "media")
    (home / "shared" / "media" / "evil").symlink_to(victim)
    root = path.format(victim=victim, code=code)
    forged = {"changed": True, "layer": "", "migrated": True, "static_root": root, "static_url": "/"}
    try:
        assert prepare(served=FORGE.format(forged=forged))["static"] == "elsewhere"
    except Refused as refusal:
        assert "release_shared_paths" in str(refusal)


@pytest.mark.parametrize(
    "forged",
    [
        {}, [], "static", {"layer": "", "changed": True, "migrated": False, "static_root": "", "static_url": ""},
        {"layer": "", "changed": 1, "migrated": True, "static_root": "/a\0b", "static_url": ""},
        {"layer": "x" * 70000, "changed": True, "migrated": True, "static_root": "", "static_url": ""},
    ],
)  # fmt: skip
def test_answer_of_another_form_is_none(prepare: Prepare, forged: Any) -> None:
    with pytest.raises(project.Failed, match="is not what was asked"):
        prepare(served=FORGE.format(forged=forged))


@pytest.mark.parametrize(
    ("served", "told"),
    [
        ("os._exit(0)", "ended before all was done"),
        ("sys.exit(0)", "ended before all was done"),
        ("atexit.register(os._exit, 7)", "failed with 7"),
        ("os.kill(os.getpid(), 9)", "SIGKILL, perhaps because the memory was full"),
    ],
)
def test_project_that_ends_its_process_has_failed(home: Path, prepare: Prepare, served: str, told: str) -> None:
    with pytest.raises(project.Failed, match=told):
        prepare(served=served)
    assert not (home / "shared" / "db").exists() or "atexit" in served


@pytest.mark.parametrize(
    ("root", "fault"), [("BASE_DIR", "manage.py"), ("BASE_DIR.parent", "holds code"), ("BASE_DIR / 'app'", "__init__")]
)
def test_code_is_not_served_as_static_files(home: Path, prepare: Prepare, root: str, fault: str, capfd: Any) -> None:
    code = home / "releases" / RELEASE / "backend"
    (code / "app").mkdir()
    (code / "app" / "__init__.py").write_text("secret = 1")
    with pytest.raises(project.Failed):
        prepare(settings=f"\nSTATIC_ROOT = {root}\n")
    assert fault in capfd.readouterr().err
    assert (code / "manage.py").exists() and (code / "app" / "__init__.py").exists()


@pytest.mark.parametrize(
    ("root", "shared", "static"),
    [
        ("static", "media/", "linked"),
        ("shipped", "media/", "linked"),
        ("public/static", "public/media/", "linked"),
        ("static", "static/", "fault"),
        ("public/static", "public/", "fault"),
        ("media/new", "media/", "fault"),
    ],
)
def test_static_root_is_in_no_shared_path(
    home: Path, prepare: Prepare, root: str, shared: str, static: str, capfd: Any
) -> None:
    """Where a project ships its STATIC_ROOT, that folder is removed: what users have written is never taken for it."""
    code, kept = home / "releases" / RELEASE / "backend", home / "shared"
    for folder in ("media", "public/static", "public/media", "static"):
        (kept / folder).mkdir(parents=True, exist_ok=True)
        (kept / folder / "of a user").touch()
    (code / "shipped").mkdir()
    (code / "shipped" / "site.css").write_text("shipped")
    (code / "shipped" / "more.css").write_text("shipped")
    (code / shared).parent.mkdir(exist_ok=True)
    (code / shared.rstrip("/")).symlink_to(kept / shared)
    settings = f"\nSTATIC_ROOT = BASE_DIR / {root!r}\n"
    if static == "fault":
        with pytest.raises(project.Failed):
            prepare(settings=settings)
        assert "which lies in what release_shared_paths has" in capfd.readouterr().err
    else:
        assert prepare(settings=settings)["static"] == "linked"
        assert (code / root / "site.css").read_text() == "collected", "what is collected comes first"
        assert (code / root / "more.css").exists() == (root == "shipped")
    assert all((kept / folder / "of a user").exists() for folder in ("media", "public/static", "static"))


def test_link_on_the_way_is_not_followed(home: Path, victim: Path) -> None:
    """As one that is put there after the check: what is opened is what was checked, or nothing."""
    release = home / "releases" / RELEASE
    (release / "way").symlink_to(victim)
    with pytest.raises(OSError), project.inside(str(release), str(release / "way")):
        pass
    with project.inside(str(release), str(release / "new" / "one")) as folder:
        assert os.fstat(folder).st_ino == (release / "new" / "one").stat().st_ino


def test_process_in_the_background_holds_up_nothing(home: Path, prepare: Prepare) -> None:
    """It has the output and the lock from its parent, and outlives it."""
    served = "import time\nif os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)"
    begun = time.monotonic()
    prepare(served=served)
    with working(home, "the next", 0):
        assert time.monotonic() - begun < 50


def test_killed_run_s_project_holds_the_lock_until_its_end(home: Path, tmp_path: Path) -> None:
    """The tool is killed, and the project's command goes on: nothing is done beside it."""
    described = {"user": pwd.getpwuid(os.geteuid()).pw_name, "generation": GENERATION, "release": RELEASE}
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "roles" / "asgi" / "files")!r})
from pathlib import Path
from generations.locks import working
from generations.project import Project
home = Path({str(home)!r})
with working(home, "dashboard-generations prepare", 0) as (lock, _):
    Project(home, {described!r}).run(["sh", "-c", "touch {tmp_path}/begun; sleep 3; touch {tmp_path}/done"], lock)
"""
    tool = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    tool.kill()
    tool.wait()
    with working(home, "the next", 30) as (_, note):
        assert (tmp_path / "done").exists(), "it did not wait"
    assert "waited" in note and "dashboard-generations prepare, since 2" in note and "sleep 3" in note


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("assets/leak.css", "{victim}/precious"),
        ("assets/leak", "{victim}"),  # a folder
        ("assets/leak.css", "{home}/shared/db"),  # what the project writes, and the inventory did not name
        ("assets", "{victim}"),  # the folder of static files itself
        ("collected/leak.css", "{victim}/precious"),  # shipped at STATIC_ROOT
    ],
)
def test_no_static_file_leads_out_of_the_release(
    home: Path, prepare: Prepare, victim: Path, capfd: Any, place: str, target: str
) -> None:
    """The release is rejected: served, it would show what nobody meant to; left out, pages would miss it."""
    link = home / "releases" / RELEASE / "backend" / place
    link.parent.mkdir(exist_ok=True)
    if link.is_dir():
        link.rename(link.with_name("elsewhere"))
    link.symlink_to(target.format(victim=victim, home=home))
    with pytest.raises(project.Failed):
        prepare(shared_paths=["media"])
    assert str(link) in capfd.readouterr().err and not list((home / "static" / RELEASE).iterdir())


def test_static_file_may_lead_to_another_of_the_release(home: Path, prepare: Prepare, victim: Path) -> None:
    """Or to a shared path. Files are collected in place of links, which nginx does not follow."""
    code, served = home / "releases" / RELEASE / "backend", home / "static" / RELEASE
    (code / "collected").mkdir()
    (home / "shared" / "media" / "a.png").write_text("png")
    for name, target in (
        ("assets/inner.css", "site.css"), ("assets/served.txt", "../served.py"), ("assets/.left", str(victim)),
        ("assets/uploads", str(home / "shared" / "media")), ("collected/shipped.css", "../assets/site.css"),
    ):  # fmt: skip
        (code / name).symlink_to(target)
    prepare(shared_paths=["media"])
    found = {str(path.relative_to(served)): path.is_symlink() for path in served.rglob("*") if not path.is_dir()}
    names = ("inner.css", "served.txt", "site.css", "uploads/a.png", "shipped.css")
    assert found == dict.fromkeys(names, False)


def test_folder_that_the_settings_name_is_meant_to_be_served(home: Path, prepare: Prepare, tmp_path: Path) -> None:
    """Such as one of a package of the system; yet what leads out of that is not."""
    named = tmp_path / "javascript"
    named.mkdir()
    (named / "lib.js").write_text("js")
    (named / "lib.min.js").symlink_to("lib.js")
    prepare(settings=f"\nSTATICFILES_DIRS = ['{named}']\n")
    assert (home / "static" / RELEASE / "lib.min.js").read_text() == "js"
    (named / "leak.js").symlink_to(home / "shared")
    with pytest.raises(project.Failed):
        prepare(settings=f"\nSTATICFILES_DIRS = ['{named}']\n")
