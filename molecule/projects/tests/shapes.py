"""The fixture projects: one base of code, and what each shape replaces in it or adds to it.

They are created where and when the test runs, because lock files contain the addresses of the index they come from.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASE = Path(__file__).resolve().parents[1] / "base"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
CHANNELS = "django>=5.2,<5.3\nchannels>=4.3,<4.4\n"
REDIS_LAYER = """
CHANNEL_LAYERS = {{
    "default": {{"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {{"hosts": [{host}]{more}}}}}
}}
"""
ROUTER = """
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

from chat.consumers import Chat

NAME = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([path("PATH", Chat.as_asgi())])})
"""
HOSTS = 'ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")\n'
GUARDS = """from channels.auth import AuthMiddlewareStack
from channels.security.websocket import AllowedHostsOriginValidator
"""
SESSION = """
from django.urls import path

from chat.consumers import Chat


class Member(Chat):
    def connect(self):
        if not self.scope["user"].is_authenticated:
            return self.close()
        super().connect()
"""
TOKEN = """
from urllib.parse import parse_qs

from django.contrib.auth import get_user_model
from django.urls import path
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from chat.consumers import Chat


class Member(Chat):
    protocol = "chat.v1"

    def connect(self):
        try:
            token = AccessToken(parse_qs(self.scope["query_string"].decode())["token"][0])
            self.scope["user"] = get_user_model().objects.get(pk=token["user_id"])
        except (KeyError, TokenError):
            return self.close()
        super().connect()
"""
SHAPES: dict[str, Callable[[Path], None]] = {}


def shape(make: Callable[[Path], None]) -> Callable[[Path], None]:
    """Make a function create the project with its name in a folder."""
    SHAPES[make.__name__] = make
    return make


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def base(folder: Path, settings: str = "", package: str = "mysite") -> None:
    """Write the base's code, with more settings appended."""
    for path in sorted(BASE.rglob("*.py")):
        name = str(path.relative_to(BASE)).replace("mysite", package)
        write(folder, {name: path.read_text().replace("mysite", package)})
    with (folder / package / "settings.py").open("a") as file:
        file.write(settings)


def run(folder: Path, *command: str) -> str:
    """Run a command in a folder and return its output, which is in the exception if it fails."""
    # The configuration of the person who runs the tests must not matter.
    given = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DJANGO_"))}
    given["GIT_CONFIG_GLOBAL"] = os.devnull
    if AUTHORITIES.exists():  # the machine's own, as in scripts/tools.sh
        given.setdefault("SSL_CERT_FILE", str(AUTHORITIES))
    done = subprocess.run(
        command, cwd=folder, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout.strip()


def locked(folder: Path, packages: list[str], *arguments: str, one: str = "") -> list[dict[str, Any]]:
    """Let uv lock packages in a folder, and return the lock's packages.

    With `one` Python, it is for Debian's CPython of that version, so that there is one version of each package.
    """
    project = {"name": folder.name, "version": "1.0", "requires-python": ">=3.11", "dependencies": packages}
    text = toml("project", project)
    if one:
        environment = (
            f"platform_python_implementation == 'CPython' and sys_platform == 'linux' and python_version == '{one}'"
        )
        text += toml("tool.uv", {"environments": [environment]})
    write(folder, {"pyproject.toml": text})
    run(folder, str(Path(sys.executable).with_name("uv")), "lock", "--quiet", *arguments)
    found = tomllib.loads((folder / "uv.lock").read_text())["package"]
    return [each for each in found if each["name"] != folder.name]


def toml(table: str, values: dict[str, Any]) -> str:
    """Return a TOML table; JSON's strings and lists of strings are valid TOML too."""
    return f"[{table}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def hashes(package: dict[str, Any]) -> list[str]:
    """Return the hashes of a locked package's files."""
    return [one["hash"] for one in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]]


