"""The first inventory of a project: what `project_inspection` found, and comments on what it could not know."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.project_advice import lets_redis_8_in
from ansible.module_utils.project_findings import Inspection, Name
from ansible.module_utils.project_source import known

WIDTH = 118  # columns; yamllint allows 120
PLAIN = re.compile(r"(?:--?(?=[A-Za-z])|[A-Za-z0-9_./])[A-Za-z0-9_./@+-]*(?::[A-Za-z0-9_./@+-]+)*")
WORDS = re.compile(r"(true|false|yes|no|on|off|null|~|y|n)|[\d.+-][\d_.:+eE-]*|0[xob][0-9a-fA-F_]+", re.IGNORECASE)
SHARED = "/srv/{{ release_app }}/shared"
HINTS = {"secret_key": "a random string of 50 characters or more", "redis": "a random string of 32 characters or more"}


class InventoryExists(Exception):
    """There is something already where the inventory would be."""


def clean(text: Any) -> str:
    """A text from the project as it may stand in a comment: on one line, and with no odd characters."""
    return "".join(one if one.isprintable() else "?" for one in str(text))


def inert(text: Any) -> str:
    """A text from the project as it may stand in a value that has templates of ours: with none of its own."""
    return re.sub(r"\{(?=[{%#])", "{ ", clean(text))


def scalar(text: Any) -> str:
    """A text as YAML, in quotes where it needs them."""
    text = str(text)
    if PLAIN.fullmatch(text) and not WORDS.fullmatch(text):
        return text
    return json.dumps(text)


def foreign(text: Any) -> str:
    """A text from the project as YAML, that no template engine takes for its own."""
    return f"!unsafe {json.dumps(str(text))}" if re.search(r"\{[{%#]", str(text)) else scalar(text)


def flow(values: Iterable[Any]) -> str:
    """Texts as a list on one line."""
    return f"[{', '.join(foreign(value) for value in values)}]"


class Document:
    """Lines of a YAML file."""

    def __init__(self, *head: str) -> None:
        """Begin with a comment."""
        self.lines: list[str] = []
        for text in head:
            self.comment(text)
        self.lines.append("---")

    def comment(self, text: str, indent: int = 0) -> None:
        """A comment, on as many lines as it takes."""
        start = " " * indent + "# "
        lines = textwrap.wrap(clean(text), WIDTH - len(start), break_long_words=False, break_on_hyphens=False)
        self.lines += [start + line for line in lines]

    def raw(self, *lines: str) -> None:
        """Lines as they are."""
        self.lines += lines

    def gap(self) -> None:
        """An empty line."""
        if self.lines[-1:] not in ([""], ["---"]):
            self.lines.append("")

    def set(self, key: str, value: str, indent: int = 0) -> None:
        """A key with a value that is YAML; a long one on a line of its own."""
        line = f"{' ' * indent}{key}: {value}"
        if len(line) > WIDTH and value.startswith("["):
            self.lines.append(f"{' ' * indent}{key}:")
            items = re.findall(r'!unsafe "(?:[^"\\]|\\.)*"|"(?:[^"\\]|\\.)*"|[^\s,\[\]]+', value)
            self.lines += [f"{' ' * indent}  - {item}" for item in items]
        elif len(line) > WIDTH and value.startswith('"') and " " not in value.replace("{{ ", "").replace(" }}", ""):
            self.lines += [f"{' ' * indent}{key}: >-", f"{' ' * indent}  {json.loads(value)}"]
        else:
            if len(line) > WIDTH + 2:
                self.lines.append("# yamllint disable-line rule:line-length")
            self.lines.append(line)

    def text(self) -> str:
        """The file."""
        return "\n".join(self.lines).rstrip("\n") + "\n"


class Writer:
    """Makes an inventory of an inspection."""

    def __init__(self, found: Inspection) -> None:
        """Take what was found."""
        self.found = found
        self.vault: dict[str, str] = {}
        self.environment: list[tuple[Name, str]] = []
        self.secrets: list[tuple[Name, str]] = []
        self.left: list[Name] = []
        self.redis_password = False
        self.anonymous = False
        self.tasks_user = False
        self.single_host = ""
        self._sort()

    @property
    def uses_redis(self) -> bool:
        """Whether the host needs Redis."""
        return self.found.layer.kind in ("core", "pubsub") or bool(self.found.brokers)

    @property
    def uses_postgresql(self) -> bool:
        """Whether the host needs PostgreSQL."""
        return self.found.database.kind == "postgresql"

    def secret(self, name: str, hint: str) -> str:
        """A secret's name in the vault, as a template."""
        variable = f"vault_{name.lower()}"
        self.vault.setdefault(variable, hint)
        return f"{{{{ {variable} }}}}"

    # The environment

    def _sort(self) -> None:
        """What to write for each name of the environment."""
        addresses = self.found.layer.addresses
        self.anonymous = any(one.hard_coded and not one.has_password for one in addresses)
        for one in addresses:
            if "url" not in one.names and not ({"user", "password"} <= set(one.names)):
                self.anonymous = self.anonymous or self.found.layer.kind in ("core", "pubsub")
        for name in sorted(self.found.names.values(), key=lambda one: one.name):
            purpose = self.found.purposes.get(name.name, "")
            value = self._value(name, purpose)
            if value is None:
                self.left.append(name)
            elif name.secret and "!!!SET" not in value:
                self.secrets.append((name, value))
            else:
                self.environment.append((name, value))
        # A name that holds a secret but that nobody can know is for the vault as well.
        self.redis_password = self.redis_password or any("redis_password" in value for _, value in self.secrets)
        if self.found.layer.kind in ("core", "pubsub") and not self.anonymous:
            self.redis_password = True

    def _value(self, name: Name, purpose: str) -> str | None:
        """The value of a name; None where the project's default is as good as any."""
        how = name.value.how
        match purpose:
            case "secret_key":
                return self.secret(name.name, HINTS["secret_key"])
            case "debug":
                return None if known(name.value) in (None, "", False, 0, "0", "False", "false") else off(how)
            case "hosts":
                return self._hosts(name)
            case "origins" if name.needed:
                return several(how, ["http://{{ site_name }}", "https://{{ site_name }}"])
            case "media_root":
                return SHARED if self.found.media_below else f"{SHARED}/media"
            case "static_root":
                return "/srv/{{ release_app }}/static" if name.needed else None
            case "amqp":
                return self.secret(name.name, "the address of your message broker, with user and password")
        if purpose.startswith("redis_") or purpose.startswith("broker_"):
            return self._redis(name, purpose)
        if purpose.startswith("database_"):
            return self._database(name, purpose.removeprefix("database_"))
        if name.name in self.found.choices:
            return inert(self.found.choices[name.name])
        if not name.needed:
            return None
        if name.secret:
            return self.secret(
                name.name, f"what the project reads at {inert(name.places[0])}; for a key, a random string"
            )
        return f"!!!SET what the project reads at {inert(name.places[0])}!!!"

    def _hosts(self, name: Name) -> str:
        how = name.value.how
        if not any(
            one.startswith("split:") or one in ("list", "loads", "helper", "tuple", "json", "Csv") for one in how
        ):
            self.single_host = name.name
            return "{{ site_name }}"
        return several(how, ["{{ site_name }}", "localhost", "127.0.0.1"])

    def _redis(self, name: Name, purpose: str) -> str | None:
        shared = name.name in self.found.brokers
        role = purpose.partition("_")[2]
        if role == "url" and shared:
            self.tasks_user = True
            word = self.secret("tasks_password", HINTS["redis"]).replace(" }}", " | urlencode }}")
            return f"redis://tasks:{word}@127.0.0.1:6379/{0 if purpose.startswith('redis_') else 1}"
        if role == "url":
            self.redis_password = True
            return "redis://channels:{{ redis_password | urlencode }}@127.0.0.1:6379/0"
        if role == "password":
            if self.anonymous:
                return ""
            self.redis_password = True
            return "{{ redis_password }}"
        if role == "user":
            return "channels"
        return {"host": "127.0.0.1", "port": "6379", "db": "0"}.get(role)

    def _database(self, name: Name, role: str) -> str | None:
        database = self.found.database
        if database.kind == "sqlite":
            file = Path(database.file).name if database.file not in ("", ":memory:") else "db.sqlite3"
            if role == "name":
                return f"{SHARED}/{inert(file)}"
            if role == "url":
                return f"sqlite:///{SHARED}/{inert(file)}"
            return None if not name.needed else ""
        if database.kind == "postgresql" or (
            role == "url" and database.kind != "mysql" and "psycopg" in " ".join(self.found.dependencies.asked)
        ):
            database.kind = "postgresql"
            self.vault.setdefault("vault_postgresql_password", HINTS["redis"])
            user = "{{ release_app }}:{{ postgresql_password | urlencode }}"
            if role == "engine" and not name.needed:
                return None
            return {
                "url": f"postgres://{user}@127.0.0.1:5432/{{{{ release_app }}}}",
                "password": "{{ postgresql_password }}",
                "host": "127.0.0.1",
                "port": "5432",
                "engine": "django.db.backends.postgresql",
            }.get(role, "{{ release_app }}")
        if role in ("url", "password"):
            return self.secret(name.name, f"the database's, which the project reads at {inert(name.places[0])}")
        if role == "engine" and not name.needed:
            return None
        return f"!!!SET the database's {role}, read at {inert(name.places[0])}!!!"

    # Files

    def main(self) -> str:
        """group_vars/all/main.yml."""
        found = self.found
        out = Document(
            f"What is deployed of {found.folder}, and how: a first version, by playbooks/inspect.yml. Fill in what "
            "says !!!SET. docs/variables.md names everything that can be set, docs/projects.md shows what to write for "
            "which shape of project."
        )
        self._release(out)
        self._environment(out)
        self._services(out)
        self._site(out)
        self._handshake(out)
        self._deployed(out)
        return out.text()

    def _release(self, out: Document) -> None:
        found, needs = self.found, self.found.dependencies
        out.comment("The project's name on the host: its user, folders (/srv/NAME), units and site are called so.")
        out.set("release_app", scalar(found.app))
        out.gap()
        out.comment("Where it comes from: this folder, or a git repository and a version instead.")
        out.set("release_folder", foreign(found.folder))
        out.comment(f"release_repository: {found.repository or 'https://git.example.org/team/project.git'}")
        out.comment("release_version: main")
        manager = f"{found.backend}/manage.py".removeprefix("./")
        out.comment(
            f"The folder in it that holds manage.py ({manager}), and what lists its packages, relative to that."
        )
        out.set("release_backend", foreign(found.backend))
        out.set("release_requirements", flow(needs.files))
        if needs.packages:
            out.comment("By its Pipfile, which is not resolved." if needs.kind == "Pipfile" else
                        "Guessed from what it imports: add versions, and what is missing.")  # fmt: skip
            out.set("release_packages", flow(needs.packages))
        if needs.unknown and not needs.files:
            out.comment(f"Imported too, from packages that are not known here: {', '.join(needs.unknown)}")
        if lets_redis_8_in(found):
            out.comment("redis-py 8 closes idle consumers of the core channel layer after 5 s.")
            out.set("release_constraints", '["redis<8"]')
        if needs.system:
            out.comment("Packages of Debian for those that have to be built.")
            out.set("release_system_packages", flow(needs.system))
        self._python(out)
        if found.settings_needed and found.settings:
            out.comment(f"Settings: {found.settings_place}.")
            out.set("release_settings_module", foreign(found.settings))
        elif found.settings:
            out.comment(f"Settings: {found.settings}, as manage.py says ({found.settings_place}).")
        if paths := self.shared_paths():
            out.comment("Files that the project writes beside its code, and that outlive a release.")
            out.set("release_shared_paths", flow(paths))
        for path, place in found.files_read:
            out.comment(
                f"The settings read {path or 'a file whose path does not show'} ({place}); release_files brings it."
            )

    def _python(self, out: Document) -> None:
        needs = self.found.dependencies
        if not needs.python:
            return
        try:
            from packaging.specifiers import SpecifierSet

            allowed = SpecifierSet(needs.python)
            fits = {minor: allowed.contains(f"3.{minor}.9") for minor in range(8, 15)}
        except ValueError:
            return
        if fits[11] and fits[13]:
            return
        best = next((minor for minor in (12, 13, 11, 14, 10, 9, 8) if fits[minor]), 0)
        text = f"It asks for Python {needs.python} ({needs.python_place}); Debian 12 has 3.11, Debian 13 has 3.13."
        out.comment(text)
        if best and not fits[11] and not fits[13]:
            out.set("release_python", f'"3.{best}"')
        elif best:
            out.comment(
                f'On {"Debian 12" if fits[13] else "Debian 13"}: release_python: "3.{best if not fits[13] else 13}"'
            )

    def shared_paths(self) -> list[str]:
        """What is beside the code and must survive."""
        found, paths = self.found, []
        database = found.database
        beside = database.kind == "sqlite" and not {"name", "url"} & set(database.names)
        if beside and database.file and not database.file.startswith(("/", "..", ":")):
            paths.append(database.file)
        elsewhere = found.media_name or found.media.startswith(("/", "..")) or found.media in ("", ".")
        collected = found.static_root and f"{found.media}/".startswith(f"{found.static_root}/")
        if not elsewhere and not collected:
            paths.append(f"{found.media}/")
        return paths

    def _environment(self, out: Document) -> None:
        out.gap()
        out.comment("The environment, under the names that the project reads.")
        if self.environment:
            out.raw("release_environment:")
            for name, value in self.environment:
                out.set(scalar(name.name), quoted(value), indent=2)
        else:
            out.set("release_environment", "{}")
        if self.left:
            out.comment("Read too, and left at what the project does without them:", indent=2)
            for name in self.left[:60]:
                out.comment(f"{name.name}: {told(name)}  ({name.places[0]})", indent=2)
        if self.secrets:
            out.comment("Secrets are in vault.yml beside this file.")
            out.raw("release_secrets:")
            for name, value in self.secrets:
                out.set(scalar(name.name), quoted(value), indent=2)

    def _services(self, out: Document) -> None:
        found = self.found
        out.gap()
        if found.layer.kind in ("core", "pubsub"):
            out.comment(f"The channel layer: {found.layer.backend} ({found.layer.place}).")
        if self.redis_password:
            self.vault.setdefault("vault_redis_password", HINTS["redis"])
            out.set("redis_password", '"{{ vault_redis_password }}"')
        if self.anonymous:
            out.comment("The project gives Redis no name of a user, so the channel layer is open to the host itself.")
            out.set("redis_anonymous", "true")
        if self.tasks_user:
            self.vault.setdefault("vault_tasks_password", HINTS["redis"])
            out.comment(
                "The channel layer's user may use nothing but the channel layer; this one is for tasks and caches."
            )
            out.raw("redis_extra_users:")
            out.raw("  - \"user tasks on #{{ vault_tasks_password | hash('sha256') }} ~* &* +@all -@admin\"")
        elif found.brokers and not any(purpose == "amqp" for purpose in found.purposes.values()):
            out.comment("A task queue or cache on the same Redis needs a user of its own: redis_extra_users.")
        aliases = self.aliases()
        if aliases:
            out.comment("Names of hosts that are in the code, as compose files have them.")
            out.set("base_host_aliases", "{" + ", ".join(f"{scalar(name)}: 127.0.0.1" for name in aliases) + "}")
        if self.uses_postgresql:
            self.vault.setdefault("vault_postgresql_password", HINTS["redis"])
            out.comment(
                "PostgreSQL, on the host of group database; take the host out of that group where you have your own."
            )
            out.set("postgresql_password", '"{{ vault_postgresql_password }}"')
            fixed = {role: text for role, text in found.database.literals.items() if role in ("name", "user")}
            if fixed:
                what = ", ".join(f"{role} {text}" for role, text in fixed.items())
                out.comment(
                    f"In the code ({found.database.place}): {what}, and maybe a password. The server must have them."
                )

    def aliases(self) -> list[str]:
        """Names of hosts that the code has in it, and that only a compose file knows."""
        hosts = [one.host for one in self.found.layer.addresses if one.hard_coded]
        if self.uses_postgresql and "host" not in self.found.database.names:
            hosts.append(self.found.database.literals.get("host", ""))
        return sorted({one for one in hosts if re.fullmatch(r"[a-z][a-z0-9_-]*", one) and one != "localhost"})

    def _site(self, out: Document) -> None:
        found = self.found
        out.gap()
        out.comment(f"module.path:attribute, as you would give it to daphne ({found.asgi_place or 'not found'}).")
        out.set("asgi_application", foreign(found.asgi) if found.asgi else '"!!!SET such as core.asgi:application!!!"')
        if found.workers:
            out.comment("Other processes; docs/managers.md says what can be set for each.")
            out.raw("asgi_workers:")
            for worker in found.workers:
                out.comment(str(worker.place), indent=2)
                out.raw(f"  - name: {worker.name}", f"    command: {scalar(worker.command)}")
                if worker.singleton:
                    out.raw("    singleton: true")
        out.gap()
        out.comment("The name under which browsers find the site.")
        out.set("site_name", '"!!!SET such as www.example.org!!!"')
        out.set("nginx_server_names", '["{{ site_name }}"]')
        for socket in found.sockets[:20]:
            out.comment(f"{socket.pattern or '(empty)'} ({socket.place})")
        out.set("nginx_websocket_paths", flow(self.prefixes()))
        if found.static_url and found.static_url != "/static/":
            out.set("nginx_static_url", foreign(slash(found.static_url)))
        if media := self.media_folder():
            out.set("nginx_media_url", foreign(slash(found.media_url)))
            out.set("nginx_media_folder", scalar(media))

    def media_folder(self) -> str:
        """The folder on the host that holds uploads; empty where nginx serves none."""
        found = self.found
        if not found.media_url or found.media_url == "/":
            return ""
        if found.media_name:
            return f"{SHARED}/{inert(found.media_below) or 'media'}"
        return f"{SHARED}/{inert(found.media)}" if f"{found.media}/" in self.shared_paths() else ""

    def prefixes(self) -> list[str]:
        """The fewest prefixes that all routes begin with, each a whole folder of the path."""
        if not self.found.sockets:
            return ["/ws/"]
        found = []
        for socket in self.found.sockets:
            prefix = socket.prefix if not socket.variable else socket.prefix[: socket.prefix.rfind("/") + 1]
            first = "/" + prefix.strip("/").partition("/")[0]
            found.append(
                first + "/"
                if len(prefix.strip("/").split("/")) > 1 or (prefix.endswith("/") and first != "/")
                else prefix
            )
        found = [one if one == "/" or re.fullmatch(r"[\w/.~@%+-]+", one) else "/" for one in found]
        return sorted(one for one in set(found) if not any(other != one and one.startswith(other) for other in found))

    def _handshake(self, out: Document) -> None:
        found, token = self.found, self.found.token
        out.gap()
        out.comment("How the site is proven: a socket's path, and how a token for it is made.")
        sockets = sorted((one for one in found.sockets if one.sample), key=lambda one: one.variable)
        if sockets:
            path = sockets[0].sample
            if sockets[0].variable:
                out.comment(f"A path that {sockets[0].pattern} matches; write one that your consumer accepts.")
            query = f"?{token.key}={{token}}" if token.key else ""
            out.set("handshake_path", scalar(path + query) if "{" not in query else plain(path + query))
        else:
            out.set("handshake_path", '"!!!SET such as /ws/chat/?token={token}!!!"')
        if found.health:
            if found.health != "/":
                out.set("handshake_health_path", foreign(found.health))
        else:
            out.comment("A page that answers below 400 to anybody; / was not seen among the project's.")
            out.comment("handshake_health_path: /health/")
        out.set("handshake_url", "ws://{{ site_name }}")
        out.set("handshake_origin", "http://{{ site_name }}")
        if self.single_host:
            out.comment(f"{self.single_host} holds one name, so handshakes on the host have to use it.")
            out.set("handshake_host", '"{{ site_name }}"')
        if found.sockets and not token.origin:
            out.comment("The project refuses no Origin (it has no OriginValidator), which lets other sites' pages in.")
            out.set("handshake_foreign_origin", '""')
        self._token(out)
        out.comment(
            "A message that your consumer answers, and one that it passes on to everybody, each with {nonce} in it. "
            "Without them it is only proven that sockets open and stay open."
        )
        out.raw('# handshake_send: \'{"message": "{nonce}"}\'', '# handshake_broadcast: \'{"message": "{nonce}"}\'')

    def _token(self, out: Document) -> None:
        token = self.found.token
        if token.command:
            out.set("handshake_token_command", flow_quoted(token.command))
            if token.expired:
                out.set("handshake_expired_token_command", flow_quoted(token.expired))
            return
        if token.simplejwt and token.key:
            out.comment("One of djangorestframework-simplejwt, for a user that is there:")
            out.raw(
                "# handshake_token_command:",
                "#   - python",
                "#   - manage.py",
                "#   - shell",
                "#   - -c",
                "#   - >-",
                "#     from rest_framework_simplejwt.tokens import AccessToken;",
                "#     from django.contrib.auth import get_user_model;",
                "#     print(AccessToken.for_user(get_user_model().objects.get(username='proof')))",
            )
        elif token.key:
            out.comment(f"The token is read from the query ({token.place}); write the command that prints a good one.")
            out.comment("handshake_token_command: [python, manage.py, mint_token]")
        elif token.session:
            out.comment(
                "The routes know users by their session's cookie; what a consumer refuses without one is not proven."
            )

    def _deployed(self, out: Document) -> None:
        """Two small modules that change what the code fixes, without changing the code."""
        found = self.found
        fixed = [name for name in ("DEBUG", "ALLOWED_HOSTS", "SECRET_KEY", "STATIC_ROOT") if name in found.fixed]
        if not (fixed or found.early) or not found.settings:
            return
        out.gap()
        out.comment(
            "What the code fixes can be changed without touching it, by modules of your own that are put beside it."
        )
        if fixed:
            out.comment(f"In the code: {', '.join(f'{name} ({found.fixed[name]})' for name in fixed)}.")
            out.raw("# release_settings_module: deployed_settings")
        if found.early:
            out.comment(f"Models are imported before Django is set up: {' → '.join(found.early)}.")
            out.raw("# asgi_application: deployed_asgi:application")
        out.raw("# release_files:")
        if fixed:
            out.raw("#   - path: deployed_settings.py", "#     secret: false", "#     content: |")
            lines = {
                "DEBUG": ["DEBUG = False"],
                "ALLOWED_HOSTS": ['ALLOWED_HOSTS = ["{{ site_name }}", "localhost", "127.0.0.1"]'],
                "SECRET_KEY": [
                    "import os",
                    'SECRET_KEY = os.environ["SECRET_KEY"]  # and SECRET_KEY in release_secrets',
                ],
                "STATIC_ROOT": ['STATIC_ROOT = "/srv/{{ release_app }}/static"'],
            }
            out.raw(f"#       from {clean(found.settings)} import *")
            out.raw(*(f"#       {line}" for name in fixed for line in lines[name]))
        if found.early:
            module, _, attribute = found.asgi.partition(":")
            out.raw("#   - path: deployed_asgi.py", "#     secret: false", "#     content: |", "#       import django")
            out.raw("#       django.setup()", f"#       from {clean(module)} import {clean(attribute)} as application")

    def hosts(self, inventory: str) -> str:
        """hosts.yml."""
        name = self.found.app
        redis = f"\n      hosts:\n        {name}:" if self.uses_redis else ""
        database = f"\n      hosts:\n        {name}:" if self.uses_postgresql else ""
        said = "" if self.uses_redis else " Nothing was found that needs it."
        return (
            f"# One machine that plays every part; add more as inventories/production does.\n#\n"
            f"#   ansible-playbook -i {clean(inventory)} site.yml --ask-vault-pass\n"
            "all:\n  children:\n    # Machines that run the project. Required.\n    app:\n      hosts:\n"
            f"        {name}:\n"
            "          # Where SSH reaches it; a user that is not root needs ansible_become as well.\n"
            '          ansible_host: "!!!SET the address of your machine!!!"\n          ansible_user: root\n'
            f"    # Machine that runs Redis, the channel layer.{said}\n    redis:{redis}\n"
            f"    # Machine that runs PostgreSQL.\n    database:{database}\n"
            "    # Reserved for larger sites; leave them empty.\n    proxy:\n    monitoring:\n"
        )

    def secrets_file(self, inventory: str) -> str:
        """group_vars/all/vault.yml."""
        path = f"{clean(inventory)}/group_vars/all/vault.yml"
        out = Document(
            f"Secrets. Fill them in, then encrypt this file: ansible-vault encrypt {path}",
            "`openssl rand -hex 32` makes a good one.",
        )
        for name, hint in sorted(self.vault.items()):
            out.set(name, json.dumps(f"!!!SET {hint}!!!"))
        if not self.vault:
            out.raw("{}")
        return out.text()


