"""A first inventory for a project by looking at it: of the shapes in which projects come, and of broken ones."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.channels.stack.plugins.module_utils.code import files as project_source
from ansible_collections.channels.stack.plugins.module_utils.code import values
from ansible_collections.channels.stack.plugins.module_utils.inspection import inspect, summary
from ansible_collections.channels.stack.plugins.module_utils.inspection import inventory as project_inventory
from ansible_collections.channels.stack.plugins.module_utils.inspection import routes as project_routes
from ansible_collections.channels.stack.plugins.module_utils.requirements import declared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strangers import (
    ASGI,
    CONSUMERS,
    MANAGE,
    PACKAGE,
    REQUIREMENTS,
    ROOT,
    ROUTING,
    SETTINGS,
    changed,
    filled_in,
    levels,
    look,
    make,
    preflight,
    run,
)

# --- the reference project ------------------------------------------------------------------------------------------


def test_the_example_gets_the_labs_inventory() -> None:
    found, mine, files = look(ROOT / "examples" / "dashboard")
    lab = yaml.safe_load((ROOT / "inventories" / "lab" / "group_vars" / "all" / "main.yml").read_text())
    same = (
        "release_app", "release_backend", "release_requirements", "asgi_application", "handshake_path",
        "handshake_health_path", "handshake_token_command", "handshake_expired_token_command",
    )  # fmt: skip
    assert {name: mine[name] for name in same} == {name: lab[name] for name in same}
    assert Path(mine["release_folder"]) == ROOT / "examples" / "dashboard"
    assert set(mine["release_environment"]) == set(lab["release_environment"])
    assert set(mine["release_secrets"]) == set(lab["release_secrets"])
    render = {
        "{{ release_app }}": "dashboard",
        "{{ redis_user | default('channels') }}": "channels",
        " | urlencode": "",
    }
    for section, name in (("release_environment", "SQLITE_PATH"), ("release_secrets", "REDIS_URL")):
        texts = [variables[section][name] for variables in (mine, lab)]
        for old, new in render.items():
            texts = [text.replace(old, new) for text in texts]
        assert texts[0] == texts[1]
    assert not {"release_settings_module", "release_shared_paths", "redis_anonymous", "release_packages"} & set(mine)
    assert set(yaml.safe_load(files["hosts.yml"])["all"]["children"]["redis"]["hosts"]) == {"dashboard"}
    assert [note.level for note in found.notes] == ["warning"], found.notes  # of SQLite, which SQLITE_PATH leads away


# --- shapes ---------------------------------------------------------------------------------------------------------


def test_tutorial(tmp_path: Path) -> None:
    """Everything fixed in the code, as startproject and the tutorial leave it."""
    found, mine, files = look(make(tmp_path / "My Chat!", {"db.sqlite3": b"SQLite format 3\0"}))
    assert mine["release_app"] == "my-chat"
    assert mine["release_backend"] == "."
    assert mine["asgi_application"] == "site_.asgi:application"
    assert mine["release_shared_paths"] == ["db.sqlite3"]
    assert mine["redis_anonymous"] is True
    assert "redis_password" not in mine and mine["release_environment"] == {}
    assert mine["handshake_path"] == "/ws/chat/" and mine["nginx_websocket_paths"] == ["/ws/"]
    told = levels(found)
    assert "DEBUG is True in the code" in told["warning"] and "site_/settings.py:5" in told["warning"]
    assert "127.0.0.1:6379 in the code" in told["warning"]
    assert "db.sqlite3, which is there" in told["warning"]
    main = files["group_vars/all/main.yml"]
    for line in (
        "from site_.settings import *",
        "DEBUG = False",
        'SECRET_KEY = os.environ["SECRET_KEY"]',
        "STATIC_ROOT =",
    ):
        assert f"\n      {line}" in main
    assert set(yaml.safe_load(files["group_vars/all/vault.yml"])) == {"vault_secret_key"}


def test_compose_names(tmp_path: Path) -> None:
    """Hosts as a compose file has them, of Redis and of PostgreSQL."""
    text = changed(
        SETTINGS, '("127.0.0.1", 6379)', '("redis", 6379)',
        '"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"',
        '"ENGINE": "django.db.backends.postgresql", "NAME": "chat", "USER": "chat", "PASSWORD": "x", "HOST": "db"',
    )  # fmt: skip
    found, mine, files = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert mine["base_host_aliases"] == {"db": "127.0.0.1", "redis": "127.0.0.1"}
    assert mine["redis_anonymous"] is True
    hosts = yaml.safe_load(files["hosts.yml"])["all"]["children"]
    assert set(hosts["database"]["hosts"]) == set(hosts["redis"]["hosts"]) == {"chat"}
    assert "vault_postgresql_password" in yaml.safe_load(files["group_vars/all/vault.yml"])
    assert "no package is its driver" in levels(found)["warning"]


def test_environment_by_os(tmp_path: Path) -> None:
    """os.environ in all its forms, and each where it is read."""
    text = changed(
        SETTINGS, 'SECRET_KEY = "django-insecure-0123456789"', 'import os\nSECRET_KEY = os.environ["APP_SECRET"]',
        "DEBUG = True", 'DEBUG = os.environ.get("DEBUG", True)',
        "ALLOWED_HOSTS = []", 'ALLOWED_HOSTS = os.environ.get("HOSTS", "").split(" ")',
        '("127.0.0.1", 6379)', '(os.getenv("REDIS_HOST", "redis"), int(os.getenv("REDIS_PORT", 6379)))',
    ) + textwrap.dedent("""
    MAIL = os.environ.get("MAIL_HOST") or "localhost"
    API_TOKEN = os.environ["API_TOKEN"]
    REGION = os.environ["REGION"]
    SOFT = int(os.environ["SOFT"]) if "SOFT" in os.environ else 3
    for key in os.environ:
        pass
    """)  # fmt: skip
    found, mine, files = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert {name: one.needed for name, one in found.names.items()} == {
        "APP_SECRET": True, "DEBUG": False, "HOSTS": False, "REDIS_HOST": False, "REDIS_PORT": False,
        "MAIL_HOST": False, "API_TOKEN": True, "REGION": True, "SOFT": False,
    }  # fmt: skip
    environment = mine["release_environment"]
    assert environment["DEBUG"] == ""  # any text, "False" too, would be true
    assert environment["HOSTS"] == "{{ site_name }} localhost 127.0.0.1"
    assert mine["firewall_enabled"] is mine["hardening_ssh_keys_only"] is mine["hardening_upgrades"] is True
    assert (environment["REDIS_HOST"], environment["REDIS_PORT"]) == ("127.0.0.1", "6379")
    assert environment["REGION"].startswith("!!!SET") and "site_/settings.py:" in environment["REGION"]
    assert mine["release_secrets"] == {"API_TOKEN": "{{ vault_api_token }}", "APP_SECRET": "{{ vault_app_secret }}"}
    assert mine["redis_anonymous"] is True and "base_host_aliases" not in mine
    assert "MAIL_HOST: localhost" in files["group_vars/all/main.yml"]
    assert "DEBUG is on unless DEBUG says otherwise" in levels(found)["warning"]


def test_environment_by_decouple(tmp_path: Path) -> None:
    text = changed(
        SETTINGS, 'SECRET_KEY = "django-insecure-0123456789"',
        'from decouple import config, Csv\nSECRET_KEY = config("DJANGO_SECRET_KEY")',
        "DEBUG = True", 'DEBUG = config("DEBUG", cast=bool)',
        "ALLOWED_HOSTS = []", 'ALLOWED_HOSTS = config("ALLOWED_HOSTS", default="", cast=Csv())',
        '[("127.0.0.1", 6379)]', '[config("REDIS_URL")]',
        'DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}',
        'if config("USE_POSTGRES", cast=bool, default=True):\n'
        '    DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": config("DB_NAME"),\n'
        '        "USER": config("DB_USER"), "PASSWORD": config("DB_PASSWORD"), "HOST": config("DB_HOST"),\n'
        '        "PORT": config("DB_PORT", default="5432")}}\n'
        "else:\n"
        '    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}\n',
    )  # fmt: skip
    files_given = {"site_/settings.py": text, ".env": "DEBUG=True\n", "requirements.txt": REQUIREMENTS + "psycopg2\n"}
    found, mine, files = look(make(tmp_path / "chat", files_given))
    assert mine["release_environment"]["DEBUG"] == "False"
    assert mine["release_environment"]["ALLOWED_HOSTS"] == "{{ site_name }},localhost,127.0.0.1"
    assert mine["release_environment"]["DB_HOST"] == "127.0.0.1"
    assert mine["release_secrets"]["DB_PASSWORD"] == "{{ postgresql_password }}"
    assert mine["release_secrets"]["REDIS_URL"] == "redis://channels:{{ redis_password | urlencode }}@127.0.0.1:6379/0"
    assert mine["redis_password"] == "{{ vault_redis_password }}" and "redis_anonymous" not in mine
    assert mine["release_system_packages"] == ["gcc", "libpq-dev", "python3-dev"]
    assert found.database.kind == "postgresql" and found.database.others == ["sqlite"]
    assert "release_shared_paths" not in mine
    assert ".env: is in the folder" in levels(found)["notice"]
    assert "vault_django_secret_key" in yaml.safe_load(files["group_vars/all/vault.yml"])


def test_environment_by_pydantic(tmp_path: Path) -> None:
    """Fields are read under their names in capitals, with a prefix, or by an alias."""
    text = changed(
        SETTINGS,
        'SECRET_KEY = "django-insecure-0123456789"\nDEBUG = True\nALLOWED_HOSTS = []',
        """
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
class Env(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="chat_")
    secret_key: str
    debug: bool = True
    hosts: list[str] = Field(...)
    redis: str = Field("redis://localhost", alias="REDIS_URL")
