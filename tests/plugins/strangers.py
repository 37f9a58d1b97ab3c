"""Projects of strangers in a folder, what inspect makes of them, and playbooks that are run for real."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.channels.stack.plugins.module_utils.inspection import inspect
from ansible_collections.channels.stack.plugins.module_utils.inspection import inventory as project_inventory

ROOT = Path(__file__).resolve().parents[2]
ANSWER = "python=3.11.2\nid=debian\nversion=12\ninit=systemd\nuser=root\napt=yes\ncores=2\nmemory_mb=2000\n"

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")
execute_from_command_line(sys.argv)
"""
ASGI = """
import os
from django.core.asgi import get_asgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")
django_application = get_asgi_application()
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from chat.routing import websocket_urlpatterns
application = ProtocolTypeRouter({{
    "http": django_application,
    "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
}})
"""
ROUTING = """
from django.urls import path
from . import consumers
websocket_urlpatterns = [path("ws/chat/", consumers.ChatConsumer.as_asgi())]
"""
CONSUMERS = """
from channels.generic.websocket import WebsocketConsumer
class ChatConsumer(WebsocketConsumer):
    pass
"""
SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "django-insecure-0123456789"
DEBUG = True
ALLOWED_HOSTS = []
INSTALLED_APPS = ["daphne", "django.contrib.staticfiles", "channels", "chat"]
ROOT_URLCONF = "site_.urls"
ASGI_APPLICATION = "site_.asgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [("127.0.0.1", 6379)]}}
}
STATIC_URL = "static/"
"""
PACKAGE = '[[package]]\nname = "{}"\nversion = "{}"\n'
REQUIREMENTS = "Django==5.2.3\nchannels==4.3.2\nchannels-redis==4.3.0\ndaphne==4.2.3\nredis<8\n"


def make(folder: Path, files: dict[str, str | bytes | None], backend: str = ".") -> Path:
    """A project in a folder: the usual one, with `files` in place of its own; None leaves one out."""
    usual: dict[str, str | bytes | None] = {
        "manage.py": MANAGE.format(settings="site_.settings"),
        "site_/__init__.py": "",
        "site_/settings.py": SETTINGS,
        "site_/asgi.py": ASGI.format(settings="site_.settings"),
        "site_/urls.py": "from django.urls import path\nurlpatterns = [path('', lambda request: None)]\n",
        "chat/__init__.py": "",
        "chat/routing.py": ROUTING,
        "chat/consumers.py": CONSUMERS,
        "requirements.txt": REQUIREMENTS,
    }
    for name, text in {**{os.path.join(backend, key): value for key, value in usual.items()}, **files}.items():
        path = folder / name
        if text is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def changed(text: str, *pairs: str) -> str:
    """A text with each of the pairs' first text replaced by its second."""
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text, old
        text = text.replace(old, new)
    return text


class UnsafeLoader(yaml.SafeLoader):
    """Reads Ansible's !unsafe as a text."""


UnsafeLoader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def look(folder: Path) -> tuple[Any, dict[str, Any], dict[str, str]]:
    """What is found in a folder, the variables of the inventory that is made of it, and its files."""
    found = inspect.inspect(folder)
    files = project_inventory.documents(found, Path("inventories/mine"))
    variables = {**yaml.load(files["group_vars/all/main.yml"], UnsafeLoader)}
    for name, text in files.items():
        assert isinstance(yaml.load(text, UnsafeLoader), dict), name
    return found, variables, files


def levels(found: Any) -> dict[str, str]:
    """The notes' texts, all in one, by level."""
    texts: dict[str, str] = {"error": "", "warning": "", "notice": ""}
    for note in found.notes:
        texts[note.level] += f"{note.place}: {note.text}. {note.fix}\n"
    return texts


def run(playbook: str, *options: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the bundle for real."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(ROOT / "playbooks" / playbook), *options]
    given_environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment}
    return subprocess.run(command, cwd=cwd, env=given_environment, capture_output=True, text=True, check=False)


def filled_in(text: str) -> str:
    """A file of an inventory whose placeholders somebody has filled in."""
    text = re.sub(r"!!!SET such as www\.example\.org!!!", "www.example.org", text)
    return re.sub(r"!!!SET .*?!!!", "filled-in-with-a-value-of-its-own", text)


def preflight(inventory: Path) -> str:
    """What preflight says of an inventory whose hosts answer as a Debian would."""
    names = {"certificate_acme_check_names": False}  # which tests that need no network cannot look up
    extra = json.dumps({"ansible_connection": "scripted", "scripted_answer": ANSWER, **names})
    done = run(
        "preflight.yml",
        "-i",
        str(inventory),
        "-e",
        extra,
        ANSIBLE_CONNECTION_PLUGINS=str(ROOT / "tests" / "connection"),
    )
    return done.stdout + done.stderr if done.returncode else ""