def told(name: Name) -> str:
    """The default of a name, for people."""
    default = known(name.value.default)
    if default is None:
        return "unset"
    if name.secret:
        return "********"
    if isinstance(default, str | int | float | bool):
        return clean(default)[:60] if default != "" else "empty"
    return "computed"


def plain(text: str) -> str:
    """A path with {token} in it, which needs no quotes unless it begins so."""
    return text if re.fullmatch(r"/[\w/.~@%+?=&{}-]*", text) else json.dumps(text)


def quoted(value: str) -> str:
    """A value of the environment: always a text, whatever it looks like."""
    if re.fullmatch(r"[a-z]+:/[\w/:{}@|. -]+", value) or re.fullmatch(r"/[\w/{}. -]+", value):
        return value  # addresses and paths with templates in them read better without
    return scalar(value)


def flow_quoted(words: list[str]) -> str:
    """The words of a command as a list on one line."""
    return f"[{', '.join(scalar(word) for word in words)}]"


def slash(path: str) -> str:
    """A prefix with a slash at its end."""
    return path if path.endswith("/") else path + "/"


def off(how: tuple[str, ...]) -> str:
    """A text that means no to the code which reads it."""
    if not how or how == ("bool",):
        return ""  # bool("False") is true
    if "int" in how:
        return "0"
    negative = next((one.partition(":")[2] for one in how if one.startswith("not:")), None)
    return inert(negative) if negative is not None else "False"


