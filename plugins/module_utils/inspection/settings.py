"""What a project's settings say about its channel layer, database and files, as far as the code shows it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..code.files import Sources
from ..code.flags import off
from ..code.scope import Scope
from ..code.values import UNKNOWN, Call, Environment, Joined, Place, known, names_of
from .databases import inside
from .findings import Address, Inspection, slashed

PRODUCTION = re.compile(r"(^|_)(production|prod|deploy|deployment|live|server)(_|$)", re.IGNORECASE)
DEVELOPMENT = re.compile(r"(^|_)(dev|devel|development|local|test|tests|testing|ci|debug)(_|$)", re.IGNORECASE)
SETTINGS_WORD = re.compile(r"DJANGO_SETTINGS_MODULE['\"]\s*[,\]=)]+\s*(?:default\s*=\s*)?['\"]([\w.]+)['\"]")
REDIS_BACKENDS = re.compile(r"redis", re.IGNORECASE)


def named_settings(sources: Sources, path: Path) -> tuple[str, Place | None]:
    """The settings module that a file names."""
    text = sources.text(path) if path.is_file() else ""
    match = SETTINGS_WORD.search(text)
    return (match[1], sources.place(path, text[: match.start()].count("\n") + 1)) if match else ("", None)


def find_settings(sources: Sources, found: Inspection) -> Scope | None:
    """The settings module for a host: the one that manage.py names, unless one for production is beside it."""
    manager, place = named_settings(sources, sources.backend / "manage.py")
    asgi_files = [path for path in sources.named("asgi\\.py", "wsgi\\.py") if path.is_relative_to(sources.backend)]
    served = [(name, where) for name, where in (named_settings(sources, path) for path in asgi_files) if name]
    named = manager or (served[0][0] if served else "")
    place = place or (served[0][1] if served else None)
    if not named:
        files = [path for path in sources.named("settings\\.py") if path.is_relative_to(sources.backend)]
        named = sources.dotted(files[0]) if files else ""
        place = sources.place(files[0]) if files else None
    file = sources.module(named) if named else None
    if not file:
        missing = f"names {named}, which is not there" if named else "no settings module was found"
        found.note("error", place or found.backend, missing, "Write release_settings_module.")
        found.settings, found.settings_place = named, place
        return None
    chosen = better_settings(sources, named, file, [name for name, _ in served])
    file = sources.module(chosen) or file
    found.settings, found.settings_place = chosen, sources.place(file if file.suffix == ".py" else file / "__init__.py")
    found.settings_needed = chosen != manager or any(name != chosen for name, _ in served) or not served
    if chosen != named:
        text = f"is not what manage.py names ({named}), and is taken because it looks like what is for hosts"
        found.note("notice", found.settings_place, text, "Correct release_settings_module if it is not.")
    scope = sources.scope(file)
    if "INSTALLED_APPS" not in scope.values:
        text = f"{chosen} assigns no INSTALLED_APPS that shows"
        found.note("warning", found.settings_place, text, "It may be built at a run; look at what is missing here.")
    return scope


def better_settings(sources: Sources, named: str, file: Path, served: list[str]) -> str:
    """The settings module for hosts: production's, if the named one is for development or has siblings."""
    folder = file.parent if file.suffix == ".py" else file
    last = named.rpartition(".")[2]
    siblings = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    family = [one for one in siblings if PRODUCTION.search(one.stem)]
    if folder.name != "settings" and not re.search("settings", str(folder.relative_to(sources.folder))):
        family = [one for one in family if "settings" in one.stem]
    package = file.name == "__init__.py" or file.suffix != ".py"
    empty = package and (file.suffix != ".py" or "INSTALLED_APPS" not in sources.scope(file).values)
    if (
        not DEVELOPMENT.search(last)
        and not empty
        and last not in ("base", "common")
        and not (family and sources.scope(family[0]).values.get("INSTALLED_APPS") is not None and not package)
    ):
        return next((name for name in served if PRODUCTION.search(name.rpartition(".")[2])), named)
    if family:
        return sources.dotted(family[0])
    fitting = [name for name in served if name != named and not DEVELOPMENT.search(name.rpartition(".")[2])]
    if fitting:
        return fitting[0]
    if empty:
        for stem in ("settings", "base", "common", "defaults", *[one.stem for one in siblings]):
            path = folder / f"{stem}.py"
            if path.is_file() and "INSTALLED_APPS" in sources.scope(path).values:
                return sources.dotted(path)
    return named


def find_layer(found: Inspection, scope: Scope) -> None:
    """The channel layer and how it finds Redis."""
    value = scope.values.get("CHANNEL_LAYERS")
    layer = found.layer
    layer.place = scope.places.get("CHANNEL_LAYERS")
    default = value.get("default") if isinstance(value, dict) else None
    if isinstance(default, Environment):
        layer.kind, layer.addresses = "other", [Address({"url": default.name})]
        return
    if not isinstance(default, dict):
        layer.kind = "none" if value is None else "other"
        return
    backend = known(default.get("BACKEND"))
    layer.backend = backend if isinstance(backend, str) else ""
    if "InMemory" in layer.backend or "inmemory" in layer.backend:
        layer.kind = "memory"
    elif REDIS_BACKENDS.search(layer.backend):
        layer.kind = "pubsub" if "pubsub" in layer.backend.lower() else "core"
    else:
        layer.kind = "other"
    config = default.get("CONFIG")
    prefix = known(config.get("prefix")) if isinstance(config, dict) else None
    layer.prefix = prefix if isinstance(prefix, str) else ""
    hosts = config.get("hosts", UNKNOWN) if isinstance(config, dict) else config
    if hosts is None and layer.kind in ("core", "pubsub"):
        hosts = [("127.0.0.1", 6379)]
    for host in hosts if isinstance(hosts, list | tuple) else [hosts]:
        if layer.kind in ("core", "pubsub") and (address := address_of(host)):
            layer.addresses.append(address)


