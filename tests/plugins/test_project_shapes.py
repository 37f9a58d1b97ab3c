"""Shapes in which strangers' projects come: what inspect finds, writes and tells, and that preflight takes it."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.channels.stack.plugins.module_utils.code import syntax
from ansible_collections.channels.stack.plugins.module_utils.inspection import inspect
from ansible_collections.channels.stack.plugins.module_utils.inspection import inventory as project_inventory
from ansible_collections.channels.stack.plugins.module_utils.inspection import python as project_python
from hypothesis import given
from hypothesis import strategies as st
from strangers import (
    ASGI,
    CONSUMERS,
    MANAGE,
    PACKAGE,
    REQUIREMENTS,
    ROUTING,
    SETTINGS,
    UnsafeLoader,
    changed,
    filled_in,
    levels,
    look,
    make,
    preflight,
)

Files = dict[str, str | bytes | None]


def content(mine: dict[str, Any], path: str) -> str:
    """The text of one of release_files."""
    return next((one["content"] for one in mine.get("release_files", []) if one["path"] == path), "")


# --- Origin ---------------------------------------------------------------------------------------------------------

GUARD = "AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))"


@pytest.mark.parametrize(
    ("inside", "more", "checked"),
    [
        (GUARD, "", True),
        ("AuthMiddlewareStack(URLRouter(websocket_urlpatterns))", "", False),
        ("AuthMiddlewareStack(URLRouter(websocket_urlpatterns))", "# TODO: AllowedHostsOriginValidator\n", False),
        ("wrap(URLRouter(websocket_urlpatterns))",
         "def wrap(inner):\n    '''An OriginValidator is to come.'''\n    return inner\n", False),
        ("wrap(URLRouter(websocket_urlpatterns))",
         "def wrap(inner):\n    return AllowedHostsOriginValidator(inner)\n", True),
        ("Own(URLRouter(websocket_urlpatterns))",
         "class Own:\n    def __call__(self, scope):\n        return dict(scope['headers']).get(b'origin')\n", True),
    ],
)  # fmt: skip
def test_origin_is_checked_by_what_is_wrapped(tmp_path: Path, inside: str, more: str, checked: bool) -> None:
    """And not by a comment, an import or a docstring."""
    asgi = changed(ASGI.format(settings="site_.settings"), GUARD, inside, "application = P", f"{more}application = P")
    found, mine, _ = look(make(tmp_path / "chat", {"site_/asgi.py": asgi}))
    assert found.token.origin is checked
    assert ("no OriginValidator around" in levels(found)["warning"]) is not checked
    assert mine.get("handshake_foreign_origin") == (None if checked else "")


def test_origins_by_hosts_that_are_all(tmp_path: Path) -> None:
    """A validator that goes by ALLOWED_HOSTS is none where these are everybody's."""
    text = changed(SETTINGS, "ALLOWED_HOSTS = []", 'ALLOWED_HOSTS = ["*"]')
    found, mine, _ = look(make(tmp_path / "one", {"site_/settings.py": text}))
    assert 'ALLOWED_HOSTS = ["{{ site_name }}", "localhost", "127.0.0.1"]' in content(mine, "deployed_settings.py")
    assert "so AllowedHostsOriginValidator allows pages of any site" in levels(found)["warning"]
    asgi = changed(ASGI.format(settings="site_.settings"), GUARD, "URLRouter(websocket_urlpatterns)")
    _, mine, _ = look(make(tmp_path / "two", {"site_/settings.py": text, "site_/asgi.py": asgi}))
    assert "ALLOWED_HOSTS" not in content(mine, "deployed_settings.py") and mine["handshake_foreign_origin"] == ""


# --- the ASGI object ------------------------------------------------------------------------------------------------