def keep(folder: Path, text: str) -> Path:
    """Create a project's database with a message in it, and return its file."""
    run(folder, sys.executable, "manage.py", "migrate", "--verbosity=0")
    with contextlib.closing(sqlite3.connect(folder / "db.sqlite3")) as database, database:
        database.execute("INSERT INTO chat_message (text) VALUES (?)", (text,))
    return folder / "db.sqlite3"


# --- Debian 12 ------------------------------------------------------------------------------------------------------


@shape
def tutorial(folder: Path) -> None:
    """Everything in the code, old versions as frozen on Windows, a database with a message in it."""
    base(folder, "DEBUG = True\nALLOWED_HOSTS = []\n")
    frozen = (
        "asgiref==3.11.0", "backports.zoneinfo==0.2.1", "channels==3.0.5", "daphne==3.0.2", "Django==3.2.25",
        "twisted-iocpsupport==1.0.4", "pywin32==306",
    )  # fmt: skip
    write(folder, {"requirements.txt": "\r\n".join(frozen).encode("utf-16")})
    keep(folder, "committed")


@shape
def compose(folder: Path) -> None:
    """The code one folder down, its requirements above it, and names from a compose file."""
    layer = REDIS_LAYER.format(host='("redis", 6379)', more="")
    static = 'STATIC_ROOT = BASE_DIR / "staticfiles"\nMIDDLEWARE = ["whitenoise.middleware.WhiteNoiseMiddleware"]\n'
    base(folder / "backend", 'import os\nSECRET_KEY = os.environ["SECRET_KEY"]\n' + layer + static)
    write(
        folder,
        {
            "requirements.txt": CHANNELS + "channels-redis>=4.3\nredis<8\nwhitenoise\n",
            "docker-compose.yml": "services:\n  web:\n    command: python manage.py runserver\n",
            "backend/chat/static/chat/chat.js": "// found by whitenoise\n",
        },
    )


@shape
def guesses(folder: Path) -> None:
    """What inspect has to find out: names, files above the code, a second database, no plain HTTP, a fixed broker."""
    layer = REDIS_LAYER.format(host='os.environ.get("LAYER_HOST", "redis://redis:6379")', more=', "prefix": "guesses"')
    settings = """
import os
import yaml
with open(BASE_DIR.parent / "config.yaml") as file:
    SECRET_KEY = yaml.safe_load(file)["SECRET_KEY"]
DEBUG = os.environ.get("APP_DEBUG", "") != "False"
if os.environ.get("LOGIN_MODE", "local") not in ("ldap", "local"):
    raise ValueError("no such mode")
DATABASES["logs"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "logs.sqlite3"}
CELERY_BROKER_URL = "redis://localhost:6379"
"""
    base(folder / "src", settings + layer)
    celery = 'app = Celery("mysite")\napp.config_from_object("django.conf:settings", namespace="CELERY")\n'
    asgi = (folder / "src" / "mysite" / "asgi.py").read_text()
    write(
        folder,
        {
            "Procfile": "web: daphne mysite.asgi:application\nmailer: celery -A mysite worker -Q celery,mail -c 1\n",
            "src/requirements.txt": CHANNELS + "daphne>=4.2.2\nchannels-redis>=4.3\ncelery==5.4.0\n",
            "src/mysite/celery.py": f"from celery import Celery\n\n{celery}",
            "src/mysite/asgi.py": asgi.replace('"http": django, ', ""),
        },
    )


