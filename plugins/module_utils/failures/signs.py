"""Errors of projects, their processes and the gate when a release cannot serve, and what to change. Controller only."""

from __future__ import annotations

import os
import re

from ..requirements.declared import PACKAGES
from ..text.secrets import is_secret_name
from .table import Given, Matches, listed, row

#: Modules that came with Python until some version, or with setuptools.
GONE = {
    "pkg_resources": ("release_packages", 'release_packages: ["setuptools<81"]'),
    "setuptools": ("release_packages", 'release_packages: ["setuptools<81"]'),
    "distutils": ("release_packages", 'release_packages: ["setuptools<81"]'),
    **dict.fromkeys(("imp", "asyncore", "asynchat", "smtpd"),
                    ("release_python", 'release_python: "3.11", with release_python_download: true on Debian 13')),
    **dict.fromkeys(("cgi", "crypt", "telnetlib", "pipes", "imghdr", "audioop"),
                    ("release_python", 'release_python: "3.12" and release_python_download: true')),
    "tomllib": ("release_python", 'release_python: "3.11"'),
}  # fmt: skip
#: Debian packages by the libraries that Python packages load at run time.
LIBRARIES = {
    "gdal": ["gdal-bin"], "geos": ["gdal-bin"], "geos_c": ["gdal-bin"], "proj": ["gdal-bin"],
    "spatialite": ["libsqlite3-mod-spatialite"], "magic": ["libmagic1"], "pq": ["libpq5"], "gl": ["libgl1"],
    "glib-2.0": ["libglib2.0-0"], "gthread-2.0": ["libglib2.0-0"], "gobject-2.0": ["libglib2.0-0"],
    "pango-1.0": ["libpango-1.0-0", "libpangoft2-1.0-0"], "pango-1.0-0": ["libpango-1.0-0", "libpangoft2-1.0-0"],
    "gobject-2.0-0": ["libpango-1.0-0", "libpangoft2-1.0-0"], "cairo": ["libcairo2"], "cairo-2": ["libcairo2"],
    "mysqlclient": ["libmariadb3"], "mariadb": ["libmariadb3"], "xmlsec1": ["libxmlsec1-openssl"],
    "zbar": ["libzbar0"], "sndfile": ["libsndfile1"], "gomp": ["libgomp1"], "odbc": ["unixodbc"],
    "ldap": ["libldap-common"], "ffi": ["libffi8"], "xslt": ["libxslt1.1"], "xml2": ["libxml2"],
}  # fmt: skip
IN_CODE = r"/srv/[\w-]+/(?:releases/[^/'\"\s]+|instances/[^/'\"\s]+|generations/[^/'\"\s]+/code)/"
ABSENT = (
    r"Set the ([A-Za-z_]\w*) environment variable|^(?:[\w.]+: )?([A-Za-z_]\w*) not found\. Declare it as envvar|"
    r'Environment variable "([A-Za-z_]\w*)" not set|'
    r"^KeyError: '([A-Z][A-Z0-9_]{2,})'|^([A-Za-z_]\w*)\n  Field required"
)


def kept(value: str) -> str:
    """Where a value of the environment belongs."""
    # Any address: one that a project insists on usually contains a password.
    secret = is_secret_name(value, "environment") or re.search(r"_UR[LI]$", value)
    return "release_secrets" if secret else "release_environment"


def environment(matches: Matches, given: Given) -> tuple[str, str]:
    """Names that the project reads from its environment and that are missing."""
    names = list(dict.fromkeys(next(filter(None, one.groups())) for one in matches))
    names = [name.upper() if "Field required" in matches[0][0] else name for name in names]
    parts = []
    for variable in dict.fromkeys(map(kept, names)):
        values = [
            f'{name}: "{{{{ vault_{name.lower()} }}}}"' if variable == "release_secrets" else f'{name}: "…"'
            for name in names
            if kept(name) == variable
        ]
        parts.append(f"{variable}: {{{', '.join(values)}}}")
    are = "it is" if len(names) == 1 else "they are"
    return kept(names[0]), (
        f"The project reads {', '.join(names)} from its environment, where {are} not. Write {' and '.join(parts)}"
    )