def test_plain_http_that_nobody_answers(tmp_path: Path) -> None:
    """By gunicorn where there is a WSGI application, and else by Django beside the sockets."""
    asgi = changed(ASGI.format(settings="site_.settings"), '    "http": django_application,\n', "")
    _, mine, _ = look(make(tmp_path / "one", {"site_/asgi.py": asgi, "site_/wsgi.py": "application = 1\n"}))
    assert (mine["asgi_http"], mine["asgi_wsgi_application"]) == ("wsgi", "site_.wsgi:application")
    assert mine["asgi_application"] == "site_.asgi:application"
    _, mine, _ = look(make(tmp_path / "two", {"site_/asgi.py": asgi}))
    assert mine["asgi_application"] == "deployed_asgi:application" and "asgi_http" not in mine
    deployed = content(mine, "deployed_asgi.py")
    assert '"http": get_asgi_application()' in deployed
    assert 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deployed_settings")' in deployed
    ast.parse(deployed)


@pytest.mark.parametrize(
    "asgi",
    [
        "import chat.setup\nfrom chat.models import Room\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from chat.models import Room\n",
        "def build():\n    return get_asgi_application()\nhttp = build()\nfrom chat.models import Room\n",
        "def build():\n    from chat.models import Room\n",
    ],
)
def test_models_that_are_not_imported_early(tmp_path: Path, asgi: str) -> None:
    files: Files = {
        "site_/asgi.py": "import os\nfrom django.core.asgi import get_asgi_application\n" + asgi
        + ASGI.format(settings="site_.settings"),
        "chat/setup.py": "import django\ndjango.setup()\nfrom django.contrib.auth.models import AnonymousUser\n",
        "chat/models.py": "from django.db import models\n",
    }  # fmt: skip
    found, mine, _ = look(make(tmp_path / "chat", files))
    assert not found.early and mine["asgi_application"] == "site_.asgi:application"


def test_settings_that_the_asgi_module_assigns(tmp_path: Path) -> None:
    """Which would hide the module that changes them."""
    asgi = changed(ASGI.format(settings="site_.settings"),
                   'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")',
                   'os.environ["DJANGO_SETTINGS_MODULE"] = "site_.settings"')  # fmt: skip
    _, mine, _ = look(make(tmp_path / "chat", {"site_/asgi.py": asgi}))
    assert mine["asgi_application"] == "deployed_asgi:application"


# --- files that the settings read -----------------------------------------------------------------------------------


def test_files_above_the_code(tmp_path: Path) -> None:
    """With the keys that they must have; what is shipped is not named, and what is left out by git is."""
    text = changed(SETTINGS, 'SECRET_KEY = "django-insecure-0123456789"\nDEBUG = True\nALLOWED_HOSTS = []', """
import json, tomllib, yaml
with open(BASE_DIR.parent / "config.yaml") as file:
    config = yaml.safe_load(file)
with open(BASE_DIR.parent / "pyproject.toml", "rb") as file:
    VERSION = tomllib.load(file)
local = json.loads((BASE_DIR / "local.json").read_text())
EXTRA = yaml.safe_load(open("/etc/chat/extra.yml"))["extra"]
with open(BASE_DIR / "direct.json") as file:
    DIRECT = json.load(file)["a"]["b"]
if (BASE_DIR / "optional.yml").exists():
    OPTIONAL = yaml.safe_load(open(BASE_DIR / "optional.yml"))
SECRET_KEY = config["SECRET_KEY"]
DEBUG = config["DEBUG"]
ALLOWED_HOSTS = config["web"]["allowed_hosts"]
NAME = config["web"]["name"]
MAIL = config.get("MAIL", "")
REGION = local["region"]
""")  # fmt: skip
    files: Files = {
        "src/site_/settings.py": text, "src/local.json": '{"region": "mine"}', "pyproject.toml": "[project]\n",
        ".gitignore": "local.json\n",
    }  # fmt: skip
    found, mine, _ = look(make(tmp_path / "chat", files, backend="src"))
    assert {one.path for one in found.files_read} == {
        "../config.yaml", "direct.json", "local.json", "/etc/chat/extra.yml", "optional.yml"
    }  # fmt: skip
    told = levels(found)
    assert (
        "src/site_/settings.py:6: the code reads a file that is not in the project: ../config.yaml" in told["warning"]
    )
    assert "It needs SECRET_KEY, DEBUG, web.allowed_hosts, web.name." in told["warning"]
    assert "/etc/chat/extra.yml. Put it onto the host yourself" in told["warning"]
    assert "optional.yml, if it is there" in told["notice"] and "pyproject.toml" not in "".join(told.values())
    config = yaml.safe_load(content(mine, "../config.yaml").replace("{{ vault_secret_key | to_json }}", '"x"'))
    assert config["DEBUG"] is False and config["SECRET_KEY"] == "x"
    assert config["web"]["allowed_hosts"] == ["{{ site_name }}", "localhost", "127.0.0.1"]
    assert config["web"]["name"].startswith("!!!SET what the settings read at src/site_/settings.py:")
    assert json.loads(content(mine, "local.json"))["region"].startswith("!!!SET")
    assert list(json.loads(content(mine, "direct.json"))["a"]) == ["b"]
    assert content(mine, "optional.yml") == "" and all(not one["path"].startswith("/") for one in mine["release_files"])