@shape
def letters(folder: Path) -> None:
    """Poetry's lock, settings from a .env, and the ASGI object in routing.py."""
    layer = REDIS_LAYER.format(host='os.environ["REDIS_URL"]', more=', "prefix": "letters"')
    read = 'import os\nfrom dotenv import load_dotenv\nload_dotenv(BASE_DIR / ".env")\n'
    named = 'SECRET_KEY = os.environ["SECRET_KEY"]\nWORD = os.environ["WORD"]\n'
    base(folder, read + named + layer, "config")
    router = ROUTER.replace("mysite", "config").replace("NAME", "application").replace("PATH", "ws/chat/")
    asked = {
        "django": ">=5.2,<5.3", "channels": ">=4.3,<4.4", "daphne": "*", "channels-redis": "*", "redis": "<8",
        "python-dotenv": "*",
    }  # fmt: skip
    packages = locked(folder, [name + wanted.strip("*") for name, wanted in asked.items()], one="3.11")
    (folder / "uv.lock").unlink()
    lock = "".join(
        "[[package]]\n"
        + "".join(f"{key} = {json.dumps(one[key])}\n" for key in ("name", "version"))
        + 'optional = false\npython-versions = ">=3.11"\ngroups = ["main"]\nfiles = [\n'
        + "".join(f'    {{file = "{one["name"]}", hash = "{each}"}},\n' for each in hashes(one))
        + "]\n"
        for one in packages
    )
    project = toml("tool.poetry", {"name": "letters", "package-mode": False})
    write(
        folder,
        {
            "config/routing.py": router,
            "pyproject.toml": project + toml("tool.poetry.dependencies", {"python": "^3.11", **asked}),
            "poetry.lock": lock + '[metadata]\nlock-version = "2.1"\npython-versions = "^3.11"\n',
        },
    )


@shape
def bare(folder: Path) -> None:
    """Nothing lists packages, nothing is where others have it, and its database was copied to the host beforehand.

    One of its packages is on a private index, without a wheel.
    """
    base(folder)
    keep(folder, "copied").rename(folder.with_name("bare.sqlite3"))
    with (folder / "mysite" / "settings.py").open("a") as file:
        file.write("from private_words import WORD\n")
    write(
        folder,
        {
            "mysite/asgi.py": "raise RuntimeError('is not what is served')\n",
            "mysite/live/__init__.py": "",
            "mysite/live/entry.py": ROUTER.replace("NAME", "site").replace("PATH", "live/"),
        },
    )


@shape
def tagged(folder: Path) -> None:
    """A repository whose tag works and whose branch doesn't, with the application in a submodule; and a deploy key."""
    run(folder.parent, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "tagged-key")
    made = folder.with_name("tagged-code")
    base(made, 'WORD = "v1.2"\n')
    packages = locked(made, ["django>=5.2,<5.3", "channels>=4.3,<4.4", "daphne"], one="3.11")
    lock = {one["name"]: {"version": f"=={one['version']}", "hashes": hashes(one)} for one in packages}
    index = [{"name": "main", "url": packages[0]["source"]["registry"], "verify_ssl": True}]
    write(made, {"Pipfile.lock": json.dumps({"_meta": {"sources": index}, "default": lock, "develop": {}})})
    for name in ("pyproject.toml", "uv.lock"):
        (made / name).unlink()
    chat = folder.with_name("tagged-chat")
    (made / "chat").rename(chat)
    made.rename(folder)
    write(folder, {".gitmodules": f'[submodule "chat"]\n\tpath = chat\n\turl = ../{chat.name}\n'})
    commit(chat, ".")
    commit(folder, ".", submodule=git(chat, "rev-parse", "HEAD"))
    git(folder, "tag", "v1.2")
    write(folder, {"mysite/asgi.py": "raise RuntimeError('is not the version that was asked for')\n"})
    commit(folder, "mysite/asgi.py")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, under a made-up identity."""
    return run(folder, "git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", *arguments)


def commit(folder: Path, path: str, submodule: str = "") -> None:
    """Commit a path, creating the repository if there is none; with a commit as the submodule `chat`."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", path)
    if submodule:
        git(folder, "update-index", "--add", "--cacheinfo", f"160000,{submodule},chat")
    git(folder, "commit", "--quiet", "--message=Change")


# --- Debian 13 ------------------------------------------------------------------------------------------------------


@shape
def quick(folder: Path) -> None:
    """uv's lock with the oldest versions that work, and a uvicorn that doesn't speak WebSocket by itself."""
    base(folder, "import os\n" + REDIS_LAYER.format(host='os.environ["REDIS_URL"]', more=""))
    asked = ["django>=5.2.1,<5.3", "channels>=4.3.1,<4.4", "uvicorn>=0.35", "channels-redis>=4.3.0", "redis>=6,<8"]
    locked(folder, asked, "--resolution=lowest-direct")