def own(given: Given) -> dict[str, str]:
    """The project's own modules that the inventory names, each with its variable."""
    paths = {name: str(given.get(name) or "").partition(":")[0] for name in
             ("release_settings_module", "asgi_application", "asgi_wsgi_application")}  # fmt: skip
    return {path: name for name, path in paths.items() if path}


def missing_module(matches: Matches, given: Given) -> tuple[str, str] | None:
    """A module that cannot be imported: a package's, the project's own, or one that Python no longer has."""
    name = matches[0][1]
    top, mine = name.partition(".")[0], own(given)
    if name in mine or any(path.startswith(f"{name}.") for path in mine):
        variable = mine.get(name) or next(mine[path] for path in mine if path.startswith(f"{name}."))
        value = next(path for path in mine if mine[path] == variable)
        return (variable if name in mine and "." in name else "release_backend"), (
            f"There is no module {name} in {given.get('release_backend') or 'the project'} (release_backend). Correct "
            f"{variable}, which is {value}, or release_backend, the folder in which Python looks for it. If git "
            "ignores the file, provide it with release_files"
        )
    if top in GONE and "." not in name.removeprefix("distutils."):
        variable, write = GONE[top]
        return variable, f"Python no longer includes the module {top}. Write {write}"
    if name != top:
        path = name.replace(".", "/") + ".py"
        if top in PACKAGES or top in ("django", "redis", "celery", "kombu", "channels"):
            return "release_constraints", (
                f"The installed version of {top} has no {name}; the project needs another version. Name one in "
                "release_constraints"
            )
        return "release_files", (
            f"The source has no {name}. If git ignores that file on purpose, provide it: release_files: [{{path: "
            f"{path}, content: …}}]; otherwise look for its name in the project"
        )
    if any(path.partition(".")[0] == top for path in mine):
        return "release_backend", f"Python finds no {top} in {given.get('release_backend')}. Correct release_backend"
    package = PACKAGES.get(top, top.replace("_", "-"))
    return "release_packages", (
        f"No installed package provides the module {top}. Write release_packages: "
        f"{listed([package], given, 'release_packages')}, or add it to the project's requirements. If {top} is part of "
        "the project, correct release_backend"
    )


def other_version(matches: Matches, given: Given) -> tuple[str, str]:
    """A name that a package no longer has, or does not have yet."""
    name, module = matches[0][1], matches[0][2]
    top = module.partition(".")[0]
    if top in ("typing", "itertools", "datetime", "asyncio", "enum"):
        return newer_python(matches, given)
    hints = {"ugettext_lazy": "django<4", "ugettext": "django<4", "url": "django<4", "force_text": "django<4",
             "smart_text": "django<4", "is_safe_url": "django<4", "python_2_unicode_compatible": "django<3",
             "Markup": "jinja2<3.1", "escape": "jinja2<3.1", "soft_unicode": "markupsafe<2.1",
             "url_quote": "werkzeug<3"}  # fmt: skip
    package = hints.get(name) or f"{PACKAGES.get(top, top).split('[')[0].lower().replace('_', '-')}<…"
    return "release_constraints", (
        f"Something imports {name} from {top}, but the installed version of {top} does not have it. Name a version "
        f'that does: release_constraints: ["{package}"]'
    )


def newer_python(matches: Matches, given: Given) -> tuple[str, str]:
    """Code in a syntax that this Python does not have yet."""
    return "release_python", (
        f"The code needs a newer Python than {given.get('python') or 'the installed one'}. Write the version that its "
        'authors use, such as release_python: "3.12", with release_python_download: true if the host does not have it'
    )


def relative(path: str, given: Given) -> str:
    """The relative path from release_backend to a path in a release's code; empty for one elsewhere."""
    found = re.match(IN_CODE, path)
    if not found:
        return ""
    rest = path[found.end() :]
    return os.path.relpath(rest, str(given.get("release_backend") or ".")) if "/releases/" in found[0] else rest