def test_modules_that_git_leaves_out(tmp_path: Path) -> None:
    text = SETTINGS + "from .secret import KEY\ntry:\n    from .local import *\nexcept ImportError:\n    pass\n"
    found, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert {one.path: one.optional for one in found.files_read} == {"site_/secret.py": False, "site_/local.py": True}
    assert content(mine, "site_/secret.py").startswith("!!!SET") and not content(mine, "site_/local.py")


# --- Python ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "debian", "python"),
    [
        ({"poetry.lock": PACKAGE.format("django", "6.0") + '[metadata]\npython-versions = "^3.12"\n',
          "pyproject.toml": "[tool.poetry]\n"}, ["13"], None),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.12"\ndependencies = ["django"]\n'}, ["13"], None),
        ({"requirements.txt": REQUIREMENTS, "Dockerfile": "FROM --platform=x python:3.12-slim AS b\n"}, ["13"], None),
        ({"requirements.txt": REQUIREMENTS, ".python-version": "3.12.4\n"}, None, "3.12"),
        ({"requirements.txt": REQUIREMENTS, "Dockerfile": "FROM python:3.9\n"}, None, None),
        ({"requirements.txt": REQUIREMENTS, "chat/views.py": 'd = {}\nx = f"{d["a"]}"\n'}, ["13"], None),
        ({"requirements.txt": REQUIREMENTS, "chat/views.py": "type A = int\n"}, ["13"], None),
        ({"requirements.txt": REQUIREMENTS, "chat/views.py": "def f[T](a: T): pass\n"}, ["13"], None),
        ({"requirements.txt": REQUIREMENTS, "chat/views.py": "x = f\"{1:>{2}} {'a'} {{ \\\" }}\"\n"}, None, None),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.10,<3.12"\ndependencies = ["django"]\n'}, ["12"], None),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.14"\ndependencies = ["django"]\n'}, None, "3.14"),
    ],
)  # fmt: skip
def test_pythons_that_debian_has_not(
    tmp_path: Path, files: Files, debian: list[str] | None, python: str | None
) -> None:
    """Told, and refused by preflight, before anything is installed."""
    found, mine, _ = look(make(tmp_path / "chat", {"requirements.txt": None, **files}))
    assert mine.get("preflight_debian_versions") == debian
    assert mine.get("release_python") == python
    assert mine.get("release_python_download") == (True if python else None)
    assert ("Debian 12 has 3.11" in levels(found)["warning"]) is bool(debian or python)


def test_preflight_refuses_a_debian_whose_python_is_too_old(tmp_path: Path) -> None:
    inventory = tmp_path / "mine"
    folder = make(tmp_path / "chat", {".python-version": "3.13\n"})
    project_inventory.write(inspect.inspect(folder), inventory)
    fill(inventory)
    assert "runs debian 12; supported: Debian 13" in preflight(inventory)


def test_code_for_a_newer_python_is_read_all_the_same(tmp_path: Path) -> None:
    """Whatever Python the controller has: an f-string with its own quotes inside hides nothing."""
    text = SETTINGS + 'A = {"k": "v"}\nB = f"{A["k"]!r:>{10}} {{"\nimport os\nC = os.environ["NEEDED"]\n'
    found, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert "NEEDED" in mine["release_environment"] and not found.notes[0].text.startswith("could not be read")
    assert [str(one.place) for one in found.python] == ["site_/settings.py:16"]


