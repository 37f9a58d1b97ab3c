"""What a project's applications need and its lists do not bring: Python packages, Debian packages, migrations."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection

from packaging.utils import canonicalize_name

from ..code.files import Sources
from ..code.scope import Scope
from ..code.values import Place
from ..requirements.declared import imported, package_of
from ..requirements.errors import RequirementsError
from ..requirements.merged import Reader
from ..text.commands import playbook_name
from .findings import Inspection

#: Applications and imports that come with others.
TOGETHER = {
    "django": "django", "asgiref": "django", "sqlparse": "django", "channels": "channels", "daphne": "daphne",
    "twisted": "daphne", "autobahn": "daphne", "redis": "channels-redis", "msgpack": "channels-redis",
    "kombu": "celery", "dateutil": "celery",
}  # fmt: skip
GIS = ["binutils", "gdal-bin", "libproj-dev"]


def find_apps(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Find packages that applications and settings need, GeoDjango's libraries, and models without migrations."""
    find_missing(sources, found, scope)
    find_geography(found, scope)
    find_migrations(sources, found, scope)


def find_missing(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Packages that no list names, each with where it is needed."""
    needs = found.dependencies
    if not needs.files or not needs.asked:
        return
    wanted: dict[str, Place | None] = {}
    place = scope.places.get("INSTALLED_APPS") if scope else None
    for app in found.apps:
        wanted.setdefault(app.partition(".")[0], place)
    for path in sources.evaluated():
        tree = sources.tree(path) if path.suffix == ".py" else None
        for node in tree.body if tree else []:
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                wanted.setdefault(name.partition(".")[0], sources.place(path, node))
    asked = {canonicalize_name(name) for name in needs.asked}
    brought = installed(sources, found)
    if brought is not None and (idle := asked - brought) and needs.resolved:
        # The lock holds more than pyproject.toml asks for. The rest is not installed.
        asked = asked & brought
        for name, imported_at in imported(sources).items():
            if canonicalize_name(package_of(name).partition("[")[0]) in idle:
                wanted.setdefault(name, imported_at)
        if found.layer.kind in ("core", "pubsub"):
            wanted.setdefault("channels_redis", found.layer.place)
    for name, where in wanted.items():
        package = package_of(name)
        if not package or sources.module(name):
            continue
        bare = canonicalize_name(package.partition("[")[0])
        if {bare, f"{bare}-binary", TOGETHER.get(name, bare)} & asked or bare in needs.missing:
            continue
        locked = needs.asked.get(bare)
        needs.missing[bare] = package = f"{package}{locked.specifier if locked and needs.resolved else ''}"
        text = f"{name} is used, and {needs.files[0]} does not bring {package}"
        if locked and needs.resolved:
            text = f"{name} is used, and {needs.files[0]} has {package}, for which pyproject.toml does not ask"
        found.note("warning", where, text, "release_packages in the inventory does.")
    find_drivers(found, asked)


def installed(sources: Sources, found: Inspection) -> set[str] | None:
    """The bare names of the packages that a deploy takes from the lists; None if it could not read them."""
    near = {path for path in sources.files if path.suffix in (".txt", ".toml", ".lock", ".in", ".pip")}
    contents = {sources.relative(path): sources.content(path) for path in near}
    reader = Reader(contents, found.backend)
    try:
        for entry in found.dependencies.files:
            reader.read(entry)
    except RequirementsError:
        return None
    names = (re.match(r"[A-Za-z0-9][\w.-]*", line) for line in reader.needs.lines)
    return {canonicalize_name(one[0]) for one in names if one}


def find_drivers(found: Inspection, asked: Collection[str]) -> None:
    """Drivers that Django and Celery import by themselves."""
    needs = found.dependencies
    psycopg = {"psycopg", "psycopg-binary", "psycopg2", "psycopg2-binary"}
    if found.database.kind == "postgresql" and psycopg.isdisjoint({*asked, *needs.missing}):
        django = needs.asked.get("django")
        old = django and django.version and django.version.release[:2] < (4, 2)
        needs.missing["psycopg"] = "psycopg2-binary" if old else "psycopg[binary]"
    if found.layer.kind in ("core", "pubsub") and {"channels-redis", "channels-rabbitmq"}.isdisjoint(asked):
        needs.missing.setdefault("channels-redis", "channels-redis")
    if (found.brokers or found.tasks.broker) and "celery" in asked and not ("kombu" in asked and needs.resolved):
        # Each release of its transport wants other versions of redis-py, and only this extra says which.
        needs.missing.setdefault("kombu", "kombu[redis]")


def find_geography(found: Inspection, scope: Scope | None) -> None:
    """GeoDjango, which loads libraries of the system, and PostGIS in its database."""
    engines = [one.engine for one in (found.database, *found.further.values())]
    gis = any(app.startswith("django.contrib.gis") for app in found.apps) or any(".gis." in one for one in engines)
    if not gis:
        return
    needs = found.dependencies
    needs.system = sorted({*needs.system, *GIS})
    place = scope.places.get("INSTALLED_APPS") if scope else None
    found.note("notice", place, "GeoDjango loads GDAL, GEOS and PROJ", "release_system_packages has them.")
    if any("postgis" in one for one in engines):
        found.postgis = True
        needs.system = sorted({*needs.system, "postgresql-postgis"})
        fix = f"Run {playbook_name('provision')}, then the command that the inventory has beside postgresql_password."
        text = "PostGIS has to be made in the database by PostgreSQL's own administrator, before the first deploy"
        found.note("warning", found.database.place, text, fix)


def find_migrations(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Applications of the project whose models have no migrations, so they get no tables."""
    user = scope.values.get("AUTH_USER_MODEL") if scope else None
    label = user.partition(".")[0] if isinstance(user, str) else ""
    for app in found.apps:
        name = app.partition(".apps.")[0]
        file = sources.module(name)
        if not file:
            continue
        folder = file.parent if file.name == "__init__.py" else file
        models = folder / "models.py"
        tree = sources.tree(models) if models.is_file() else None
        if not tree or not any(isinstance(node, ast.ClassDef) and node.bases for node in tree.body):
            continue
        migrations = folder / "migrations"
        if any(path.name != "__init__.py" for path in migrations.glob("*.py")):
            continue
        last = name.rpartition(".")[2]
        fix = f"python manage.py makemigrations {last}, and commit what it makes."
        if last == label:
            text = f"AUTH_USER_MODEL is {user}, and {last} has no migrations: there will be no table of users"
            found.note("error", sources.place(models), text, fix)
        else:
            text = f"the models of {last} have no migrations: there will be no tables for them"
            found.note("warning", sources.place(models), text, fix)
