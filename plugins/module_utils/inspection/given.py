"""The value for each environment variable that a project reads."""

from __future__ import annotations

import json
from pathlib import Path

from ..code.flags import off, on_by_default
from ..text.document import inert
from .deployed import Deployed
from .findings import Database, Inspection, Name

SHARED = "/srv/{{ release_app }}/shared"
HINTS = {"secret_key": "a random string of 50 characters or more", "redis": "a random string of 32 characters or more"}


class Given:
    """Decides what to write for each variable, and which secrets, users and services that needs."""

    def __init__(self, found: Inspection) -> None:
        """Take what was found."""
        self.found = found
        self.vault: dict[str, str] = {}
        self.environment: list[tuple[Name, str]] = []
        self.secrets: list[tuple[str, str]] = []
        self.left: list[Name] = []
        self.redis_password = False
        self.anonymous = False
        self.tasks_user = False
        self.single_host = ""
        self._sort()
        if found.tasks.broker:  # Celery looks in its environment first
            self.add_secret("CELERY_BROKER_URL", self.tasks_url(1))
        if found.tasks.results:
            self.add_secret("CELERY_RESULT_BACKEND", self.tasks_url(1))
        self.deployed = Deployed(self)

    @property
    def uses_redis(self) -> bool:
        """Whether the host needs Redis."""
        return self.found.layer.kind in ("core", "pubsub") or bool(self.found.brokers) or self.found.tasks.fixed

    @property
    def uses_postgresql(self) -> bool:
        """Whether the host needs PostgreSQL."""
        return self.found.database.kind == "postgresql"

    def secret(self, name: str, hint: str) -> str:
        """A secret's name in the vault, as a template."""
        variable = f"vault_{name.lower()}"
        self.vault.setdefault(variable, hint)
        return f"{{{{ {variable} }}}}"

    def add_secret(self, name: str, value: str) -> None:
        """Add a secret that only the files beside the code read, unless the project reads that name anyway."""
        if name not in (one for one, _ in self.secrets):
            self.secrets.append((name, value))

    def tasks_url(self, database: int) -> str:
        """The address of Redis for tasks and caches; its user may do more than the channel layer's user."""
        self.tasks_user = True
        word = self.secret("tasks_password", HINTS["redis"]).replace(" }}", " | urlencode }}")
        return f"redis://tasks:{word}@127.0.0.1:6379/{database}"

    # The environment

    def _sort(self) -> None:
        """Decide what to write for each environment variable."""
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
                self.secrets.append((name.name, value))
            else:
                self.environment.append((name, value))
        # A secret that nobody can guess goes into the vault as well.
        self.redis_password = self.redis_password or any("redis_password" in value for _, value in self.secrets)
        if self.found.layer.kind in ("core", "pubsub") and not self.anonymous:
            self.redis_password = True

    def _value(self, name: Name, purpose: str) -> str | None:
        """The value for a variable; None if the project's default will do."""
        how = name.value.how
        match purpose:
            case "secret_key":
                return self.secret(name.name, HINTS["secret_key"])
            case "debug":
                return self._debug(name)
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
            role, _, alias = purpose.removeprefix("database_").partition("@")
            return self._database(name, role, self.found.further.get(alias, self.found.database))
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
            return self.tasks_url(0 if purpose.startswith("redis_") else 1)
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

    def _debug(self, name: Name) -> str | None:
        """The value that turns DEBUG off; None if it is off already."""
        debug = self.found.debug
        value = debug if debug and debug.name == name.name else name.value
        chosen = self.found.choices.get(name.name, "")
        if on_by_default(value) is False:
            return inert(chosen) if chosen else None
        text = off(value, chosen)
        return inert(chosen) if text is None else inert(text)

    def _database(self, name: Name, role: str, database: Database) -> str | None:
        if database.kind == "sqlite":
            file = Path(database.file).name if database.file not in ("", ":memory:") else "db.sqlite3"
            if role == "name":
                return f"{SHARED}/{inert(file)}"
            if role == "folder":
                return SHARED
            if role == "url":
                return f"sqlite:///{SHARED}/{inert(file)}"
            return None if not name.needed else ""
        if database.kind == "postgresql" or (
            role == "url" and database.kind != "mysql" and "psycopg" in " ".join(self.found.dependencies.asked)
        ):
            database.kind = "postgresql"
            self.vault.setdefault("vault_postgresql_password", HINTS["redis"])
            user = "{{ postgresql_login }}:{{ postgresql_password | urlencode }}"
            if role == "engine" and not name.needed:
                return None
            if "-" in self.found.app:  # PostgreSQL's names have no hyphen
                own = {"url": "url", "user": "login", "name": "database", "db": "database"}
                if role in own:
                    return f"{{{{ postgresql_{own[role]} }}}}"
            return {
                "url": f"postgres://{user}@127.0.0.1:5432/{{{{ release_app }}}}",
                "user": "{{ postgresql_login }}",
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


def several(how: tuple[str, ...], values: list[str]) -> str:
    """Several texts in the form in which the code reads a list."""
    if "loads" in how or "json" in how or "literal_eval" in how:
        return json.dumps(values)
    by = next((one.partition(":")[2] for one in how if one.startswith("split:")), ",")
    return (inert(by) or ",").join(values)