@pytest.mark.parametrize(
    ("text", "older", "line"),
    [
        ('f"{a["b"]}"', "f\"{a['b']}\"", 1),
        ("x = 1 # f\"{a['b']}\"\n\nf'{a['b']}'", "x = 1 # f\"{a['b']}\"\n\nf'{a[\"b\"]}'", 3),
        ('f"""{a["b"]}"""', 'f"""{a["b"]}"""', 0),
        ('f"{a[\'b\']}" "{a["', 'f"{a[\'b\']}" "{a["', 0),
        ('"f{" f"{{" \'{\'', '"f{" f"{{" \'{\'', 0),
        ("f'{a!r:{w}}' if b else 'c'", "f'{a!r:{w}}' if b else 'c'", 0),
        ("f\"{a:'>4}\" f\"{b['c']:\\\"<{d['e']}}\"", "f\"{a:'>4}\" f\"{b['c']:\\\"<{d['e']}}\"", 0),
        ("f\"{a[1:2]} {(lambda: {'b': 'c'})()!r:>{4}}\"", "f\"{a[1:2]} {(lambda: {'b': 'c'})()!r:>{4}}\"", 0),
        ("f'{chr(10)}{\"\\n\"}'", "f'{chr(10)}{\"\\n\"}'", 1),
    ],
)
def test_fstrings_as_older_pythons_read_them(text: str, older: str, line: int) -> None:
    strings = syntax.FStrings(text)
    assert (strings.older, strings.line) == (older, line)


@given(st.text(max_size=60) | st.text("f'\"{}[]:!\\\n a#", max_size=60))
def test_any_text_ends(text: str) -> None:
    assert len(syntax.FStrings(text).older) == len(text)


def test_specifiers() -> None:
    assert project_python.specifier("^3.12") and project_python.contains(project_python.specifier("^3.12"), 13)
    assert not project_python.contains(project_python.specifier("^3.12"), 11)
    assert project_python.specifier("nonsense") == ""


# --- workers --------------------------------------------------------------------------------------------------------


def test_workers_keep_their_names_and_options(tmp_path: Path) -> None:
    files: Files = {
        "site_/celery.py": "from celery import Celery\napp = Celery('site_')\napp.conf.beat_schedule = {}\n",
        "Procfile": "web: daphne site_.asgi:application\nMail_Out: celery -A site_ worker -Q mail,slow -c 2 -l info\n",
        "docker-compose.yml": """
services:
  thumbs:
    command: ["celery", "--app=site_.celery", "worker", "--hostname=t@%h", "--pidfile", "/tmp/x", "--detach"]
  clock:
    command: sh -c "cd /code && python -m celery -A site_ beat -s /tmp/s -l info"
  channels:
    entrypoint: /entrypoint.sh
    command: entrypoint.sh thumbnails mails
""",
        "entrypoint.sh": '#!/bin/sh\nexec python manage.py runworker "$@"\n',
        "deploy/supervisor.conf": "[program:queue]\ncommand=/bin/python manage.py rqworker high default > /dev/null\n",
        "README.md": "Run celery -A site_ worker --pool=solo\n",
    }
    asgi = changed(ASGI.format(settings="site_.settings"), "})", '    "channel": ChannelNameRouter({}),\n})')
    found, mine, _ = look(make(tmp_path / "chat", {**files, "site_/asgi.py": asgi}))
    assert {"mail", "slow"} <= set(found.tasks.queues), "its user may not read them"
    workers = {one["name"]: one["command"] for one in mine["asgi_workers"]}
    assert workers == {
        "mail-out": "celery -A site_ worker -Q mail,slow -c 2 -l info -n $ASGI_INSTANCE",
        "thumbs": "celery --app=site_.celery worker --hostname=t@%h",
        "clock": "celery -A site_ beat -l info -s /srv/{{ release_app }}/shared/celerybeat-schedule",
        "queue": "python manage.py rqworker high default",
        "channels": "python manage.py runworker thumbnails mails",
    }
    assert [one["name"] for one in mine["asgi_workers"] if one.get("singleton")] == ["clock"]


