"""Small modules that we put beside the project's code to change what it hard-codes, and files that it reads."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..text.document import Document, clean, inert
from ..text.secrets import is_secret_name
from .findings import Database, ReadFile

if TYPE_CHECKING:
    from .given import Given

SHARED = "/srv/{{ release_app }}/shared"
HEALTH = "deployed-health/"


class Deployed:
    """What is put beside the code. This is decided before anything is written, since other sections name it."""

    def __init__(self, given: Given) -> None:
        """Decide from what was found; add the secrets that this needs to those of the inventory."""
        self.given, self.found = given, given.found
        named = re.fullmatch(r"[\w.]+", self.found.settings)  # only what is safe in a template
        self.urls = bool(named and self.found.urlconf and not self.found.health)
        self.lines = self._settings() if named else []
        self.asgi = bool(
            re.fullmatch(r"[\w.]+:\w+", self.found.asgi)
            and (self.found.early or (not self.found.http and not self.found.wsgi) or self.found.settings_assigned)
        )

    @property
    def settings(self) -> str:
        """The settings module to write; empty if the project's own will do."""
        return "deployed_settings" if self.lines else ""

    def _settings(self) -> list[str]:
        found = self.found
        lines: list[str] = []
        if "DEBUG" in found.fixed:
            lines.append("DEBUG = False")
        if "ALLOWED_HOSTS" in found.fixed:
            own = "*ALLOWED_HOSTS, " if found.hosts_fixed and "*" not in found.hosts_fixed else ""
            lines.append(f'ALLOWED_HOSTS = [{own}"{{{{ site_name }}}}", "localhost", "127.0.0.1"]')
        if "SECRET_KEY" in found.fixed:
            lines.append('SECRET_KEY = os.environ["SECRET_KEY"]')
            hint = "a random string of 50 characters or more"
            self.given.add_secret("SECRET_KEY", self.given.secret("secret_key", hint))
        if "STATIC_ROOT" in found.fixed and found.collects:
            lines.append('STATIC_ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "deployed_static")')
        if self.urls:
            lines.append('ROOT_URLCONF = "deployed_urls"')
        for alias, database in {"default": found.database, **found.further}.items():
            lines += self._database(alias, database)
        for alias in filter(re.compile(r"[\w.-]+").fullmatch, found.tasks.caches):
            lines.append(f'CACHES[{json.dumps(alias)}]["LOCATION"] = os.environ["DEPLOYED_CACHE_URL"]')
            self.given.add_secret("DEPLOYED_CACHE_URL", self.given.tasks_url(1))
        return lines

    def _database(self, alias: str, database: Database) -> list[str]:
        if not re.fullmatch(r"[\w.-]+", alias):
            return []
        entry = f"DATABASES[{json.dumps(alias)}]"
        if database.kind == "sqlite" and not database.beside and database.file not in ("", ":memory:"):
            if {"name", "url", "folder"} & set(database.names):
                return []
            return [f'{entry}["NAME"] = {json.dumps(f"{SHARED}/{inert(PurePosixPath(database.file).name)}")}']
        if alias == "default" and database.kind == "postgresql" and not database.names and database.literals:
            self.given.add_secret("DEPLOYED_DATABASE_PASSWORD", "{{ postgresql_password }}")
            parts = {key: f"{{{{ postgresql_{value} }}}}" for key, value in
                     {"NAME": "database", "USER": "login", "HOST": "host", "PORT": "port"}.items()}  # fmt: skip
            text = [f"    {key}={json.dumps(value)}," for key, value in parts.items()]
            return [f"{entry}.update(", *text, '    PASSWORD=os.environ["DEPLOYED_DATABASE_PASSWORD"],', ")"]
        return []

    def write(self, out: Document) -> None:
        """Write all of release_files."""
        found = self.found
        files = [file for file in found.files_read if file.placed and not file.optional]
        if not (self.lines or self.asgi or files):
            return
        out.gap()
        out.comment("Files of your own that are put beside the code, or in its place.")
        out.raw("release_files:")
        if self.lines:
            out.comment("Changes what the code fixes, without touching it.", 2)
            for name in found.fixed:
                if any(line.startswith(f"{name} =") for line in self.lines):
                    out.comment(f"In the code: {name} ({found.fixed[name]}).", 2)
            text = [*(["import os"] if any("os." in line for line in self.lines) else []), "",
                    f"from {clean(found.settings)} import *", "", *self.lines]  # fmt: skip
            self._file(out, "deployed_settings.py", text if text[0] else text[1:])
        if self.urls:
            out.comment("A page that answers to anybody, since none was seen among the project's.", 2)
            view = f'path("{HEALTH}", lambda request: HttpResponse("ok"))'
            self._file(out, "deployed_urls.py", [
                "from django.http import HttpResponse", "from django.urls import path", "",
                f"from {clean(found.urlconf)} import *", f"from {clean(found.urlconf)} import urlpatterns", "",
                f"urlpatterns = [{view}, *urlpatterns]",
            ])  # fmt: skip
        if self.asgi:
            self._asgi(out)
        for file in files:
            self._read(out, file)

    def _asgi(self, out: Document) -> None:
        found = self.found
        if found.early:
            out.comment(f"Models are imported before Django is set up: {' → '.join(found.early)}.", 2)
        if found.settings_assigned:
            out.comment("Settings are imported before the project's own module can name others.", 2)
        module, _, attribute = (clean(part) for part in found.asgi.partition(":"))
        settings = self.settings or clean(found.settings)
        text = ["import os", "", "import django", "",
                f'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")', "django.setup()", ""]  # fmt: skip
        if found.http or found.wsgi:
            text.append(f"from {module} import {attribute} as application")
        else:
            out.comment(f"The project's application answers no plain HTTP ({found.asgi_place}); Django does here.", 2)
            text += [
                "from channels.routing import ProtocolTypeRouter", "from django.core.asgi import get_asgi_application",
                "", f"from {module} import {attribute} as sockets", "",
                'application = ProtocolTypeRouter({**sockets.application_mapping, "http": get_asgi_application()})',
            ]  # fmt: skip
        self._file(out, "deployed_asgi.py", text)

    def _file(self, out: Document, path: str, lines: list[str], *, secret: bool = False) -> None:
        out.raw(f"  - path: {path}", *([] if secret else ["    secret: false"]), "    content: |")
        out.raw(*(f"      {line}".rstrip() for line in lines))

    def _read(self, out: Document, file: ReadFile) -> None:
        """A file that the settings read, with the keys that they take from it."""
        out.comment(f"The settings read it ({file.place}).", 2)
        path = inert(file.path)
        quoted = path if re.fullmatch(r"[\w./-]+", path) else json.dumps(path)
        kind = PurePosixPath(path).suffix
        if not file.keys or kind not in (".yaml", ".yml", ".json"):
            named = ", ".join(".".join(one) for one in file.keys)
            hint = f"what is to be in it{': ' + clean(inert(named)) if named else ''}"
            self._file(out, quoted, [f"!!!SET {hint}!!!"], secret=True)
            return
        tree: dict[str, object] = {}
        for keys, place in file.keys.items():
            at = tree
            for key in keys[:-1]:
                below = at.setdefault(key, {})
                at = below if isinstance(below, dict) else {}
            at.setdefault(keys[-1], self._value(keys, str(place)))
        lines = yaml_lines(tree) if kind != ".json" else json_lines(tree)
        self._file(out, quoted, lines, secret=True)

    def _value(self, keys: tuple[str, ...], place: str) -> str:
        """The value of a key, as JSON or as a template that renders to JSON."""
        last = keys[-1]
        if re.search(r"(^|_)debug$", last, re.IGNORECASE):
            return "false"
        if re.search(r"allowed_?hosts$", last, re.IGNORECASE):
            return '["{{ site_name }}", "localhost", "127.0.0.1"]'
        if is_secret_name(last, "code"):
            name = re.sub(r"\W+", "_", "_".join(keys))
            hint = f"what the settings read at {inert(place)}; for a key, a random string"
            return self.given.secret(name, hint).replace(" }}", " | to_json }}")
        return json.dumps(f"!!!SET what the settings read at {inert(place)}!!!")


def yaml_lines(tree: dict[str, object], indent: int = 0) -> list[str]:
    """A mapping as lines of YAML; its values are YAML already."""
    lines = []
    for key, value in tree.items():
        plain = re.fullmatch("[A-Za-z_][A-Za-z0-9_-]*", key)
        name = f"{' ' * indent}{key if plain else json.dumps(inert(key))}:"
        if isinstance(value, dict):
            lines += [name, *yaml_lines(value, indent + 2)]
        else:
            lines.append(f"{name} {value}")
    return lines


def json_lines(tree: dict[str, object], indent: int = 0, end: str = "") -> list[str]:
    """The same, as JSON."""
    lines = ["{"] if not indent else []
    items = list(tree.items())
    for number, (key, value) in enumerate(items):
        comma = "," if number < len(items) - 1 else ""
        name = f"{' ' * (indent + 2)}{json.dumps(inert(key))}:"
        if isinstance(value, dict):
            lines += [f"{name} {{", *json_lines(value, indent + 2, comma)]
        else:
            lines.append(f"{name} {value}{comma}")
    return [*lines, f"{' ' * indent}}}{end}"]
