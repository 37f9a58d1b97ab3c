"""What an inspection found in a project, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..code.values import NEEDED, Environment, Place
from ..requirements.declared import Dependencies


@dataclass(frozen=True)
class Note:
    """Something to know. `level` is error if the project cannot be deployed as it is, else warning or notice."""

    level: str
    place: str
    text: str
    fix: str = ""


@dataclass
class Name:
    """An environment variable, with all the places that read it."""

    name: str
    value: Environment
    places: list[Place]
    secret: bool

    @property
    def needed(self) -> bool:
        """Whether the project stops if the variable is not set."""
        return self.value.default is NEEDED


@dataclass
class Address:
    """Where the channel layer finds Redis: `names` are environment variables, keyed by what they hold."""

    names: dict[str, str] = field(default_factory=dict)
    host: str = ""
    port: str = "6379"
    hard_coded: bool = False
    has_password: bool = False


@dataclass
class Layer:
    """The channel layer: `kind` is core, pubsub, memory, none or other."""

    kind: str = "none"
    backend: str = ""
    prefix: str = ""
    place: Place | None = None
    addresses: list[Address] = field(default_factory=list)


@dataclass
class Database:
    """A database: `kind` is sqlite, postgresql, mysql, none or other; `names` are keyed by what they hold."""

    kind: str = "none"
    place: Place | None = None
    names: dict[str, str] = field(default_factory=dict)
    literals: dict[str, str] = field(default_factory=dict)
    engine: str = ""
    file: str = ""
    others: list[str] = field(default_factory=list)

    @property
    def beside(self) -> bool:
        """Whether it is a file below the backend."""
        return bool(self.file) and not self.file.startswith(("/", "..", ":"))


@dataclass
class ReadFile:
    """A file that settings read: relative to the backend, absolute if outside the project, "" if unknown."""

    path: str
    place: Place
    optional: bool = False
    #: What the file must hold, by the keys that lead there.
    keys: dict[tuple[str, ...], Place] = field(default_factory=dict)

    @property
    def placed(self) -> bool:
        """Whether release_files can bring it."""
        return bool(self.path) and not self.path.startswith("/")


@dataclass(frozen=True)
class PythonAsked:
    """A version of Python that something asks for: as packaging understands it, and as it is written."""

    specifier: str
    text: str
    place: Place


@dataclass
class Tasks:
    """Redis for tasks and caches, if the code has its address: the places, and the names that need rights."""

    celery: bool = False
    broker: Place | None = None
    results: Place | None = None
    #: Caches by their aliases.
    caches: dict[str, Place | None] = field(default_factory=dict)
    prefixes: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    #: Whether there are queues of other systems than Celery.
    others: bool = False

    @property
    def fixed(self) -> bool:
        """Whether any address is in the code."""
        return bool(self.broker or self.results or self.caches)


@dataclass
class Socket:
    """A WebSocket route: its path with samples for the variable parts, and the prefix before the first of them."""

    pattern: str
    prefix: str
    sample: str
    variable: bool
    place: Place
    called: bool  # by as_asgi()


@dataclass
class Worker:
    """Another process of the project."""

    name: str
    command: str
    place: Place
    singleton: bool = False


@dataclass
class Token:
    """How a handshake is authenticated, as far as the code shows it."""

    key: str = ""
    place: Place | None = None
    command: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    simplejwt: bool = False
    session: bool = False
    origin: bool = False
    #: Whether ALLOWED_HOSTS decides which Origins are let in.
    by_hosts: bool = False


@dataclass
class Inspection:
    """Everything that was found in a project."""

    folder: Path
    app: str = ""
    backend: str = "."
    managers: list[str] = field(default_factory=list)
    repository: str = ""
    settings: str = ""
    settings_place: Place | None = None
    settings_needed: bool = False
    asgi: str = ""
    asgi_place: Place | None = None
    http: bool = True
    wsgi: str = ""
    early: list[str] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    layer: Layer = field(default_factory=Layer)
    database: Database = field(default_factory=Database)
    #: Other databases by their aliases.
    further: dict[str, Database] = field(default_factory=dict)
    #: The environment variable that settings.DEBUG reads, if it can turn DEBUG off.
    debug: Environment | None = None
    debug_place: Place | None = None
    debug_shows: bool = True
    dependencies: Dependencies = field(default_factory=Dependencies)
    names: dict[str, Name] = field(default_factory=dict)
    purposes: dict[str, str] = field(default_factory=dict)
    static_url: str = ""
    static_root: str = ""
    media_url: str = ""
    media: str = ""
    media_name: str = ""
    media_below: str = ""
    choices: dict[str, str] = field(default_factory=dict)
    health: str = ""
    workers: list[Worker] = field(default_factory=list)
    token: Token = field(default_factory=Token)
    fixed: dict[str, Place] = field(default_factory=dict)
    brokers: list[str] = field(default_factory=list)
    tasks: Tasks = field(default_factory=Tasks)
    python: list[PythonAsked] = field(default_factory=list)
    postgis: bool = False
    apps: list[str] = field(default_factory=list)
    urlconf: str = ""
    #: Whether static files can be collected; that needs their application and STATIC_URL.
    collects: bool = False
    #: ALLOWED_HOSTS as it is in the code.
    hosts_fixed: list[str] = field(default_factory=list)
    #: Whether the ASGI module sets DJANGO_SETTINGS_MODULE regardless of the environment.
    settings_assigned: bool = False
    files_read: list[ReadFile] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def note(self, level: str, place: Any, text: str, fix: str = "") -> None:
        """Add a note, once."""
        found = Note(level, str(place or ""), text, fix)
        if found not in self.notes:
            self.notes.append(found)


def slashed(path: str) -> str:
    """A path with a leading slash, as a request has it."""
    return "/" + path.lstrip("/")