def test_runworker_without_names(tmp_path: Path) -> None:
    """Stops preflight where the application has channels, and is told of where it has none."""
    script: Files = {"entrypoint.sh": '#!/bin/sh\nexec python manage.py runworker "$1"\n'}
    found, mine, _ = look(make(tmp_path / "one", script))
    assert "asgi_workers" not in mine and "entrypoint.sh:2: starts runworker, which" in levels(found)["warning"]
    asgi = changed(ASGI.format(settings="site_.settings"), "})", '    "channel": names(),\n})')
    found, mine, _ = look(make(tmp_path / "two", {**script, "site_/asgi.py": asgi}))
    assert "!!!SET the names of the channels" in mine["asgi_workers"][0]["command"]


# --- tasks and caches -----------------------------------------------------------------------------------------------


def test_brokers_and_caches_in_the_code(tmp_path: Path) -> None:
    text = (
        SETTINGS
        + """
CELERY_BROKER_URL = "redis://localhost:6379"
CELERY_TASK_ROUTES = {"mail.*": {"queue": "mail"}}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379/2",
                "KEY_PREFIX": "shop"},
    "other": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
"""
    )
    celery = "from celery import Celery\napp = Celery('site_', backend='redis://localhost/1')\n"
    files: Files = {"site_/settings.py": text, "site_/celery.py": celery, "requirements.txt": REQUIREMENTS + "celery\n"}
    _, mine, written = look(make(tmp_path / "chat", files))
    address = "redis://tasks:{{ vault_tasks_password | urlencode }}@127.0.0.1:6379/1"
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "DEPLOYED_CACHE_URL"):
        assert mine["release_secrets"][name] == address
    assert 'CACHES["default"]["LOCATION"] = os.environ["DEPLOYED_CACHE_URL"]' in content(mine, "deployed_settings.py")
    assert 'CACHES["other"]' not in content(mine, "deployed_settings.py")
    (rules,) = mine["redis_extra_users"]
    assert {"~celery*", "~mail*", "~shop:*", "&/1.celery.pidbox", "-@all", "-@dangerous"} <= set(rules.split())
    assert not {"~*", "&*", "+@all"} & set(rules.split())
    assert "vault_tasks_password" in yaml.safe_load(written["group_vars/all/vault.yml"])
    assert mine["release_packages"] == ["kombu[redis]"]


def test_prefix_of_the_layer(tmp_path: Path) -> None:
    text = changed(SETTINGS, '[("127.0.0.1", 6379)]', '[("127.0.0.1", 6379)], "prefix": "shop"')
    assert look(make(tmp_path / "chat", {"site_/settings.py": text}))[1]["redis_prefix"] == "shop"


# --- applications ---------------------------------------------------------------------------------------------------


def test_packages_that_no_list_brings(tmp_path: Path) -> None:
    text = changed(SETTINGS, '"chat"]', '"chat", "django_extensions", "rest_framework", "unheard_of"]')
    text = changed(text, "SECRET_KEY =", "import yaml\nSECRET_KEY =")
    files: Files = {"site_/settings.py": text, "requirements.txt": REQUIREMENTS + "djangorestframework\n"}
    found, mine, _ = look(make(tmp_path / "chat", files))
    assert mine["release_packages"] == ["django-extensions", "PyYAML"]
    assert (
        "django_extensions is used, and requirements.txt does not bring django-extensions" in levels(found)["warning"]
    )
    postgres = changed(SETTINGS, "sqlite3", "postgresql", '"NAME": BASE_DIR / "db.postgresql"', '"NAME": "x"')
    _, mine, _ = look(make(tmp_path / "two", {"site_/settings.py": postgres}))
    assert mine["release_packages"] == ["psycopg[binary]"]


def test_locks_that_hold_more_than_is_asked_for(tmp_path: Path) -> None:
    """What pyproject.toml does not ask for is not installed, whatever poetry.lock holds."""
    lock = "".join(
        PACKAGE.format(*one)
        for one in (
            ("django", "5.2.4"),
            ("channels", "4.3.2"),
            ("daphne", "4.2.2"),
            ("channels-redis", "4.3.0"),
            ("six", "1.0"),
        )
    )
    asked = '[tool.poetry]\nname = "b"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.11"\n'
    files: Files = {"requirements.txt": None, "poetry.lock": lock, "pyproject.toml": asked}  # fmt: skip
    _, mine, _ = look(make(tmp_path / "one", files))
    assert set(mine["release_packages"]) == {
        "Django==5.2.4", "channels==4.3.2", "daphne==4.2.2", "channels-redis==4.3.0"
    }  # fmt: skip
    assert mine["release_constraints"] == ["redis<8"], "no lock holds it"
    files["pyproject.toml"] = asked + 'django = "*"\nchannels = "*"\ndaphne = "*"\nchannels-redis = "*"\n'
    assert "release_packages" not in look(make(tmp_path / "two", files))[1]