@shape
def split(folder: Path) -> None:
    """pyproject.toml above the code; in a package of settings, manage.py names the wrong ones; uploads beside it.

    The file that its settings import is above the code, and in no source.
    """
    server = folder / "server"
    base(server)
    settings = server / "mysite" / "settings"
    settings.mkdir()
    common = (server / "mysite" / "settings.py").read_text().replace(".parent.parent", ".parent.parent.parent")
    (server / "mysite" / "settings.py").unlink()
    production = (
        "import sys\n\nfrom .base import *\n\nsys.path.append(str(BASE_DIR.parent))\nfrom site_word import WORD\n"
        'WORD = f"production, {WORD}"\nMIDDLEWARE = ["whitenoise.middleware.WhiteNoiseMiddleware"]\n'
        'MEDIA_URL, MEDIA_ROOT = "/media/", BASE_DIR / "media"\n'
    )
    write(server, {"media/logo.txt": "committed"})
    write(settings, {"__init__.py": "", "base.py": common, "production.py": production})
    write(settings, {"dev.py": "from .base import *\nDEBUG = True\n"})
    for name in ("manage.py", "mysite/asgi.py"):
        text = (server / name).read_text()
        write(server, {name: text.replace("mysite.settings", "mysite.settings.dev")})
    asked = ["django>=5.2,<5.3", "channels>=4.3,<4.4", "daphne==4.0.0"]
    project = toml("project", {"name": "split", "version": "1.0", "dependencies": asked})
    extra = toml("project.optional-dependencies", {"production": ["whitenoise"]})
    write(folder, {"pyproject.toml": project + extra})


@shape
def shop(folder: Path) -> None:
    """PostgreSQL configured in parts, and uploads to a folder that the environment names."""
    parts = ", ".join(f'"{name}": os.environ["DB_{name}"]' for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT"))
    database = f'DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", {parts}}}}}\n'
    base(folder, 'import os\nMEDIA_URL = "/media/"\nMEDIA_ROOT = os.environ["MEDIA_ROOT"]\n' + database)
    write(folder, {"requirements.txt": CHANNELS + "daphne>=4.2.2\npsycopg[binary]>=3\n"})


@shape
def tokens(folder: Path) -> None:
    """Sockets for clients that have a token and speak the project's protocol."""
    base(folder, 'import os\nSECRET_KEY = os.environ["SECRET_KEY"]\nSTATIC_URL = os.environ["STATIC_URL"]\n' + HOSTS)
    guard(folder, TOKEN, "ws/chat/", "live/chat/")
    write(folder, {"requirements.txt": CHANNELS + "daphne>=4.2.2\ndjangorestframework-simplejwt\n"})


@shape
def members(folder: Path) -> None:
    """Sockets for users who are logged in."""
    base(folder, "import os\n" + HOSTS)
    guard(folder, SESSION, "ws/chat/")
    write(
        folder,
        {
            "requirements/base.txt": CHANNELS,
            "requirements/production.txt": "-r base.txt\ndaphne>=4.2.2\n",
            "requirements.txt": "no-such-package-of-anybody==1\n",
        },
    )


def guard(folder: Path, admitted: str, *paths: str) -> None:
    """Open the base's sockets only to some users, at some paths, and to pages on the site."""
    routes = ", ".join(f'path("{path}", Member.as_asgi())' for path in paths)
    asgi = (folder / "mysite" / "asgi.py").read_text()
    bare = "URLRouter(websocket_urlpatterns)"
    assert bare in asgi
    write(
        folder,
        {
            "chat/routing.py": f"{admitted}\n\nwebsocket_urlpatterns = [{routes}]\n",
            "mysite/asgi.py": asgi.replace(bare, f"AllowedHostsOriginValidator(AuthMiddlewareStack({bare}))").replace(
                "from channels.routing", f"{GUARDS}from channels.routing"
            ),
        },
    )