def address_of(host: Any) -> Address | None:
    """Where Redis is, according to one entry of `hosts`."""
    if isinstance(host, dict):
        parts = {key: host[key] for key in ("host", "port", "password", "username", "db") if key in host}
        return address_of(host["address"]) if "address" in host else of_parts(parts) if parts else None
    if isinstance(host, tuple | list) and len(host) == 2:
        return of_parts({"host": host[0], "port": host[1]})
    if isinstance(host, Environment):
        default = known(host)
        address = of_url(default) if isinstance(default, str) else Address()
        # Whatever its name: channels_redis treats a host that is a single text as a URL.
        return replace(address, names={"url": host.name}, hard_coded=False)
    if isinstance(host, str):
        return replace(of_url(host), hard_coded=True)
    if isinstance(host, Joined | Call):
        names = names_of(host)
        address = Address(names={role_of(one.name): one.name for one in names})
        for one in names:
            if role_of(one.name) == "host" and isinstance(text := known(one), str):
                address.host = text
        text = "".join(part for part in host.parts if isinstance(part, str)) if isinstance(host, Joined) else ""
        if "host" not in address.names and "url" not in address.names:
            address.host, address.hard_coded = of_url(text).host, True
        address.has_password = "password" in address.names
        return address
    return Address()


def role_of(name: str) -> str:
    """What an environment variable holds, judged by its last words."""
    for role, words in (
        ("password", r"pass|auth|secret"), ("host", r"host|addr|server$"), ("port", r"port"), ("user", r"user"),
        ("engine", r"engine|backend|type|adapter|driver"), ("url", r"ur[li]|dsn|location|broker"),
        ("db", r"(_|^)db(_?(index|number|num|\d))?$|database"), ("name", r"name"),
    ):  # fmt: skip
        if re.search(words, name, re.IGNORECASE):
            return role
    return "name"


def of_parts(parts: dict[str, Any]) -> Address:
    """An address from its parts."""
    address = Address(hard_coded=not isinstance(parts.get("host"), Environment))
    for part, value in parts.items():
        for one in names_of(value)[:1]:
            address.names["user" if part == "username" else part] = one.name
    host, port = known(parts.get("host", "")), known(parts.get("port", 6379))
    if isinstance(host, str):
        address.host = of_url(host).host if "://" in host else host
    if isinstance(port, int | str):
        address.port = str(port)
    address.has_password = "password" in parts
    return address


def of_url(text: str) -> Address:
    """An address from a URL, or from host:port."""
    try:
        parts = urlsplit(text if "://" in text else f"redis://{text}")
        return Address(host=parts.hostname or "", port=str(parts.port or 6379), has_password=bool(parts.password))
    except ValueError:
        return Address()


def find_files(sources: Sources, found: Inspection, scope: Scope) -> None:
    """Static files and uploads."""
    static, media = known(scope.values.get("STATIC_URL")), known(scope.values.get("MEDIA_URL"))
    found.static_url = slashed(static) if isinstance(static, str) and static and "://" not in static else ""
    found.media_url = slashed(media) if isinstance(media, str) and media and "://" not in media else ""
    root = scope.values.get("STATIC_ROOT")
    if root not in (None, "", UNKNOWN) or isinstance(root, Environment):
        path = known(root)
        found.static_root = (
            inside(sources, path)
            if isinstance(path, str | Path)
            else str(names_of(root)[0].name if names_of(root) else "set")
        )
    uploads = scope.values.get("MEDIA_ROOT")
    if uploads not in (None, "", UNKNOWN):
        path = known(uploads)
        if isinstance(path, str | Path) and str(path):
            found.media = inside(sources, path)
        if names := names_of(uploads):
            found.media_name = names[0].name
            if isinstance(uploads, Joined):
                found.media_below = "/".join(part.strip("/") for part in uploads.parts if isinstance(part, str))


def find_fixed(found: Inspection, scope: Scope) -> None:
    """What the code fixes and the environment cannot change; for DEBUG, the variable that can turn it off, if any."""
    values = scope.values
    apps = values.get("INSTALLED_APPS")
    found.apps = [one for one in apps if isinstance(one, str)] if isinstance(apps, list | tuple) else []
    found.collects = "django.contrib.staticfiles" in found.apps and values.get("STATIC_URL") is not None
    hosts, debug = values.get("ALLOWED_HOSTS"), values.get("DEBUG", False)
    fixed = {
        "ALLOWED_HOSTS": not isinstance(hosts, list | tuple) or "*" not in hosts or found.token.by_hosts,
        "SECRET_KEY": isinstance(values.get("SECRET_KEY"), str) and values["SECRET_KEY"] != "",
        "STATIC_ROOT": not found.static_root,
    }
    if isinstance(hosts, list | tuple):
        found.hosts_fixed = [one for one in hosts if isinstance(one, str)]
        found.token.by_hosts = found.token.by_hosts and "*" in hosts
    if isinstance(debug, Environment) and off(debug) is not None:
        found.debug = debug
        found.debug_place = scope.places.get("DEBUG")
    elif debug is not False and debug is not None:
        found.fixed["DEBUG"] = scope.places.get("DEBUG") or found.settings_place or Place("")
        found.debug_shows = debug is True
    for name, is_fixed in fixed.items():
        value = values.get(name)
        if is_fixed and not names_of(value) and value is not UNKNOWN and not isinstance(value, Call):
            found.fixed[name] = scope.places.get(name) or found.settings_place or Place("")