def test_geodjango(tmp_path: Path) -> None:
    text = changed(
        SETTINGS, '"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"',
        '"ENGINE": "django.contrib.gis.db.backends.postgis", "NAME": "b", "USER": "b", "HOST": "db"',
    )  # fmt: skip
    found, mine, files = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert {"binutils", "gdal-bin", "libproj-dev", "postgresql-postgis"} <= set(mine["release_system_packages"])
    assert "CREATE EXTENSION postgis" in files["group_vars/all/main.yml"].replace("\n# ", " ")
    assert "PostGIS has to be made" in levels(found)["warning"]
    deployed = content(mine, "deployed_settings.py")
    ast.parse(deployed)
    assert 'USER="{{ postgresql_login }}"' in deployed and "DEPLOYED_DATABASE_PASSWORD" in mine["release_secrets"]


def test_models_without_migrations(tmp_path: Path) -> None:
    models = "from django.contrib.auth.models import AbstractUser\nclass User(AbstractUser):\n    pass\n"
    files: Files = {"chat/models.py": models, "chat/migrations/__init__.py": ""}
    text = SETTINGS + 'AUTH_USER_MODEL = "chat.User"\n'
    found, _, _ = look(make(tmp_path / "one", {**files, "site_/settings.py": text}))
    assert "chat/models.py: AUTH_USER_MODEL is chat.User, and chat has no migrations" in levels(found)["error"]
    found, _, _ = look(make(tmp_path / "two", files))
    assert "the models of chat have no migrations" in levels(found)["warning"]
    found, _, _ = look(make(tmp_path / "three", {**files, "chat/migrations/0001_initial.py": ""}))
    assert "migrations" not in "".join(levels(found).values())


# --- what is put beside the code ------------------------------------------------------------------------------------


def test_what_the_code_fixes(tmp_path: Path) -> None:
    """DEBUG, hosts, the key, static files, a page; each only where it is needed."""
    _, mine, _ = look(make(tmp_path / "one", {}))
    deployed = content(mine, "deployed_settings.py")
    ast.parse(deployed)
    assert "/srv/" not in deployed.partition("STATIC_ROOT")[2], "a folder that cannot give way to a link"
    assert mine["release_secrets"]["SECRET_KEY"] == "{{ vault_secret_key }}"
    hosts = changed(SETTINGS, "ALLOWED_HOSTS = []", 'ALLOWED_HOSTS = ["example.org"]')
    _, mine, _ = look(make(tmp_path / "two", {"site_/settings.py": hosts}))
    assert 'ALLOWED_HOSTS = [*ALLOWED_HOSTS, "{{ site_name }}"' in content(mine, "deployed_settings.py")
    bare = changed(SETTINGS, '"django.contrib.staticfiles", ', "")
    _, mine, _ = look(make(tmp_path / "three", {"site_/settings.py": bare}))
    assert "STATIC_ROOT" not in content(mine, "deployed_settings.py")
    _, mine, _ = look(make(tmp_path / "four", {"site_/settings.py": bare + "STATIC_ROOT = BASE_DIR / 'static'\n"}))
    assert mine["release_collectstatic"] is False
    nowhere = changed(SETTINGS, 'STATIC_URL = "static/"\n', "")
    _, mine, _ = look(make(tmp_path / "six", {"site_/settings.py": nowhere}))
    assert "STATIC_ROOT" not in content(mine, "deployed_settings.py"), "collectstatic asks for STATIC_URL"
    clean = changed(
        SETTINGS, '"django-insecure-0123456789"', 'os.environ["KEY"]', "DEBUG = True", "DEBUG = False",
        "ALLOWED_HOSTS = []", 'ALLOWED_HOSTS = os.environ["HOSTS"].split()',
    ) + "STATIC_ROOT = BASE_DIR / 'static'\n"  # fmt: skip
    _, mine, _ = look(make(tmp_path / "five", {"site_/settings.py": "import os\n" + clean}))
    assert "release_files" not in mine and "release_settings_module" not in mine