def written(matches: Matches, given: Given) -> str | None:
    """A file or folder that the project may not write to."""
    path = next((one for match in matches for one in match.groups() if one), "")
    way = relative(path, given)
    app = given.get("release_app") or "APP"
    if path and (not way or way.startswith("..")):
        if path.startswith((f"/srv/{app}/shared", "/usr", "/lib", "/proc", "/sys")) or way.startswith(".."):
            return None
        return (
            f"The project may not write to {path}. Set its path in release_environment to one in /srv/{app}/shared/, "
            "where it may write"
        )
    entry = way.partition("/")[0] + "/" if "/" in way or not os.path.splitext(way)[1] else way
    entry = entry if way else "db.sqlite3"
    return (
        f"The project writes {way or 'its SQLite file'} next to its code, which belongs to root and is replaced by "
        f"each release. Write release_shared_paths: {listed([entry], given, 'release_shared_paths')}"
    )


def read(matches: Matches, given: Given) -> tuple[str, str] | None:
    """A file beside the code that the source does not have."""
    way = relative(matches[0][1], given)
    if not way or way == "manage.py":
        return None
    if re.search(r"\.log$|(^|/)logs?/", way):
        return "release_shared_paths", str(written(matches, given))
    return "release_files", (
        f"The project reads {way}, which is not in its source. Provide it: release_files: "
        f"[{{path: {way}, template: …}}]"
    )


def table(matches: Matches, given: Given) -> tuple[str, str]:
    """A table that the database does not have."""
    name = next(filter(None, matches[0].groups()))
    if str(given.get("release_migrate", True)).lower() in ("false", "no"):
        return "release_migrate", f"The database has no table {name}, and release_migrate is false. Write true"
    app = name.strip("\"'").partition("_")[0]
    return "release_hooks_before_migrate", (
        f"The database has no table {name} although migrations were run. Either {app} ships no migrations: make them "
        f"(manage.py makemigrations {app}) and commit them; or settings ask the database when they are imported; or "
        "the project uses another database than it migrates"
    )


def library(matches: Matches, given: Given) -> tuple[str, str] | None:
    """A library of the system that is not there."""
    for match in matches:
        name = next(filter(None, match.groups()), "").lower()
        name = re.sub(r"^lib(?!rary)|\.so.*$", "", name)
        if packages := LIBRARIES.get(name):
            return "release_system_packages", (
                f"The host has no library {name}. Write release_system_packages: "
                f"{listed(packages, given, 'release_system_packages')}"
            )
        if name:
            return "release_system_packages", (
                f"The host has no library {name}. Name the Debian package that has it in release_system_packages; "
                "`apt-file search` tells which one it is"
            )
    return None


def websockets_only(matches: Matches, given: Given) -> str:
    """An application that answers no plain HTTP."""
    package = str(given.get("asgi_application") or "").partition(":")[0].rpartition(".")[0]
    wsgi = f"{package}.wsgi:application" if package else "wsgi:application"
    return (
        'The ASGI application accepts WebSockets only (it has no "http"). Have gunicorn answer plain HTTP: asgi_http: '
        f"wsgi, and asgi_wsgi_application: {wsgi}"
    )


def unknown_host(matches: Matches, given: Given) -> str | None:
    """A host's name that nobody knows, such as one from a compose file."""
    name = next(filter(None, matches[0].groups()))
    if name in ("localhost",):
        return None
    return (
        f"The host does not know the name {name}, which may come from a compose file. Give the project the right "
        f"address in its environment. If the name is in its code, write base_host_aliases: {{{name}: 127.0.0.1}}"
    )