def several(how: tuple[str, ...], values: list[str]) -> str:
    """Texts in the form in which the code reads several."""
    if "loads" in how or "json" in how or "literal_eval" in how:
        return json.dumps(values)
    by = next((one.partition(":")[2] for one in how if one.startswith("split:")), ",")
    return (inert(by) or ",").join(values)


def write(found: Inspection, inventory: Path) -> list[Path]:
    """Write the inventory; raise InventoryExists where there is one, of which nothing is touched."""
    if os.path.lexists(inventory) and not (inventory.is_dir() and not any(inventory.iterdir())):
        raise InventoryExists(
            f"{inventory} is there already, and is not overwritten: name another by -e inventory=, or move it"
        )
    files = documents(found, inventory)
    inventory.parent.mkdir(parents=True, exist_ok=True)
    # All of it or nothing: an inventory that is there in part could never be written again.
    made = Path(tempfile.mkdtemp(prefix=f".{inventory.name}-", dir=inventory.parent))
    try:
        for name, text in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (made / "group_vars" / "all" / "vault.yml").chmod(0o600)
        made.chmod(0o755)
        made.rename(inventory)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return [inventory / name for name in files]


def documents(found: Inspection, inventory: Path) -> dict[str, str]:
    """The files of the inventory, by their paths in it."""
    writer = Writer(found)
    name = os.path.relpath(inventory)
    name = str(inventory) if name.startswith("..") else name
    main = writer.main()  # which finds out what the others need
    return {
        "hosts.yml": writer.hosts(name),
        "group_vars/all/main.yml": main,
        "group_vars/all/vault.yml": writer.secrets_file(name),
    }