def test_a_page_for_who_has_none(tmp_path: Path) -> None:
    _, mine, _ = look(make(tmp_path / "chat", {"site_/urls.py": "urlpatterns = []\n"}))
    assert mine["handshake_health_path"] == "/deployed-health/"
    ast.parse(content(mine, "deployed_urls.py"))
    assert 'ROOT_URLCONF = "deployed_urls"' in content(mine, "deployed_settings.py")


@pytest.mark.parametrize(
    "databases",
    ["{}", '{"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}',
     '{"default": {"ENGINE": "django.db.backends.dummy"}}'],
)  # fmt: skip
def test_databases_that_cannot_be_migrated(tmp_path: Path, databases: str) -> None:
    text = changed(SETTINGS, '{"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}',
                   databases)  # fmt: skip
    _, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert mine["release_migrate"] is False and "release_shared_paths" not in mine


def test_sqlite_above_the_code(tmp_path: Path) -> None:
    text = changed(SETTINGS, 'BASE_DIR / "db.sqlite3"', 'BASE_DIR.parent / "data" / "db.sqlite3"')
    _, mine, _ = look(make(tmp_path / "chat", {"src/site_/settings.py": text}, backend="src"))
    deployed = content(mine, "deployed_settings.py")
    assert 'DATABASES["default"]["NAME"] = "/srv/{{ release_app }}/shared/db.sqlite3"' in deployed
    assert "release_shared_paths" not in mine


# --- all of it, filled in, with its comments and without -------------------------------------------------------------

LINE = re.compile(r"^(\s*)# (\s*(?:- .*|[A-Za-z_]\w*:(?: .*)?))$")


def fill(inventory: Path) -> None:
    """Write something into each placeholder."""
    for path in inventory.rglob("*.yml"):
        path.write_text(filled_in(path.read_text()))


def uncommented(text: str) -> str:
    """A file with the marks taken off what is no sentence: keys, items of lists, and the texts below those."""
    lines: list[str] = []
    below = -1  # the column of a text's key
    for line in text.splitlines():
        bare = re.sub(r"^(\s*)# ?", r"\1", line)
        column = len(bare) - len(bare.lstrip())
        if re.match(r"\s*#", line) and below >= 0 and column > below:
            lines.append(bare)
            continue
        below = -1
        if match := LINE.match(line):
            lines.append(match[1] + match[2])
            below = column if re.search(r":$|[|>]-?$", bare) else -1
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


class Strict(UnsafeLoader):
    """Refuses a key that is there twice."""


def mapping(loader: Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    """A mapping whose keys differ."""
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"twice: {keys}"
    return dict(zip(keys, (loader.construct_object(value, deep=True) for _, value in node.value), strict=True))


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)