env = Env()
SECRET_KEY = env.secret_key
DEBUG = env.debug
ALLOWED_HOSTS = env.hosts
""",
        '("127.0.0.1", 6379)',
        "env.redis",
    )
    found, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert mine["release_environment"]["CHAT_DEBUG"] == "False"
    assert mine["release_environment"]["CHAT_HOSTS"] == '["{{ site_name }}", "localhost", "127.0.0.1"]'
    assert set(mine["release_secrets"]) == {"CHAT_SECRET_KEY", "REDIS_URL"}
    assert str(found.names["CHAT_SECRET_KEY"].places[0]) == "site_/settings.py:9"
    assert found.names["CHAT_HOSTS"].needed and not found.names["REDIS_URL"].needed


def test_environment_by_django_environ_and_split_settings(tmp_path: Path) -> None:
    """A settings package, of which production's module is taken although manage.py names local's."""
    base = changed(SETTINGS, ".parent.parent", ".parent.parent.parent", "DEBUG = True\n", "")
    production = textwrap.dedent("""
    import environ
    from .base import *
    env = environ.Env(DEBUG=(bool, False), MAIL_FROM=(str, "me@example.org"))
    environ.Env.read_env(BASE_DIR / ".env")
    DEBUG = env("DEBUG")
    SECRET_KEY = env("SECRET_KEY")
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")
    MAIL_FROM = env("MAIL_FROM")
    DATABASES = {"default": env.db()}
    CHANNEL_LAYERS["default"]["CONFIG"]["hosts"] = [env("REDIS_URL")]
    """)
    files_given = {
        "site_/settings.py": None, "site_/settings/__init__.py": "", "site_/settings/base.py": base,
        "site_/settings/production.py": production,
        "site_/settings/local.py": "from .base import *\nimport os\nDEBUG = True\nONLY = os.environ['ONLY_LOCAL']\n",
        "manage.py": MANAGE.format(settings="site_.settings.local"),
        "site_/asgi.py": ASGI.format(settings="site_.settings.local"),
        "requirements.txt": None,
        "requirements/base.txt": REQUIREMENTS + "psycopg[binary]\n",
        "requirements/local.txt": "-r base.txt\npytest\n",
        "requirements/production.txt": "-r base.txt\ngunicorn\n",
    }  # fmt: skip
    found, mine, _ = look(make(tmp_path / "chat", files_given))
    assert "from site_.settings.production import *" in mine["release_files"][0]["content"]
    assert mine["release_requirements"] == ["requirements/production.txt"]
    assert {"gunicorn", "channels", "psycopg"} <= set(found.dependencies.asked)
    assert "ONLY_LOCAL" not in found.names
    assert {name for name, one in found.names.items() if one.needed} == {
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "REDIS_URL",
    }
    assert mine["release_environment"] == {"ALLOWED_HOSTS": "{{ site_name }},localhost,127.0.0.1"}
    assert mine["release_secrets"]["DATABASE_URL"].startswith("postgres://{{ postgresql_login }}:{{")
    assert set(found.fixed) == {"STATIC_ROOT"}


def test_own_helpers_and_concatenated_addresses(tmp_path: Path) -> None:
    """Functions of the project's own that take the name, as get_bool(key, default); a URL made of its parts."""
    text = changed(
        SETTINGS, 'SECRET_KEY = "django-insecure-0123456789"',
        "import os\nfrom .env import get_bool, need\nSECRET_KEY = need('SECRET_KEY', 'a hint')",
        "DEBUG = True", "DEBUG = get_bool('DEBUG', False)",
        '[("127.0.0.1", 6379)]',
        "[f\"redis://:{os.environ.get('REDIS_PASSWORD', '')}@{os.environ.get('REDIS_HOST', 'redis')}:6379/0\"]",
    )  # fmt: skip
    helpers = textwrap.dedent("""
    import os
    def get_bool(key, default):
        if key in os.environ:
            return os.environ[key].strip().lower() == "true"
        return default
    def need(name, hint):
        value = os.environ.get(name, "")
        if not value:
            raise RuntimeError(hint)
        return value
    """)
    found, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text, "site_/env.py": helpers}))
    assert found.names["SECRET_KEY"].needed and not found.names["DEBUG"].needed
    assert found.layer.addresses[0].names == {"password": "REDIS_PASSWORD", "host": "REDIS_HOST"}
    # A password without a user is the default user's, which has none.
    assert mine["redis_anonymous"] is True
    assert mine["release_environment"]["REDIS_HOST"] == "127.0.0.1" and mine["release_secrets"]["REDIS_PASSWORD"] == ""