def summary(found: Inspection, files: list[Path], inventory: Path) -> list[str]:
    """What was found and where, what to look at, and what to do now."""
    needs, layer, database = found.dependencies, found.layer, found.database
    packages = ", ".join(needs.files) or ("release_packages" if needs.packages else "none found")
    where = " or ".join(
        ", ".join([*one.names.values(), *([f"{one.host}:{one.port} in the code"] if one.hard_coded else [])])
        for one in layer.addresses
    )
    lines = [
        f"Project      {found.folder}, manage.py in {found.backend}",
        f"Settings     {found.settings or 'not found'} ({found.settings_place or '-'})",
        f"ASGI         {found.asgi or 'not found'} ({found.asgi_place or '-'})",
        f"Packages     {packages}; {len(needs.asked)} of them",
        *[f"WebSocket    {one.pattern or '(empty)'} ({one.place})" for one in found.sockets[:10]],
        f"Layer        {layer.kind}{', ' + where if where else ''} ({layer.place or '-'})",
        f"Database     {database.kind}{', ' + ', '.join(database.names.values()) if database.names else ''}"
        f"{', ' + database.file if database.file else ''} ({database.place or '-'})",
        f"Static       {found.static_root or 'no STATIC_ROOT'}; uploads: {found.media or 'none'}",
    ]
    needed = [one for one in found.names.values() if one.needed]
    others = [one for one in found.names.values() if not one.needed]
    if found.names:
        told = ", ".join(f"{one.name} ({one.places[0]})" for one in needed[:12]) or "none"
        lines.append(f"Environment  needed: {told}")
        lines.append(f"             with a default: {', '.join(one.name for one in others[:20]) or 'none'}")
    lines += [f"Worker       {one.name}: {one.command} ({one.place})" for one in found.workers]
    lines.append("")
    order = {"error": 0, "warning": 1, "notice": 2}
    for note in sorted(found.notes, key=lambda one: order[one.level]):
        lines.append(f"{note.level.upper():8} {note.place}: {note.text}{'. ' + note.fix if note.fix else ''}")
    if files:
        count = sum(len(re.findall(r"^[^#\n]*!!!SET", path.read_text(encoding="utf-8"), re.M)) for path in files)
        shown = os.path.relpath(inventory)
        shown = str(inventory) if shown.startswith("..") else shown
        lines += [
            "",
            f"Written      {', '.join(str(path.relative_to(inventory)) for path in files)} in {shown}",
            f"To do        {count} places say !!!SET; then ansible-vault encrypt {shown}/group_vars/all/vault.yml",
            f"Then         ansible-playbook -i {shown} site.yml --ask-vault-pass",
        ]
    return [clean(line) for line in lines]