GUESSES: Files = {
    "requirements.txt": "django==5.2.4\nchannels==4.2.0\nchannels-redis==4.2.1\nredis==5.2.0\ndaphne==4.2.2\n",
    "site_/settings.py": """
import os
HERE = os.path.dirname(__file__)
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = os.environ.get("APP_DEBUG", "") != "False"
ALLOWED_HOSTS = ["*"]
MODE = os.environ.get("LOGIN_MODE", "local").lower()
if MODE not in ("ldap", "local"):
    raise ValueError(MODE)
PAGE = int(os.environ.get("PAGE_SIZE", 20))
INSTALLED_APPS = ["daphne", "channels", "django.contrib.staticfiles"]
ROOT_URLCONF = "site_.urls"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(HERE, "one.sqlite3")},
    "logs": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(HERE, "two.sqlite3")},
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer",
                              "CONFIG": {"hosts": [os.environ.get("LAYER_HOST", "redis://redis:6379")]}}}
""",
    "site_/urls.py": "urlpatterns = []\n",
}
BESIDE: Files = {
    "src/requirements.txt": None,
    "poetry.lock": "".join(PACKAGE.format(*one) for one in (
        ("django", "5.2.4"), ("channels", "4.3.2"), ("channels-redis", "4.3.0"), ("celery", "5.4.0"))),
    "pyproject.toml": '[tool.poetry]\nname = "b"\nversion = "0.1.0"\n[tool.poetry.dependencies]\npython = "^3.11"\n',
    "src/site_/settings.py": """
from pathlib import Path
import yaml
BASE_DIR = Path(__file__).resolve().parent.parent
with open(BASE_DIR.parent / "config.yaml") as file:
    config = yaml.safe_load(file)
SECRET_KEY, DEBUG = config["SECRET_KEY"], config["DEBUG"]
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["daphne", "channels", "django_extensions", "django.contrib.gis", "django.contrib.auth", "chat"]
ROOT_URLCONF = "site_.urls"
DATABASES = {"default": {"ENGINE": "django.contrib.gis.db.backends.postgis", "NAME": "b", "USER": "b", "HOST": "db"}}
CELERY_BROKER_URL = "redis://localhost:6379"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer",
                              "CONFIG": {"hosts": [("localhost", 6379)]}}}
""",
    "src/site_/celery.py": "from celery import Celery\napp = Celery('site_')\n",
    "src/site_/asgi.py": changed(ASGI.format(settings="site_.settings"), '    "http": django_application,\n', ""),
}  # fmt: skip
BARE: Files = {
    "requirements.txt": "django==5.2.4\nchannels==4.3.1\ndaphne==4.2.2\n",
    "site_/settings.py": changed(SETTINGS, 'BASE_DIR / "db.sqlite3"', '":memory:"'),
    "site_/urls.py": "urlpatterns = []\n",
}
TOKENS: Files = {
    "requirements.txt": REQUIREMENTS + "djangorestframework-simplejwt\n",
    "chat/auth.py": "def of(scope):\n    return parse_qs(scope['query_string'])['jwt'][0]\n",
}
EARLY: Files = {"chat/models.py": "from django.db import models\n", "chat/consumers.py": CONSUMERS,
                "site_/asgi.py": "from chat.models import Room\n" + ASGI.format(settings="site_.settings")}  # fmt: skip
SHAPES: dict[str, tuple[Files, str]] = {
    "usual": ({}, "."), "guesses": (GUESSES, "."), "beside": (BESIDE, "src"), "bare": (BARE, "."),
    "tokens": (TOKENS, "."), "early": (EARLY, "."),
}  # fmt: skip


@pytest.mark.parametrize("marks", ["as it is", "without its marks"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_written_is_right_filled_in(tmp_path: Path, shape: str, marks: str) -> None:
    """Valid YAML whose keys differ, and nothing that preflight would stop."""
    files, backend = SHAPES[shape]
    inventory = tmp_path / "mine"
    folder = make(tmp_path / "chat", files, backend=backend)
    project_inventory.write(inspect.inspect(folder), inventory)
    fill(inventory)
    if marks == "without its marks":
        for path in inventory.rglob("*.yml"):
            path.write_text(uncommented(path.read_text()))
    for path in inventory.rglob("*.yml"):
        yaml.load(path.read_text(), Strict)
    said = preflight(inventory)
    variables = set(re.findall(r"^ +variable  (\w+)", said, re.MULTILINE))
    # A query's token whose command nobody can know is the one thing to write.
    assert variables <= ({"handshake_path"} if shape == "tokens" and marks == "as it is" else set()), said
    assert bool(said) == bool(variables), said


def test_marks_are_taken_off_what_is_no_sentence() -> None:
    text = "# A sentence: of words.\na: 1\n# b:\n#   - |\n#     text: x\n# c: 2 # file.py:3\n# End.\n"
    assert uncommented(text) == "# A sentence: of words.\na: 1\nb:\n  - |\n    text: x\nc: 2 # file.py:3\n# End.\n"


def test_manage_names_what_asgi_does(tmp_path: Path) -> None:
    """No module is put beside the code for a project that is fine."""
    files: Files = {"manage.py": MANAGE.format(settings="site_.settings"), "chat/routing.py": ROUTING}
    assert os.path.basename(look(make(tmp_path / "chat", files))[1]["release_folder"]) == "chat"