#: With braces as str.format() has them.
REDIS_URL = '{{REDIS_URL: "{{{{ redis_url }}}}"}}'
RUN = (
    # -- names of the environment and settings
    row(ABSENT, "release_environment", environment, "environment"),
    row(r"The SECRET_KEY setting must not be empty", "release_secrets",
        "The settings have no SECRET_KEY. Set it under the name that they read: release_secrets: "
        '{{SECRET_KEY: "{{{{ vault_secret_key }}}}"}}', "environment"),
    row(r"You must set settings\.ALLOWED_HOSTS|Invalid HTTP_HOST header: '([^']*)'|DisallowedHost",
        "release_environment",
        "The project does not know the host name {1}. Add it under the name that its settings read, such as "
        "release_environment: {{ALLOWED_HOSTS: \"www.example.org,localhost\"}}; or set handshake_host to one that it "
        "knows", "hosts"),
    row(r"Requested setting INSTALLED_APPS, but settings are not configured", "asgi_application",
        "The ASGI module imports models before Django has settings. In it, set DJANGO_SETTINGS_MODULE and call "
        "get_asgi_application() before the routing is imported; or provide a module that does so with release_files, "
        "and name it in asgi_application", "settings"),
    row(r"but settings are not configured\. You must either define the environment variable DJANGO_SETTINGS_MODULE",
        "release_settings_module",
        "Nothing names the project's settings. Write release_settings_module: mysite.settings", "settings"),
    row(r"settings\.DATABASES is improperly configured", "release_migrate",
        "The project has no database. Write release_migrate: false; or, if it should have one, set what its settings "
        "read (release_secrets: {{DATABASE_URL: …}})"),
    row(r"Environment variable \"(\w+)\" invalid|invalid literal for (?:int|float)\(\)|Invalid truth value|"
        r"Not a valid (?:boolean|integer)|Scheme '([^']*)' is unknown", "release_environment",
        "A value of the environment has the wrong type for the project: {0}. Correct it in release_environment "
        "or release_secrets", "environment", vague=True),
    row(r"'NoneType' object has no attribute '(?:split|strip|lower|replace)'|must be a string.*not 'NoneType'",
        "release_environment",
        "The settings read a name of the environment that is not there: the line above the error says which one. Add "
        "it to release_environment or release_secrets", "environment", vague=True),
    # -- Python and its packages
    row(r"SyntaxError: f-string|SyntaxError: expected 'except'|^ {4}type \w+ = .*\n.*\nSyntaxError", "release_python",
        newer_python),
    row(r"cannot import name '(\w+)' from '([\w.]+)'", "release_constraints", other_version),
    row(r"No module named '([\w.]+)'", "release_packages", missing_module, "module"),
    row(r"Redis transport requires redis-py versions ([\d.]+) or later", "release_constraints",
        'Celery\'s kombu wants redis-py {1} or newer, and another package an older one. Write release_constraints: '
        '["redis>={1}"], or an older kombu: ["kombu<5.7"]'),
    row(r"Timeout reading from (?:socket|\S+:\d+)", "release_constraints",
        'redis-py 8 ends sockets that are silent for 5 s under the core channel layer. Write release_constraints: '
        '["redis<8"]', vague=True),
    row(r"Could not find the (GDAL|GEOS) library|lib([\w.+-]+?)\.so[\w.]*: cannot open shared object|"
        r"cannot load library '(?:lib)?([\w.+-]+?)(?:\.so[\w.]*)?'|failed to find lib(magic)|"
        r"no library called \"([^\"]+)\"",
        "release_system_packages", library),
    row(r"no pq wrapper available|libpq library not found", "release_packages",
        'psycopg finds no libpq. Write release_packages: ["psycopg[binary]"]'),
    row(r"could not open extension control file .*postgis|type \"geometry\" does not exist|"
        r"extension \"postgis\" is not available", "base_extra_packages",
        "The database has no PostGIS. On the database's host, install it (base_extra_packages: "
        "[postgresql-postgis]) and run once, as postgres: psql DATABASE -c 'CREATE EXTENSION postgis'"),
    # -- what the project's application is
    row(r"No application configured for scope type 'http'", "asgi_http",
        websockets_only),
    row(r"No application configured for scope type 'websocket'|Django can only handle ASGI/HTTP connections",
        "asgi_application",
        "The object that asgi_application names does not accept WebSockets: name the ProtocolTypeRouter that has a "
        "\"websocket\""),
    row(r"No route found for path '([^']*)'", "handshake_path",
        "The project has no WebSocket route /{1}. Write one that it has: handshake_path: /ws/…/", "route"),
    row(r"module '([\w.]+)' has no attribute '(\w+)'", "asgi_application",
        "{1} has no {2}. If it is the ASGI module, write asgi_application: {1}:NAME, with the name that it assigns",
        vague=True),
    row(r"Apps aren't loaded yet", "asgi_application",
        "The ASGI module imports models before Django is set up. In it, call get_asgi_application() before the routing "
        "is imported; or provide a module that does so with release_files, and name it in asgi_application"),
    row(r"missing 2 required positional arguments: 'receive' and 'send'", "release_constraints",
        "The routes name consumers as Channels 2 does. Write .as_asgi() behind each, or release_constraints: "
        '["channels<3"]'),
    row(r"took longer than asgi_start_seconds", "asgi_start_seconds",
        "The project waits for something when it is imported. Find out for what, or increase asgi_start_seconds"),
    # -- files
    row(rf"(?:Permission denied|Read-only file system): '({IN_CODE}[^']+|/[^']+)'|"
        r"attempt to write a readonly database|unable to open database file", "release_shared_paths", written),
    row(rf"No such file or directory: '({IN_CODE}[^']+)'", "release_files", read),
    row(r"Missing staticfiles manifest entry for '([^']+)'", "release_collectstatic",
        "A page names {1}, which is not among the collected static files. Correct its name; "
        "release_collectstatic has to be true, and handshake_health_path may name a page without it"),
    # -- databases
    row(r"no such table: (\S+)|relation (\"[^\"]+\") does not exist|Table '([^']+)' doesn't exist", "release_migrate",
        table),
    row(r"password authentication failed for user \"([^\"]+)\"|role \"([^\"]+)\" does not exist|"
        r"database \"([^\"]+)\" does not exist|Access denied for user '([^']+)'", "release_secrets",
        "The database does not let the project in ({0}). With a host in group database, write its address under the "
        'name that the settings read: release_secrets: {{DATABASE_URL: "{{{{ postgresql_url }}}}"}}', "database"),
    row(r"(?:failed to resolve host|could not translate host name) ['\"]([^'\"]+)['\"]|"
        r"Error -[235] connecting to ([\w.-]+):\d+|Unknown MySQL server host '([^']+)'|"
        r"Cannot connect to \w+://(?:\*\*\*@)?([A-Za-z][\w.-]*)(?::\d+)?\S*: .*(?:Name or service|resolution)",
        "base_host_aliases", unknown_host, "reach"),
    row(r"connection to server (?:at|on socket) \"([^\"]+)\".*failed: (?:Connection refused|No such file)|"
        r"could not connect to server|Can't connect to (?:local )?(?:MySQL )?server", "release_secrets",
        "No database answers at {1}. Put a host into group database, and write release_secrets: "
        '{{DATABASE_URL: "{{{{ postgresql_url }}}}"}} under the name that the settings read; or correct its address',
        "database"),
    # -- Redis and brokers
    row(r"Cannot run with encryption without 'cryptography' installed", "release_packages",
        "The channel layer's symmetric_encryption_keys need a package. Write release_packages: [cryptography], or add "
        "it to the project's requirements"),
    row(r"connecting to ([\w.:\[\]-]+?)\. .*?(?i:certificate verify failed|WRONG_VERSION_NUMBER)", "release_secrets",
        "Redis at {1} has no certificate that this project accepts. Write its address under the name that the settings "
        f"read, release_secrets: {REDIS_URL}, and run: ansible-playbook site.yml --tags stores,redis"),
    row(r"SSL error: certificate verify failed|root certificate file \"\S+\" does not exist|no encryption\b",
        "release_secrets",
        "PostgreSQL and the project do not agree on TLS. Write its address under the name that the settings read, "
        'release_secrets: {{DATABASE_URL: "{{{{ postgresql_url }}}}"}}, and run: '
        "ansible-playbook site.yml --tags stores,postgresql"),
    row(r"NOPERM|NoPermissionError|NoPermission\b|has no permissions to", "redis_extra_users",
        "The project uses Redis for more than its channel layer (Celery, a cache, locks, or keys under another prefix "
        "than redis_prefix), but its user has no rights for that. Add a separate user (redis_extra_users), and its "
        "address to release_secrets", "redis"),
    row(r"AuthenticationError|WRONGPASS|NOAUTH|invalid username-password pair|Authentication required",
        "release_secrets",
        "Redis refuses the password. Write its address under the name that the settings read: release_secrets: "
        f"{REDIS_URL}; or redis_anonymous: true, if the address is in the code", "redis"),
    row(r"Error (?:111|99|113) connecting to ([\w.:\[\]-]+?)\.(?:\s|$)", "release_secrets",
        "No Redis answers at {1}. Put a host into group redis, and write its address under the name that the settings "
        f"read: release_secrets: {REDIS_URL}", "redis"),
    row(r"Cannot connect to (amqp\w*://\S+?)[:.,]? ", "release_secrets",
        "No broker answers at {1}. Write the address of one under the name that the settings read (release_secrets). "
        "Celery can use Redis, too", "reach"),
    # -- what the inventory has run
    row(r"token_command failed with", "handshake_token_command",
        "The command that creates a token for the gate failed. Correct handshake_token_command, which runs in the "
        "project's folder and environment"),
    row(r"A command of (release_hooks_\w+) failed", "release_hooks_before_migrate", "Correct it in {1}"),
    row(r"^At: Run the commands (before|after) the switch", "release_hooks_before_switch",
        "Correct the command in release_hooks_{1}_switch"),
    # -- the sandbox
    row(r"(?:MemoryError: )?Cannot allocate write\+execute memory|cannot make segment writable|"
        r"failed to map segment from shared object|cannot enable executable stack|cannot allocate executable memory|"
        r"Unable to allocate section memory|failed to allocate mcode memory|"
        r"mmap\.mmap\([^)]*\)\n(?:.*\^.*\n)?PermissionError: \[Errno 1\d?\]", "asgi_sandbox",
        "The project generates code at run time, which the sandbox forbids ({0}). If no version of the package works "
        "without that, write asgi_sandbox: {{MemoryDenyWriteExecute: false}}", "sandbox"),
    row(r"status=31/SYS|Bad system call", "asgi_sandbox",
        "A process was killed for a system call that its sandbox forbids. If the project needs it, add the call or its "
        "set to the allowed ones: asgi_sandbox: {{SystemCallFilter: [\"@system-service\", …]}}", "sandbox"),
    row(r"Address family not supported by protocol|\[Errno 97\]", "asgi_sandbox",
        "The project opens a socket of a kind that its sandbox forbids. Add it: asgi_sandbox: "
        "{{RestrictAddressFamilies: [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK]}}", "sandbox"),
    row(r"status=2(?:17/USER|18/CAPABILITIES|26/NAMESPACE|28/SECCOMP)|Failed to set up (?:mount|user) namespac\w+",
        "asgi_sandbox",
        "The host does not let systemd make the sandbox ({0}). If asgi_sandbox names a path that does not exist, write "
        "a hyphen before it. In a container, switch off what it does not support: docs/sandbox.md",
        "sandbox"),
    row(r"PermissionError: \[Errno 1\] Operation not permitted|: Operation not permitted$", "asgi_sandbox",
        "A setting of the sandbox may forbid what the project does there. docs/sandbox.md says which setting forbids "
        "what; asgi_sandbox switches one off", "sandbox", vague=True),
    row(r"\bMemoryError\b(?!: Cannot allocate write)|oom-kill|Failed with result 'oom|status=9/KILL|Out of memory",
        "asgi_memory_max",
        "A process ran out of memory. Increase asgi_memory_max if it is set, or lower asgi_processes. Otherwise, the "
        "host is too small"),
    # -- what the gate saw, if nothing says why
    row(r"answered the handshake with 403|closed with code (?:4001|4003|4401|4403)", "handshake_token_command",
        "The project only accepts clients with a valid token that come from its own site. handshake_token_command (or "
        "handshake_token, handshake_headers) and handshake_origin set what the gate sends", "refused", vague=True),
    row(r"answered the handshake with 404", "handshake_path",
        "The project has no WebSocket at handshake_path. Write a path that it has, with the slash at its end",
        "route", vague=True),
    row(r"answered the handshake with 400", "handshake_host",
        "The project may not know the host name of the handshake. Add handshake_host to what its ALLOWED_HOSTS reads, "
        "or set handshake_host to one that it knows", "hosts", vague=True),
    row(r"none of the subprotocols", "handshake_subprotocols",
        "The project accepts none of handshake_subprotocols. Write those that its consumer accepts", vague=True),
    row(r"GET (\S+) was answered with 5\d\d", "handshake_health_path",
        "The page {1} fails. Read the log above. If that page needs more than the gate has, choose another one: "
        "handshake_health_path", vague=True),
    row(r"it hangs before it listens|they? (?:was|were) given \d+ s", "asgi_start_seconds",
        "Nothing listens within asgi_start_seconds. Find out what the project waits for when it starts, or increase "
        "it", vague=True),
)  # fmt: skip
