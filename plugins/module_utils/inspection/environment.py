"""What a project reads from its environment and from files, and what else it runs."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

from ..code import reads
from ..code.files import Sources
from ..code.scope import Scope
from ..code.values import NEEDED, Route, known, names_of
from ..text.secrets import is_secret_name, is_store_address
from .findings import Inspection, Name, slashed
from .settings import role_of

NOT_THE_PROJECTS = {
    "DJANGO_SETTINGS_MODULE",
    "ASGI_GENERATION",
    "ASGI_INSTANCE",
    "PATH",
    "HOME",
    "USER",
    "PWD",
    "PYTHONPATH",
    "HOSTNAME",
    "LANG",
    "TZ",
}
HEALTH = re.compile(
    r"\^?(api/)?(v\d/)?(health|healthz|health[-_]?check|ping|livez?|readyz?|alive|status)/?\$?$", re.IGNORECASE
)


def find_names(sources: Sources, found: Inspection, settings_files: list[Path], scope: Scope | None) -> None:
    """Every environment variable that the backend reads, settings first, and what the important ones are for."""
    unused = unused_settings(sources, settings_files)
    for path in dict.fromkeys([*settings_files, *sources.python()]):
        if path in unused or path.suffix != ".py" or path.name == "manage.py":
            continue
        for read in reads.reads(sources, path):
            if read.value.name in NOT_THE_PROJECTS or not re.fullmatch(r"[A-Za-z_]\w*", read.value.name):
                continue
            name = found.names.get(read.value.name)
            if name is None:
                secret = is_secret_name(read.value.name, "code") or is_store_address(read.value.name)
                found.names[read.value.name] = Name(read.value.name, read.value, [read.place], secret)
                continue
            if read.place not in name.places:
                name.places.append(read.place)
            if read.value.default is NEEDED or len(read.value.how) > len(name.value.how):
                name.value = replace(
                    read.value,
                    default=NEEDED if NEEDED in (read.value.default, name.value.default) else read.value.default,
                )
    found.choices = sources.choices
    set_purposes(found, scope)


def unused_settings(sources: Sources, used: list[Path]) -> set[Path]:
    """Settings modules that are meant for other places than the chosen one."""
    folders = {path.parent for path in used if path.suffix == ".py"}
    found = set()
    for path in sources.files:
        if path.suffix == ".py" and path.parent in folders and path not in used:
            tree = sources.tree(path)
            names = {target.id for node in (tree.body if tree else []) if isinstance(node, ast.Assign)
                     for target in node.targets if isinstance(target, ast.Name)}  # fmt: skip
            if {"DEBUG", "DATABASES", "INSTALLED_APPS", "CHANNEL_LAYERS", "ALLOWED_HOSTS"} & names:
                found.add(path)
    return found


def set_purposes(found: Inspection, scope: Scope | None) -> None:
    """What a variable is for, if that decides which value is written for it."""
    values = scope.values if scope else {}
    for setting, purpose in (("SECRET_KEY", "secret_key"), ("DEBUG", "debug"), ("ALLOWED_HOSTS", "hosts"),
                             ("CSRF_TRUSTED_ORIGINS", "origins"), ("CORS_ALLOWED_ORIGINS", "origins")):  # fmt: skip
        for one in names_of(values.get(setting)):
            found.purposes.setdefault(one.name, purpose)
    for address in found.layer.addresses:
        for role, name in address.names.items():
            found.purposes[name] = f"redis_{role}"
    for role, name in found.database.names.items():
        found.purposes[name] = f"database_{role}"
    for alias, database in found.further.items():
        for role, name in database.names.items() if database.kind == "sqlite" else ():
            found.purposes.setdefault(name, f"database_{role}@{alias}")
    if found.media_name:
        found.purposes.setdefault(found.media_name, "media_root")
    for one in names_of(values.get("STATIC_ROOT")):
        found.purposes.setdefault(one.name, "static_root")
    for setting, value in values.items():
        if not re.search(r"BROKER|CELERY|CACHES|RQ_QUEUES|HUEY|Q_CLUSTER|RESULT_BACKEND|SESSION_REDIS", setting):
            continue
        for one in names_of(value):
            default = known(one)
            about = f"{one.name} {default if isinstance(default, str) else ''}".lower()
            if "amqp" in about or "rabbit" in about:
                found.purposes.setdefault(one.name, "amqp")
            elif one.how[-1:] == ("url",) or re.search(r"redis|broker|url|result", about):
                found.brokers.append(one.name)
                found.purposes.setdefault(
                    one.name, f"broker_{role_of(one.name)}" if "://" not in about else "broker_url"
                )
    for each in found.names.values():
        if each.name in found.purposes and found.purposes[each.name] in (
            "secret_key",
            "redis_password",
            "database_password",
        ):
            each.secret = True
        if found.purposes.get(each.name, "").endswith("_url"):
            each.secret = True


def installed_apps(scope: Scope | None) -> list[str]:
    """INSTALLED_APPS, as far as its entries can be read."""
    value = scope.values.get("INSTALLED_APPS") if scope else None
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def find_token(sources: Sources, found: Inspection) -> None:
    """How a handshake is authenticated: by a token in the query or the path, a command that makes one, or a session."""
    token = found.token
    for path in sources.python():
        text = sources.text(path)
        if re.search(r"AuthMiddlewareStack|SessionMiddlewareStack", text):
            token.session = True
        if "query_string" in text and not token.key:
            for number, line in enumerate(text.splitlines(), 1):
                if match := re.search(
                    r"""(?:get\(\s*|\[\s*)b?["'](\w*(?:token|jwt|access|auth|key)\w*)["']""", line, re.IGNORECASE
                ):
                    token.key, token.place = match[1], sources.place(path, number)
                    break
                if match := re.search(r"""["']?(\w*(?:token|jwt))=["']?""", line, re.IGNORECASE):
                    token.key, token.place = match[1], sources.place(path, number)
                    break
        if path.parent.name == "commands" and re.fullmatch(r"\w*token\w*", path.stem) and not token.command:
            token.command, token.expired = command_of(sources, path)
    token.simplejwt = "djangorestframework-simplejwt" in found.dependencies.asked
    if not token.command and token.simplejwt:
        token.command = []


def command_of(sources: Sources, path: Path) -> tuple[list[str], list[str]]:
    """A management command that prints a token, with its required arguments; the same for an expired token."""
    command, expired = (["python", "manage.py", path.stem] for _ in range(2))
    tree = sources.tree(path)
    lifetime = False
    for node in ast.walk(tree) if tree else ():
        if not (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
        ):
            continue
        flag = next(
            (one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)), ""
        )
        options = {one.arg: one.value for one in node.keywords}
        must, kind = options.get("required"), options.get("type")
        required = isinstance(must, ast.Constant) and bool(must.value)
        number = isinstance(kind, ast.Name) and kind.id in ("int", "float")
        if not re.fullmatch(r"-{0,2}\w[\w-]*", flag):
            continue
        if re.search(r"ttl|lifetime|expir|seconds|valid|age", flag) and (number or required):
            lifetime = True
            command += [flag, "300"] if flag.startswith("-") else ["300"]
            expired += [flag, "-60"] if flag.startswith("-") else ["-60"]
        elif required or not flag.startswith("-"):
            value = "1" if number else "proof"
            for one in (command, expired):
                one += [flag, value] if flag.startswith("-") else [value]
    return command, expired if lifetime else []


def find_health(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """A plain HTTP path that answers with a status below 400: a health check, else the page or the admin's login."""
    conf = known(scope.values.get("ROOT_URLCONF")) if scope else None
    file = sources.module(conf) if isinstance(conf, str) else None
    found.urlconf = conf if isinstance(conf, str) and file and re.fullmatch(r"[\w.]+", conf) else ""
    routes = sources.scope(file).values.get("urlpatterns") if file and file.suffix == ".py" else None
    patterns = [one.pattern for one in routes if isinstance(one, Route)] if isinstance(routes, list | tuple) else []
    for pattern in patterns:
        if HEALTH.match(pattern):
            found.health = slashed(pattern.strip("^$"))
            return
    if any(pattern in ("", "^$") for pattern in patterns):
        found.health = "/"
    elif any(pattern.strip("^") == "admin/" for pattern in patterns):
        found.health = "/admin/login/"
