"""Advice about what would go wrong with a project on a host."""

from __future__ import annotations

import re

from ..code.commands import command_lines
from ..code.files import Sources
from ..code.flags import on_by_default
from ..code.scope import Scope
from ..requirements import declared
from .environment import installed_apps
from .findings import Database, Inspection

FIXED_DAPHNE = "4.2.2"


def advise(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Notes on what would go wrong on a host, or works by itself only on a developer's machine."""
    advise_dependencies(found)
    advise_settings(sources, found, scope)
    advise_layer(found)
    advise_files(sources, found)
    if found.early:
        chain = " → ".join(found.early)
        text = f"models are imported before Django is set up ({chain}): AppRegistryNotReady under daphne alone"
        found.note(
            "warning", found.asgi_place or found.asgi, text, "asgi_application in the inventory works around it."
        )
    if found.sockets and not found.token.origin:
        text = "there is no OriginValidator around the routes: pages of any site may open sockets in a visitor's name"
        found.note(
            "warning",
            found.asgi_place,
            text,
            "AllowedHostsOriginValidator; until then handshake_foreign_origin is empty.",
        )
    if found.sockets and not any(one.called for one in found.sockets):
        text = "no route calls as_asgi() on its consumer, as in Channels 2"
        found.note("warning", found.sockets[0].place, text, "Channels 3 or later needs as_asgi().")
    servers = [
        (place, line) for place, line in command_lines(sources) if re.search(r"runserver|gunicorn|daphne|uvicorn", line)
    ]
    if servers and all(re.search(r"manage\.py\s+runserver", line) for _, line in servers):
        found.note("notice", servers[0][0], "starts runserver, a development server; hosts get daphne", "")
    wsgi = [place for place, line in servers if re.search(r"gunicorn.*wsgi", line) and "uvicorn" not in line]
    if wsgi and not any(re.search(r"daphne|uvicorn", line) for _, line in servers):
        found.note("notice", wsgi[0], "starts gunicorn with WSGI, which has no WebSockets; hosts get daphne", "")


def advise_dependencies(found: Inspection) -> None:
    """Notes on packages."""
    advise_lists(found)
    advise_versions(found)
    advise_drivers(found)


def advise_lists(found: Inspection) -> None:
    """Notes on the files that list packages."""
    needs = found.dependencies
    if not needs.files and not needs.packages:
        found.note(
            "error", found.backend, "no list of packages, and no imports to guess them from", "Write release_packages."
        )
    elif not needs.files and needs.kind != "Pipfile":
        text = "no file lists the project's packages; release_packages is guessed from its imports"
        more = f" Unknown: {', '.join(needs.unknown[:8])}." if needs.unknown else ""
        found.note("warning", found.backend, text, f"Add versions and what is missing.{more}")
    for path in needs.others[:3]:
        found.note(
            "notice",
            path,
            f"lists packages too; {(needs.files or ['release_packages'])[0]} was taken",
            "Correct release_requirements.",
        )
    for path, encoding in needs.encodings.items():
        found.note(
            "notice", path, f"is {encoding.upper()}, as Windows shells write it; it is converted during the deploy", ""
        )
    for one in needs.windows:
        found.note("notice", one.place, f"{one.name} is for Windows or an older Python, and is left out", "")


def advise_versions(found: Inspection) -> None:
    """Notes on packages that everything here needs, and on versions of them that do not work."""
    needs, asked = found.dependencies, found.dependencies.asked
    daphne = asked.get("daphne")
    channels = asked.get("channels")
    if needs.files and not daphne and "daphne" not in (channels.extras if channels else ""):
        text = "daphne is not among the packages; it is installed in addition"
        found.note("warning", needs.files[0], text, "Add daphne to choose its version.")
    if daphne and daphne.version and daphne.version < declared.Version(FIXED_DAPHNE):
        text = f"daphne {daphne.version} has CVE-2026-44545 (unbounded messages) and CVE-2026-44546 (header injection)"
        found.note("warning", daphne.place, text, f"Ask for daphne>={FIXED_DAPHNE}.")
    if channels and channels.version and channels.version.major < 3:
        found.note(
            "error",
            channels.place,
            f"channels {channels.version} is older than 3, which hosts are set up for",
            "Upgrade it.",
        )
    if needs.files and not channels:
        found.note("warning", needs.files[0], "channels is not among the packages", "Add channels.")
    django = asked.get("django")
    if django and django.version and django.version < declared.Version("4.1"):
        text = f"Django {django.version} does not run on Python 3.13, which is Debian 13's"
        found.note("warning", django.place, text, 'Debian 12, or release_python: "3.11".')


def advise_drivers(found: Inspection) -> None:
    """Notes on the packages that connect the project to its database and its channel layer."""
    asked = found.dependencies.asked
    engines = {"postgresql": {"psycopg", "psycopg2", "psycopg2-binary"}, "mysql": {"mysqlclient", "pymysql"}}
    drivers = engines.get(found.database.kind)
    if drivers and asked and not drivers & set(asked):
        text = f"the database is {found.database.kind}, but no package is its driver"
        found.note("warning", found.database.place, text, f"Add one of {', '.join(sorted(drivers))}.")
    if found.layer.kind in ("core", "pubsub") and asked and not {"channels-redis", "channels-rabbitmq"} & set(asked):
        found.note(
            "warning",
            found.layer.place,
            "the channel layer is channels_redis, but no package provides it",
            "Add channels-redis.",
        )


def lets_redis_8_in(found: Inspection) -> bool:
    """Whether an installation may bring redis-py 8, whose timeout closes idle consumers of the core layer."""
    redis, layer = found.dependencies.asked.get("redis"), found.dependencies.asked.get("channels-redis")
    if found.layer.kind != "core" or (not redis and found.dependencies.resolved and not found.dependencies.missing):
        return False
    return (redis.allows("8.0.0") if redis else True) and bool(
        layer or not found.dependencies.files or "channels-redis" in found.dependencies.missing
    )


def advise_settings(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Notes on settings."""
    apps = installed_apps(scope)
    place = scope.places.get("INSTALLED_APPS") if scope else None
    if apps and "daphne" not in apps:
        text = "daphne is not in INSTALLED_APPS, so runserver has no WebSockets (Channels 4); hosts do not need it"
        found.note("notice", place, text, "")
    elif (
        apps
        and "django.contrib.staticfiles" in apps
        and apps.index("daphne") > apps.index("django.contrib.staticfiles")
    ):
        found.note("notice", place, "daphne is not before django.contrib.staticfiles, so runserver is Django's own", "")
    advise_fixed(found)
    debug = found.debug
    if debug and on_by_default(debug) is not False:
        place = found.names[debug.name].places[0] if debug.name in found.names else found.debug_place
        found.note("warning", place, f"DEBUG is on unless {debug.name} says otherwise; the inventory turns it off", "")
    advise_read_files(found)
    for path in [sources.backend / ".env", sources.folder / ".env"]:
        if path.is_file():
            text = "is in the folder; what the inventory says comes first, and git may carry it to the host"
            found.note("notice", sources.relative(path), text, "Keep secrets in the vault, and .env out of git.")
            break


def advise_fixed(found: Inspection) -> None:
    """Notes on settings that the environment cannot change."""
    known_fixes = {
        "DEBUG": (
            "DEBUG is True in the code, and the environment cannot turn it off: errors show settings to visitors"
            if found.debug_shows
            else "it is unclear whether DEBUG is off, and no environment variable is sure to turn it off",
            "warning",
        ),
        "ALLOWED_HOSTS": (
            "ALLOWED_HOSTS allows every host, so AllowedHostsOriginValidator allows pages of any site"
            if found.token.by_hosts and "*" in found.hosts_fixed
            else "ALLOWED_HOSTS is fixed in the code, and does not include your site",
            "warning",
        ),
        "SECRET_KEY": ("SECRET_KEY is in the code: whoever reads it can sign sessions", "warning"),
    }
    for name, (text, level) in known_fixes.items():
        if name in found.fixed:
            found.note(level, found.fixed[name], text, "deployed_settings.py in the inventory changes it.")


def advise_read_files(found: Inspection) -> None:
    """Notes on files that the settings read."""
    for file in found.files_read:
        text = f"the code reads a file that is not in the project: {file.path or 'its path is unknown'}"
        keys = ", ".join(".".join(one) for one in file.keys)
        needed = f" It needs {keys}." if keys else ""
        if file.optional:
            found.note("notice", file.place, f"{text}, if it is there", "")
        elif file.placed:
            found.note("warning", file.place, text, f"release_files puts it on the host.{needed}")
        else:
            where = "Put it onto the host yourself" if file.path else "Put it on the host with release_files"
            found.note("warning", file.place, text, f"{where}.{needed}")


def advise_layer(found: Inspection) -> None:
    """Notes on the channel layer."""
    layer = found.layer
    if layer.kind == "memory":
        text = "the channel layer is in memory: only one process can run, and a restart loses messages"
        found.note("warning", layer.place, text, "channels_redis.pubsub.RedisPubSubChannelLayer.")
    elif layer.kind == "none" and found.sockets:
        found.note("notice", found.settings_place, "there is no channel layer: no message reaches another socket", "")
    elif layer.kind == "other":
        text = f"the channel layer is unknown ({layer.backend or 'it is built at run time'})"
        found.note("warning", layer.place, text, "Make sure that it is in the environment.")
    for address in layer.addresses:
        if not address.hard_coded:
            continue
        where = f"{address.host or 'an address'}:{address.port}"
        if address.host in ("127.0.0.1", "localhost", "::1", ""):
            text = f"the channel layer's Redis is {where} in the code, without a password"
            found.note("warning", layer.place, text, "redis_anonymous: true allows that, on loopback only.")
        else:
            text = f"the channel layer's Redis is {where} in the code, a name of a compose file"
            found.note("warning", layer.place, text, "base_host_aliases gives that name an address.")
    if lets_redis_8_in(found):
        text = "nothing keeps redis-py below 8, whose 5 s timeout closes idle consumers of the core layer"
        asked = found.dependencies.asked.get("redis") or found.dependencies.asked.get("channels-redis")
        found.note(
            "warning",
            asked.place if asked else layer.place,
            text,
            "release_constraints: [redis<8] is in the inventory.",
        )


def advise_sqlite(sources: Sources, found: Inspection, database: Database) -> None:
    """A note on an SQLite file beside the code."""
    there = (sources.backend / database.file).is_file()
    file = f"{database.file}{', which is there' if there else ''}"
    text = f"SQLite is next to the code ({file}), and each release has its own code"
    held = next((database.names[role] for role in ("name", "url", "folder") if role in database.names), "")
    fix = f"{held} points to the shared folder." if held else "release_shared_paths keeps it from release to release."
    found.note("warning", database.place, text, fix)


def advise_files(sources: Sources, found: Inspection) -> None:
    """Notes on files beside the code."""
    database = found.database
    for one in (database, *found.further.values()):
        if one.kind == "sqlite" and one.beside:
            advise_sqlite(sources, found, one)
    if database.kind in ("mysql", "other"):
        text = f"the database is {database.kind}; this bundle installs no server for it"
        found.note("warning", database.place, text, "Set yours in the environment.")
    if database.others:
        text = f"the settings choose between {database.kind} and {', '.join(database.others)}"
        found.note("notice", database.place, text, f"{database.kind} is taken.")
    if found.media and not found.media.startswith("/"):
        fix = "release_shared_paths keeps it from release to release."
        found.note("notice", found.media, "contains uploads, next to the code (MEDIA_ROOT)", fix)
    if not found.static_root:
        text = "there is no STATIC_ROOT, so no static files are collected, and nginx serves none"
        fix = "deployed_settings.py in the inventory sets one." if found.collects else ""
        found.note("notice", found.settings_place, text, fix)