def test_serious_project(tmp_path: Path) -> None:
    """A backend below, routing.application, dj_database_url, one Redis for all, Celery with beat, runworker."""
    text = changed(
        SETTINGS, '"site_.asgi.application"', '"site_.routing.application"',
        'SECRET_KEY = "django-insecure-0123456789"',
        "import os, dj_database_url\nREDIS_URL = os.environ.get('REDIS_URL') or 'redis://redis:6379'\n"
        "SECRET_KEY = os.environ.get('DJANGO_SECRET_KEY') or 'cg#p'",
        "ALLOWED_HOSTS = []", "ALLOWED_HOSTS = ['*']",
        '[("127.0.0.1", 6379)]', "[REDIS_URL]", "core.RedisChannelLayer", "pubsub.RedisPubSubChannelLayer",
        '{"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}',
        "{'default': dj_database_url.config(conn_max_age=600)}",
    ) + textwrap.dedent("""
    CELERY_BROKER_URL = REDIS_URL
    STATIC_ROOT = os.path.join(BASE_DIR, "static_build")
    MEDIA_ROOT = os.path.join(BASE_DIR, "uploads")
    MEDIA_URL = "/media/"
    STATICFILES_DIRS = [os.path.join(BASE_DIR, "../frontend/static")]
    """)  # fmt: skip
    routing = textwrap.dedent("""
    from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter
    from django.core.asgi import get_asgi_application
    application_http = get_asgi_application()
    import chat.ws_routing
    from chat.auth import TokenStack
    application = ProtocolTypeRouter({
        "http": application_http,
        "websocket": TokenStack(URLRouter(chat.ws_routing.websocket_urlpatterns)),
        "channel": ChannelNameRouter({"thumbnails": None}),
    })
    """)
    routes = textwrap.dedent(r"""
    from django.urls import path, re_path
    from . import consumers
    websocket_urlpatterns = [
        path("ws/web/<str:printer_id>/", consumers.WebConsumer.as_asgi()),
        re_path(r"^ws/room/(?P<number>\d+)/$", consumers.WebConsumer.as_asgi()),
        re_path(r"^sockjs/.*$", consumers.WebConsumer.as_asgi()),
        re_path(r"^websocket$", consumers.WebConsumer.as_asgi()),
    ]
    """)
    files_given = {
        "backend/site_/settings.py": text, "backend/site_/asgi.py": None, "backend/site_/routing.py": routing,
        "backend/chat/ws_routing.py": routes,
        "backend/chat/auth.py": "def TokenStack(inner):\n    return parse(scope['query_string']).get('token')\n",
        "backend/site_/celery.py": "from celery import Celery\napp = Celery('site_')\napp.conf.beat_schedule = {}\n",
        "backend/requirements.txt": None, "requirements.txt": REQUIREMENTS + "celery\npsycopg2-binary\n",
        "docker-compose.yml": "services:\n  web:\n    command: daphne -b 0.0.0.0 site_.routing:application\n",
    }  # fmt: skip
    found, mine, _ = look(make(tmp_path / "shop", files_given, backend="backend"))
    assert mine["release_backend"] == "backend" and mine["release_requirements"] == ["../requirements.txt"]
    assert mine["asgi_application"] == "site_.routing:application"
    assert mine["release_settings_module"] == "deployed_settings" and found.settings == "site_.settings"
    assert mine["nginx_websocket_paths"] == ["/sockjs/", "/websocket", "/ws/"]
    assert mine["handshake_path"] == "/websocket?token={token}"
    samples = {one.pattern: one.sample for one in found.sockets}
    assert samples["ws/web/<str:printer_id>/"] == "/ws/web/inspect/"
    assert samples[r"^ws/room/(?P<number>\d+)/$"] == "/ws/room/1/"
    assert [one["name"] for one in mine["asgi_workers"]] == ["celery", "beat", "channels"]
    assert mine["asgi_workers"][1]["singleton"] is True
    assert mine["asgi_workers"][2]["command"] == "python manage.py runworker thumbnails"
    # One name for layer and tasks, so one user that may do both.
    assert mine["release_secrets"]["REDIS_URL"].startswith("redis://tasks:{{ vault_tasks_password")
    assert mine["redis_extra_users"][0].startswith("user tasks on #{{ vault_tasks_password | hash('sha256') }}")
    assert mine["release_shared_paths"] == ["uploads/"]
    assert mine["nginx_media_folder"] == "/srv/{{ release_app }}/shared/uploads"
    assert mine["release_secrets"]["DATABASE_URL"].startswith("postgres://")
    assert mine["handshake_foreign_origin"] == ""
    assert found.token.key == "token"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.12"\ndependencies = ["django>=5", "channels[daphne]"]\n',
          "uv.lock": 'version = 1\n' + PACKAGE.format("django", "5.2") + PACKAGE.format("daphne", "4.2.3")}, "uv.lock"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.10"\ndjango = "^4.2"\nchannels = {git = "x"}\n',
          "poetry.lock": PACKAGE.format("Django", "4.2") + '[metadata]\npython-versions = "^3.10"\n'}, "poetry.lock"),
        ({"Pipfile": '[packages]\ndjango = "*"\n', "Pipfile.lock": json.dumps(
            {"_meta": {"requires": {"python_version": "3.9"}}, "default": {"django": {"version": "==4.2"}}}
        )}, "Pipfile.lock"),
        ({"pyproject.toml": '[project]\nname = "x"\ndependencies = ["django", "channels"]\n'}, "pyproject.toml"),
        ({"req.txt": REQUIREMENTS.encode("utf-16")}, "req.txt"),
        ({"requiremenets.txt": REQUIREMENTS}, "requiremenets.txt"),
        ({"config/requirements/base.txt": REQUIREMENTS, "config/requirements/dev.txt": "-r base.txt\npytest\n"},
         "config/requirements/base.txt"),
        ({"requirements-dev.txt": "pytest\n", "requirements.txt": "-r requirements/all.txt\n",
          "requirements/all.txt": REQUIREMENTS}, "requirements.txt"),
    ],
    ids=["uv", "poetry", "pipenv", "pep621", "utf-16", "misspelt", "in-a-folder", "including"],
)  # fmt: skip
def test_lists_of_packages(tmp_path: Path, files: dict[str, str | bytes], expected: str) -> None:
    found, mine, _ = look(make(tmp_path / "chat", {"requirements.txt": None, **files}))
    assert mine["release_requirements"] == [expected]
    assert "django" in found.dependencies.asked
    if expected == "req.txt":
        assert "is UTF-16" in levels(found)["notice"]
    if expected == "uv.lock":
        assert "Debian 12" in project_inventory.documents(found, Path("x"))["group_vars/all/main.yml"]
    if expected == "Pipfile.lock":
        assert mine["release_python"] == "3.9"


