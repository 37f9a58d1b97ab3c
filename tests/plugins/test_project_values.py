"""What inspect writes for names of the environment, DEBUG and databases: nothing that the code does not say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.channels.stack.plugins.module_utils.code import flags
from ansible_collections.channels.stack.plugins.module_utils.code.values import Environment
from strangers import SETTINGS, changed, levels, look, make


def test_values_keep_the_codes_defaults(tmp_path: Path) -> None:
    """Of a mode that must be one of two, of a switch for something else, of an address that is a URL."""
    text = changed(
        SETTINGS, '[("127.0.0.1", 6379)]', '[os.environ.get("LAYER_HOST", "redis://redis:6379")]'
    ) + """
MODE = os.environ.get("LOGIN_MODE", "local").lower()
if MODE == "ldap":
    LOGIN_URL = "ldap"
elif MODE == "local":
    LOGIN_URL = "local"
else:
    raise ValueError(MODE)
if os.environ.get("TRACE") == "remote":
    import tracer
if os.environ.get("USE_LOCAL_FILES", "yes") == "yes":
    MEDIA_ROOT = BASE_DIR / "uploads"
"""  # fmt: skip
    found, mine, files = look(make(tmp_path / "chat", {"site_/settings.py": "import os\n" + text}))
    assert mine["release_environment"] == {}
    assert mine["release_secrets"]["LAYER_HOST"] == "redis://channels:{{ redis_password | urlencode }}@127.0.0.1:6379/0"
    assert "redis_anonymous" not in mine
    assert re.search(r"# LOGIN_MODE \(site_/settings.py:\d+\), which is local", files["group_vars/all/main.yml"])
    assert found.media == "uploads"


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ('os.environ["STAGE"] == "production"', "production"),
        ('os.environ.get("STAGE", "dev") != "prod"', "prod"),
        ('os.environ.get("STAGE", "dev") == "dev"', "production"),
        ('os.environ.get("STAGE", "production") == "production"', None),
        ('os.environ.get("STAGE", "green") == "blue"', None),
        ('os.environ.get("IS_PRODUCTION") == "1"', "1"),
        ('os.environ.get("LOCAL_DEV", "1") == "1"', "False"),
    ],
)
def test_words_for_production_are_what_the_code_compares(tmp_path: Path, code: str, written: str | None) -> None:
    text = f"import os\n{SETTINGS}\nif {code}:\n    A = 1\nelse:\n    A = 2\n"
    _, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert next(iter(mine["release_environment"].values()), None) == written


def test_a_word_that_is_compared_later_decides_what_comes_before(tmp_path: Path) -> None:
    text = f"""import os
STAGE = os.environ.get("STAGE", "dev")
LOG = "console" if STAGE == "dev" else "file"
{SETTINGS}
if STAGE == "dev":
    DATABASES = {{}}
elif STAGE == "live":
    ROOM = "large"
else:
    raise ValueError(STAGE)