def test_pipfile_keeps_where_packages_come_from(tmp_path: Path) -> None:
    """One of the same name in the index may be somebody else's."""
    pipfile = """
        [packages]
        Django = "~=5.2"
        channels = {extras = ["daphne"], version = "*"}
        tool = {git = "https://host/tool.git", ref = "v1"}
        lib = {path = "./lib", editable = true}
        colorama = {version = "*", markers = "sys_platform == 'win32'"}
    """
    _, mine, _ = look(make(tmp_path / "chat", {"requirements.txt": None, "Pipfile": pipfile}))
    assert mine["release_packages"] == [
        "Django~=5.2", "channels[daphne]", "tool @ git+https://host/tool.git@v1", "-e ./lib",
        "colorama ; sys_platform == 'win32'",
    ]  # fmt: skip


def test_no_list_of_packages(tmp_path: Path) -> None:
    text = SETTINGS + "import environ\nimport rest_framework, obscure_thing\n"
    found, mine, files = look(make(tmp_path / "chat", {"requirements.txt": None, "site_/settings.py": text}))
    assert mine["release_requirements"] == []
    assert mine["release_packages"] == ["channels", "Django", "django-environ", "djangorestframework"]
    assert "obscure_thing" in files["group_vars/all/main.yml"] and "guessed" in levels(found)["warning"]


def test_old_and_missing_packages(tmp_path: Path) -> None:
    lines = "Django==3.2\nchannels==4.0.0\nchannels-redis==4.1.0\ndaphne==4.0.0\ntwisted-iocpsupport==1.0.4\n"
    found, mine, _ = look(make(tmp_path / "one", {"requirements.txt": lines}))
    told = levels(found)
    assert "requirements.txt:4: daphne 4.0.0 has CVE-2026-44545" in told["warning"]
    assert "twisted-iocpsupport is for Windows" in told["notice"]
    assert "Django 3.2 does not run on Python 3.13" in told["warning"]
    assert mine["release_constraints"] == ["redis<8"]
    text = changed(SETTINGS, '"daphne", ', "")
    found, mine, _ = look(make(tmp_path / "two", {"requirements.txt": "django\nchannels\n", "site_/settings.py": text}))
    told = levels(found)
    assert "daphne is not among the packages" in told["warning"] and "daphne is not in INSTALLED_APPS" in told["notice"]
    assert "no package provides it" in told["warning"]
    found, _, _ = look(make(tmp_path / "three", {"requirements.txt": "django\nchannels==2.4.0\n"}))
    assert "channels 2.4.0 is older than 3" in levels(found)["error"]


def test_layer_in_memory_and_none(tmp_path: Path) -> None:
    begin = SETTINGS.index("CHANNEL_LAYERS")
    memory = SETTINGS[:begin] + 'CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}\n'
    found, mine, files = look(make(tmp_path / "one", {"site_/settings.py": memory}))
    assert found.layer.kind == "memory" and "in memory" in levels(found)["warning"]
    assert yaml.safe_load(files["hosts.yml"])["all"]["children"]["redis"] is None
    assert not {"redis_password", "redis_anonymous"} & set(mine)
    found, _, _ = look(make(tmp_path / "two", {"site_/settings.py": SETTINGS[:begin]}))
    assert found.layer.kind == "none" and "there is no channel layer" in levels(found)["notice"]


def test_branches_for_developers_are_not_taken(tmp_path: Path) -> None:
    text = changed(SETTINGS, "DEBUG = True", 'import os\nDEBUG = os.environ.get("DEBUG") == "1"') + textwrap.dedent("""
    if DEBUG:
        CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
        INSTALLED_APPS += ["debug_toolbar"]
    if not DEBUG:
        STATIC_ROOT = BASE_DIR / "collected"
    """)
    found, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert found.layer.kind == "core"
    assert found.static_root == "collected" and "DEBUG" not in mine["release_environment"]


def test_what_a_branch_takes_is_written(tmp_path: Path) -> None:
    """A settings package that chooses by a name of the environment; a switch that is off; folders below a name."""
    main = textwrap.dedent("""
    import os
    if os.environ.get("STAGE", "dev") == "production":
        from .production_ import *
    else:
        from .development_ import *
    if os.environ.get("USE_S3"):
        MEDIA_ROOT = "/s3"
    CACHE = "b" if os.getenv("KIND", "local") == "local" else "c"
    """)
    production = "from .base import *\nimport os\nSECRET_KEY = os.environ['KEY']\n" + textwrap.dedent("""
    DATA = os.environ.get("DATA", BASE_DIR / "data")
    MEDIA_ROOT = os.path.join(DATA, "uploads")
    MEDIA_URL = "/files/"
    """)
    files_given = {
        "site_/settings.py": None, "site_/settings/__init__.py": main,
        "site_/settings/base.py": changed(SETTINGS, ".parent.parent", ".parent.parent.parent"),
        "site_/settings/production_.py": production, "site_/settings/development_.py": "from .base import *\n",
    }  # fmt: skip
    _, mine, _ = look(make(tmp_path / "chat", files_given))
    assert mine["release_environment"] == {
        "DATA": "/srv/{{ release_app }}/shared", "STAGE": "production"
    }  # fmt: skip
    assert (
        mine["nginx_media_folder"] == "/srv/{{ release_app }}/shared/uploads" and mine["nginx_media_url"] == "/files/"
    )
    assert mine["release_secrets"] == {"KEY": "{{ vault_key }}"}


def test_nested_routes(tmp_path: Path) -> None:
    """Routers within path(), include(), prefixes other than /ws/, and one at the root."""
    asgi = changed(ASGI.format(settings="site_.settings"), "from chat.routing import websocket_urlpatterns",
                   "from site_.routing import main, websocket_urlpatterns", "URLRouter(websocket_urlpatterns)",
                   "URLRouter([*websocket_urlpatterns, main])")  # fmt: skip
    routing = textwrap.dedent("""
    from channels.routing import URLRouter
    from django.urls import include, path
    from chat.routing import websocket_urlpatterns as rooms
    websocket_urlpatterns = [path("ttt/", include("chat.routing"))]
    main = path("connections/", URLRouter(rooms))
    """)
    found, mine, _ = look(make(tmp_path / "one", {"site_/asgi.py": asgi, "site_/routing.py": routing}))
    assert [one.pattern for one in found.sockets] == ["ttt/ws/chat/", "connections/ws/chat/"]
    assert mine["nginx_websocket_paths"] == ["/connections/", "/ttt/"]
    root = changed(ROUTING, '"ws/chat/"', '"<str:room>/"')
    found, mine, _ = look(make(tmp_path / "two", {"chat/routing.py": root}))
    assert mine["nginx_websocket_paths"] == ["/"] and mine["handshake_path"] == "/inspect/"


def test_routes_that_asgi_does_not_lead_to(tmp_path: Path) -> None:
    asgi = "from somewhere import build\napplication = build()\n"
    found, mine, _ = look(make(tmp_path / "chat", {"site_/asgi.py": asgi}))
    assert mine["handshake_path"] == "/ws/chat/" and "not by way of the ASGI object" in levels(found)["notice"]
    assert found.settings_needed


def test_models_before_django_is_set_up(tmp_path: Path) -> None:
    """What runserver hides: AppRegistryNotReady."""
    asgi = "import os\nfrom channels.routing import ProtocolTypeRouter, URLRouter\nimport chat.routing\n" + changed(
        ASGI.format(settings="site_.settings"), "from chat.routing import websocket_urlpatterns\n", "",
        "URLRouter(websocket_urlpatterns)", "URLRouter(chat.routing.websocket_urlpatterns)")  # fmt: skip
    files = {"site_/asgi.py": asgi, "chat/models.py": "from django.db import models\n",
             "chat/consumers.py": CONSUMERS + "from .models import Room\n"}  # fmt: skip
    found, mine, _ = look(make(tmp_path / "chat", files))
    assert found.early == ["site_/asgi.py:3", "chat/routing.py:3", "chat/consumers.py:5", "chat/models.py"]
    assert "AppRegistryNotReady" in levels(found)["warning"]
    assert mine["asgi_application"] == "deployed_asgi:application"
    (deployed,) = (one["content"] for one in mine["release_files"] if one["path"] == "deployed_asgi.py")
    assert deployed.index("django.setup()") < deployed.index("from site_.asgi import application")
    files["chat/consumers.py"] = CONSUMERS
    assert not look(make(tmp_path / "chat", files))[0].early
    late = ASGI.format(settings="site_.settings")
    files = {"site_/asgi.py": late, "chat/consumers.py": CONSUMERS + "from .models import Room\n"}
    assert not look(make(tmp_path / "chat", files))[0].early


def test_stale_and_missing_asgi(tmp_path: Path) -> None:
    text = changed(SETTINGS, "site_.asgi.application", "core.asgi.application")
    found, mine, _ = look(make(tmp_path / "one", {"site_/settings.py": text}))
    assert mine["asgi_application"] == "site_.asgi:application" and "core.asgi.application" in levels(found)["warning"]
    found, mine, _ = look(make(tmp_path / "two", {"site_/asgi.py": None, "site_/settings.py": text}))
    assert "no ASGI application was found" in levels(found)["error"]