"""
    found, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert mine["release_environment"] == {"STAGE": "live"} and found.database.kind == "sqlite"


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ('os.environ.get("APP_DEBUG", "") != "False"', "False"),
        ('os.getenv("DJANGO_DEBUG", "true").lower() in ("1", "true")', "False"),
        ('os.environ.get("X_DEBUG", "on") not in ["off", "no"]', "off"),
        ('bool(os.environ.get("WEB_DEBUG", "1"))', ""),
        ('int(os.environ.get("WEB_DEBUG", 1))', "0"),
        ('not os.environ.get("LIVE")', "True"),
        ('not config("LIVE", default=False, cast=bool)', "True"),
        ('config("SITE_DEBUG", default=True, cast=bool)', "False"),
        ('os.environ.get("STAGE", "development") == "development"', "production"),
        ('os.environ.get("APP_DEBUG", "") == "True"', None),
        ('config("SITE_DEBUG", default=False, cast=bool)', None),
    ],
)
def test_debug_is_off_under_whatever_name(tmp_path: Path, code: str, value: str | None) -> None:
    text = changed(SETTINGS, "DEBUG = True", f"import os\nfrom decouple import config\nDEBUG = {code}")
    found, mine, files = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert next(iter(mine["release_environment"].values()), None) == value
    if value is not None:
        assert "# Turns DEBUG off (site_/settings.py:7)." in files["group_vars/all/main.yml"]
        assert "site_/settings.py:7: DEBUG is on unless" in levels(found)["warning"]
    else:
        assert "DEBUG" not in levels(found)["warning"]


def test_debug_by_a_name_of_its_own(tmp_path: Path) -> None:
    """Read on one line, and compared on another."""
    text = changed(
        SETTINGS, "DEBUG = True", 'import os\nMODE = os.environ.get("VERBOSE", "yes")\nDEBUG = MODE == "yes"'
    )
    _, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert mine["release_environment"] == {"VERBOSE": "False"}


@pytest.mark.parametrize("code", ["tell()", "CONFIG['debug']", "lazy(os.environ.get('A_DEBUG', 'x'))"])
def test_debug_that_cannot_be_told_is_warned_of(tmp_path: Path, code: str) -> None:
    text = changed(SETTINGS, "DEBUG = True", f"import os\nfrom somewhere import CONFIG, lazy, tell\nDEBUG = {code}")
    found, _, files = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert "site_/settings.py:7: it is unclear whether DEBUG is off" in levels(found)["warning"]
    assert " DEBUG = False" in files["group_vars/all/main.yml"]


@pytest.mark.parametrize(
    ("how", "raw", "means"),
    [
        ((), "False", True), ((), "", False), (("bool",), "0", True), (("config", "bool"), "off", False),
        (("environs", "bool"), "perhaps", None), (("int",), "0", False), (("int",), "x", None),
        (("compare:True",), "True", True), (("compare:true",), "True", None), (("not:0",), "1", True),
        (("not:",), "", False), (("compare:1", "not"), "1", False), (("split:,",), "a", None), (("json",), "[]", None),
    ],
)  # fmt: skip
def test_what_code_makes_of_a_text(how: tuple[str, ...], raw: str, means: bool | None) -> None:
    assert flags.applied(how, raw) is means
    text = flags.off(Environment("X", raw, how))
    assert text is None or flags.applied(how, text) is False


def test_each_file_of_sqlite_outlives_a_release(tmp_path: Path) -> None:
    """All databases', by paths that are put together from folders and names of the environment."""
    text = changed(
        SETTINGS,
        'DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}',
        """
import os
DATA = os.environ.get("DATA", BASE_DIR / "data")
SQLITE = "django.db.backends.sqlite3"
DATABASES = {
    "default": {"ENGINE": SQLITE, "NAME": os.path.join(os.path.dirname(__file__), "one.sqlite3")},
    "logs": {"ENGINE": SQLITE, "NAME": str(BASE_DIR / "var" / "two.sqlite3")},
    "stats": {"ENGINE": SQLITE, "NAME": f"{BASE_DIR}/three.sqlite3"},
    "queue": {"ENGINE": SQLITE, "NAME": os.path.join(DATA, "four.sqlite3")},
    "cache": {"ENGINE": SQLITE, "NAME": BASE_DIR / os.environ.get("CACHE_FILE", "five.sqlite3")},
    "audit": {"ENGINE": SQLITE, "NAME": "six.sqlite3"},
    "other": {"ENGINE": "django.db.backends.postgresql", "NAME": "other"},
}
""",
    )
    found, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert mine["release_shared_paths"] == ["site_/one.sqlite3", "var/two.sqlite3", "three.sqlite3", "six.sqlite3"]
    shared = "/srv/{{ release_app }}/shared"
    assert mine["release_environment"] == {"DATA": shared, "CACHE_FILE": f"{shared}/five.sqlite3"}
    for name in ("one", "two", "three", "six"):
        assert f"{name}.sqlite3" in levels(found)["warning"]


def test_postgresqls_names_have_no_hyphens(tmp_path: Path) -> None:
    text = changed(SETTINGS, '{"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}',
                   '{"default": dj_database_url.config(default="postgres://a@b/c")}')  # fmt: skip
    _, mine, _ = look(make(tmp_path / "my-chat", {"site_/settings.py": "import dj_database_url\n" + text}))
    assert mine["release_secrets"]["DATABASE_URL"] == "{{ postgresql_url }}"