def test_default_application(tmp_path: Path) -> None:
    """asgi.py that asks for ASGI_APPLICATION, as Channels 2 had it; Django is set up there and not in routing.py."""
    asgi = textwrap.dedent("""
    import os, django
    from channels.routing import get_default_application
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")
    django.setup()
    application = get_default_application()
    """)
    routing = textwrap.dedent("""
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.urls import path
    from chat import consumers
    application = ProtocolTypeRouter({"websocket": URLRouter([path("ws/a/", consumers.ChatConsumer)])})
    """)
    text = changed(SETTINGS, "site_.asgi.application", "site_.routing.application")
    files = {"site_/asgi.py": asgi, "site_/routing.py": routing, "site_/settings.py": text}
    found, mine, _ = look(make(tmp_path / "chat", files))
    assert found.asgi == "site_.asgi:application" and mine["handshake_path"] == "/ws/a/"
    assert "as_asgi()" in levels(found)["warning"]


def test_several_projects_and_environments(tmp_path: Path) -> None:
    """The one that speaks Channels is taken; a committed virtual environment is told of and not looked at."""
    folder = make(tmp_path / "all", {}, backend="realtime/game")
    plain = {
        "ajax/manage.py": MANAGE.format(settings="plain.settings"),
        "ajax/plain/settings.py": "INSTALLED_APPS = []\n",
    }
    windows = {"windows/Lib/site-packages/manage.py": "", "windows/Scripts/activate": ""}
    make(folder, {**plain, **windows, "old/pyvenv.cfg": "", "old/manage.py": ""}, backend="realtime/game")
    found, mine, _ = look(folder)
    assert mine["release_backend"] == "realtime/game" and found.managers == ["realtime/game", "ajax"]
    told = levels(found)["notice"]
    assert "manage.py is in ajax too" in told and "windows: is a virtual environment" in told


def test_no_project_at_all(tmp_path: Path) -> None:
    found, mine, _ = look(tmp_path)
    assert "has no manage.py" in levels(found)["error"]
    assert mine["asgi_application"].startswith("!!!SET") and mine["handshake_path"].startswith("!!!SET")


def test_files_that_the_settings_read(tmp_path: Path) -> None:
    text = (
        SETTINGS + 'import json\nwith open(BASE_DIR / "config/secrets.json") as file:\n    SECRETS = json.load(file)\n'
    )
    found, _, files = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert [one.path for one in found.files_read] == ["config/secrets.json"]
    assert "config/secrets.json" in files["group_vars/all/main.yml"]
    assert "release_files puts it" in levels(found)["warning"]


def test_tokens(tmp_path: Path) -> None:
    files = {
        "chat/auth.py": "import urllib\ndef of(scope):\n    return parse_qs(scope['query_string'])['jwt'][0]\n",
        "requirements.txt": REQUIREMENTS + "djangorestframework-simplejwt\n",
    }
    found, mine, written = look(make(tmp_path / "chat", files))
    assert mine["handshake_path"] == "/ws/chat/?jwt={token}" and str(found.token.place) == "chat/auth.py:3"
    assert "# handshake_token_command:" in written["group_vars/all/main.yml"]


# --- nothing that a project holds may do harm -----------------------------------------------------------------------


def test_nothing_of_the_project_is_run(tmp_path: Path) -> None:
    harm = f"open({str(tmp_path / 'ran')!r}, 'w').close()\nraise SystemExit('no')\n"
    files = {
        "site_/settings.py": harm + SETTINGS,
        "site_/__init__.py": harm,
        "chat/__init__.py": harm,
        "sitecustomize.py": harm,
    }
    _, mine, _ = look(make(tmp_path / "chat", files))
    assert mine["release_shared_paths"] == ["db.sqlite3"] and not (tmp_path / "ran").exists()


def test_texts_of_the_project_stay_texts(tmp_path: Path) -> None:
    """No template, YAML or command comes from a name, a default or a path."""
    evil = "x\\nrelease_migrate: false\\n{{ lookup('pipe', 'id') }}"
    text = changed(
        SETTINGS, "DEBUG = True", f'import os\nDEBUG = True\nA = os.environ.get("A", "{evil}")\nB = os.environ["B\\nC"]'
    )
    routes = changed(ROUTING, '"ws/chat/"', '"ws/\\n{{ evil }}: x/"')
    files = {"site_/settings.py": text, "chat/routing.py": routes}
    found, mine, written = look(make(tmp_path / "{{ evil }}\nb", files))
    assert "release_migrate" not in mine and "B\nC" not in mine["release_environment"]
    for name, content in written.items():
        for line in content.splitlines():
            if not line.lstrip().startswith("#") and "{{ evil" in line:
                assert "!unsafe" in line, f"{name}: {line}"
    assert all("\n" not in line for line in summary.summary(found, [], Path("x")))


def test_no_template_of_the_project_is_filled_in(tmp_path: Path) -> None:
    """Not of files' and folders' names either, nor of what code compares and splits by, nor of arguments."""
    evil = "{{ evil }}{% evil %}{# evil #}"
    text = changed(SETTINGS, "DEBUG = True", f"""
import os
DEBUG = os.environ.get("DEBUG", "1") != "{evil}"
ALLOWED_HOSTS = os.environ["HOSTS"].split("{evil}")
if os.environ.get("STAGE") == "production {evil}":
    EMAIL_HOST = "x"
MEDIA_URL = "/media/"
MEDIA_ROOT = os.path.join(os.environ["FILES"], "{evil}")
""", 'BASE_DIR / "db.sqlite3"', f'os.environ.get("SQLITE", "{evil}.sqlite3")')  # fmt: skip
    text += f"""
import yaml
CACHES = {{"{evil}": {{"BACKEND": "redis", "LOCATION": "redis://localhost"}}}}
DATABASES["{evil}"] = {{"ENGINE": "django.db.backends.sqlite3", "NAME": "/data/{evil}.sqlite3"}}
with open(BASE_DIR / "{evil}.yaml") as file:
    config = yaml.safe_load(file)
X = config["{evil}"], config["SECRET_{evil}"], config["a"]["{evil}"]
"""
    command = f"class Command:\n    def f(self, parser):\n        parser.add_argument('--{evil}', required=True)\n"
    celery = "from celery import Celery\napp = Celery('x')\nimport os\nos.environ['PASSWORD'], os.environ['OTHER']\n"
    asgi = ASGI.format(settings="site_.settings").replace(
        "})", f"    'channel': ChannelNameRouter({{'{evil}; id': 1, 'thumbnails': 2}}),\n}})"
    )
    files = {
        "site_/settings.py": text, f"{evil}/celery.py": celery, "site_/asgi.py": asgi,
        "chat/management/commands/mint_token.py": command, f"chat/management/commands/a_{evil}_token.py": command,
    }  # fmt: skip
    found, mine, written = look(make(tmp_path / "chat", files))
    assert {"STAGE", "HOSTS", "OTHER"} <= set(mine["release_environment"]) and found.workers
    for name, content in written.items():
        for line in content.splitlines():
            if not line.lstrip().startswith("#") and re.search(r"\{[{%#] evil", line):
                assert "!unsafe" in line, f"{name}: {line}"


def test_names_that_are_words_of_yaml_are_names(tmp_path: Path) -> None:
    text = SETTINGS + 'import os\nA = os.environ["ON"], os.environ["NO"], os.environ["Y"], os.environ["NULL"]\n'
    _, mine, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert {"ON", "NO", "Y", "NULL"} <= set(mine["release_environment"])


broken_bytes = st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode("utf-16")))
PIECES = """os.environ[ 'A' ] .get( ( ) { } 'default' : , = [ CHANNEL_LAYERS DATABASES path( URLRouter 'ws/'
re_path(r'( ?P<a> + / BASE_DIR Path(__file__) .parent .parents[9] f'{ }' env.db config ** 1 % or == .split( .update("""
pieces = st.lists(
    st.sampled_from([*PIECES.split(), "\n", "if ", " else ", "\n    ", "from . import *", "\x00", "\ufeff"]),
    max_size=30,
).map(lambda parts: "".join(parts).encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    python=st.one_of(broken_bytes, pieces),
    more=st.one_of(broken_bytes, pieces),
    toml=st.one_of(
        broken_bytes, st.sampled_from([b"[project]\ndependencies = 3", b"[tool]\npoetry = 1", b"[[package]]", b"a = ["])
    ),
    listed=broken_bytes,
    locked=st.sampled_from(
        [b"[]", b"{", b'{"default": []}', b'{"default": {"a": 1}, "_meta": 3}', b"null", b"\xff\xfe{\x00}\x00"]
    ),
)
def test_broken_files_are_reported(
    tmp_path: Path, python: bytes, more: bytes, toml: bytes, listed: bytes, locked: bytes
) -> None:
    """Whatever is in the files, the inspection ends and makes an inventory that is YAML."""
    folder = tmp_path / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    files = {
        "site_/settings.py": SETTINGS.encode() + b"\n" + python,
        "chat/routing.py": more, "site_/asgi.py": more + python,
        "pyproject.toml": toml, "uv.lock": toml, "requirements.txt": listed, "Pipfile.lock": locked, "Procfile": listed,
    }  # fmt: skip
    found, _, _ = look(make(folder, files))
    for name in ("site_/settings.py", "chat/routing.py", "site_/asgi.py"):
        content = (folder / name).read_bytes()
        try:
            ast.parse(project_source.decode(content)[0])
        except (SyntaxError, ValueError):
            assert any(note.place == name for note in found.notes), name
    summary.summary(found, [], Path("x"))


def test_large_projects_take_seconds(tmp_path: Path) -> None:
    """Imports are looked up once, helpers read once: each was once for every use."""
    files: dict[str, str | bytes | None] = {
        "chat/helper.py": "import os\ndef ask(name):\n    return os.environ[name]\n"
    }
    for number in range(1500):
        uses = f"from json import a{number}, b{number}\nfrom chat.helper import ask\nX = ask('A{number}')\n"
        files |= {f"parts/p{number}/__init__.py": "", f"parts/p{number}/models.py": uses}
    folder = make(tmp_path / "large", files)
    began = time.process_time()
    found, _, _ = look(folder)
    assert {"A0", "A1499"} <= set(found.names)
    assert time.process_time() - began < 30


def test_values_that_cannot_be_keys_are_no_names(tmp_path: Path) -> None:
    code = "d = {}\nx = d[f(1)]\ny = d[[]]\nimport os\nz = os.environ[['A']], os.environ['B']\n"
    found, _, _ = look(make(tmp_path / "chat", {"chat/views.py": code}))
    assert set(found.names) == {"B"}


@given(st.text(max_size=80))
def test_any_line_of_requirements(line: str) -> None:
    declared.requirement(line, values.Place("x", 1))


@pytest.mark.parametrize(
    ("pattern", "prefix", "sample"),
    [
        (r"ws/chat/(?P<room_name>\w+)/$", "/ws/chat/", "/ws/chat/inspect/"),
        (r"^ws/devices/(?P<device_id>[0-9]+)$", "/ws/devices/", "/ws/devices/1"),
        (r"ws/(?P<a>[a-z]{1,8})/(?P<b>\d+)/?$", "/ws/", "/ws/inspect/1/"),
        (r"ws/(?P<pk>[0-9a-f-]{36})/", "/ws/", "/ws/12345678-1234-4123-8123-123456789012/"),
        (r"^ws/?$", "/ws", "/ws/"),
        (r"ws\/live\.json$", "/ws/live.json", "/ws/live.json"),
        (r"^ws/(\d{4})/$", "/ws/", "/ws/1234/"),
        (r"ws/(a+)+$", "/ws/", ""),
        (r"ws/(", "/ws/", ""),
    ],
)
def test_samples_of_regular_expressions(pattern: str, prefix: str, sample: str) -> None:
    socket = project_routes.socket_of("regex", pattern, values.Place("x"), True)
    assert (socket.prefix, socket.sample) == (prefix, sample)


@given(st.text(max_size=60) | st.text("^/ws\\d+*?()[]$|<>:in.{}", max_size=40), st.sampled_from(["path", "regex"]))
def test_any_route(pattern: str, kind: str) -> None:
    socket = project_routes.socket_of(kind, pattern, values.Place("x"), True)
    assert socket.prefix.startswith("/")
    if kind == "regex" and socket.sample:
        begins = pattern.removeprefix("^").startswith(("/", "\\/"))
        assert begins or re.match(pattern, socket.sample.lstrip("/"))


@pytest.mark.parametrize("text", [b"x" * 3_000_000, b"\xff\xfe", b"(" * 5000, b"x = " + b"-" * 3000 + b"1"])
def test_huge_and_deep_files(tmp_path: Path, text: bytes) -> None:
    found, _, _ = look(make(tmp_path / "chat", {"site_/settings.py": text}))
    assert found.settings == "site_.settings"


def test_links_and_odd_files(tmp_path: Path) -> None:
    folder = make(tmp_path / "chat", {})
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.py").symlink_to(folder / "nowhere.py")
    os.mkfifo(folder / "pipe.py")
    (folder / os.fsdecode(b"odd-\xff.py")).write_bytes(b"import os\nos.environ['ODD']\n")
    assert look(folder)[1]["release_app"] == "chat"


# --- what is written, and the playbook ------------------------------------------------------------------------------


# Variables of other parts of the bundle, where a spec has them they are checked like all others.
DECIDED = {
    "base_host_aliases", "nginx_media_folder", "nginx_media_url", "postgresql_password", "redis_anonymous",
    "release_constraints", "release_shared_paths", "release_system_packages",
}  # fmt: skip


def faults(inventory: Path) -> list[str]:
    """What preflight finds wrong in an inventory whose placeholders are filled in, but for what is not there yet."""
    for path in inventory.rglob("*.yml"):
        path.write_text(filled_in(path.read_text()))
    specs = "".join(path.read_text() for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
    missing = {name for name in DECIDED if f" {name}:" not in specs}
    if "redis_anonymous" in missing:
        missing.add("redis_password")
    said = preflight(inventory)
    variables = re.findall(r"^ +variable  (\w+)", said, re.MULTILINE)
    assert bool(variables) == bool(said), said
    return [name for name in variables if name not in missing]


@pytest.mark.parametrize("shape", ["tutorial", "compose", "above"])
def test_what_is_written_passes_preflight(tmp_path: Path, shape: str) -> None:
    files: dict[str, str | bytes | None] = {}
    if shape == "compose":
        files["site_/settings.py"] = changed(
            SETTINGS, '("127.0.0.1", 6379)', '("redis", 6379)', 'STATIC_URL = "static/"', "STATIC_URL = 'assets/'"
        ) + "MEDIA_ROOT = BASE_DIR / 'media'\nMEDIA_URL = 'media/'\n"  # fmt: skip
        files["site_/celery.py"] = "from celery import Celery\napp = Celery('site_')\nbeat_schedule = {}\n"
    folder = tmp_path / "chat"
    if shape == "above":
        make(folder, {"src/requirements.txt": None, "requirements.txt": REQUIREMENTS}, backend="src")
    else:
        make(folder, files)
    inventory = tmp_path / "mine"
    project_inventory.write(inspect.inspect(folder), inventory)
    assert faults(inventory) == []


def test_the_playbook_writes_an_inventory_once(tmp_path: Path) -> None:
    folder, inventory = make(tmp_path / "chat", {}), tmp_path / "inventories" / "mine"
    checked = run("inspect.yml", "-e", f"inspect_folder={folder}", "-e", f"inspect_inventory={inventory}", "--check")
    assert checked.returncode == 0 and not inventory.exists(), checked.stdout
    # Relative paths are where Ansible was started, as everywhere on a command line.
    done = run("inspect.yml", "-e", "folder=chat", "-e", "inventory=inventories/mine", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The old names still work" in " ".join(done.stdout.split()) and "old names" not in checked.stdout
    files = {str(path.relative_to(inventory)) for path in inventory.rglob("*.yml")}
    assert files == {"hosts.yml", "group_vars/all/main.yml", "group_vars/all/vault.yml"}
    assert (inventory / "group_vars" / "all" / "vault.yml").stat().st_mode & 0o077 == 0
    assert "site_.asgi:application (site_/asgi.py:10)" in done.stdout and "places say !!!SET" in done.stdout
    before = {path: path.read_bytes() for path in inventory.rglob("*.yml")}
    again = run("inspect.yml", "-e", f"inspect_folder={folder}", "-e", f"inspect_inventory={inventory}")
    assert again.returncode and "already exists, and is not overwritten" in again.stdout
    assert before == {path: path.read_bytes() for path in inventory.rglob("*.yml")}
    assert [path.name for path in inventory.parent.iterdir()] == ["mine"]
    nowhere = run("inspect.yml", "-e", f"inspect_folder={tmp_path}/nowhere")
    assert nowhere.returncode and "is no folder on this machine" in nowhere.stdout
    assert "Say which folder" in run("inspect.yml").stdout
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("yamllint")), "--strict", "-c", str(ROOT / ".yamllint"), str(inventory)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert linted.returncode == 0, linted.stdout


def test_what_is_written_stops_preflight_until_it_is_filled_in(tmp_path: Path) -> None:
    """The example's: placeholders stop it, and nothing else is wrong with it."""
    inventory = tmp_path / "mine"
    done = run("inspect.yml", "-e", "inspect_folder=examples/dashboard", "-e", f"inspect_inventory={inventory}")
    assert done.returncode == 0, done.stdout + done.stderr
    said = preflight(inventory)
    for variable in ("site_name", "vault_secret_key", "vault_jwt_secret", "vault_redis_password"):
        assert re.search(rf"variable  {variable}\s", said), said
    for path in inventory.rglob("*.yml"):
        path.write_text(filled_in(path.read_text()))
    assert preflight(inventory) == ""
