"""What to change after a failure is told by the words in which uv, Django, Redis and the gate complain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.channels.stack.plugins.module_utils.failures import builds, signs
from ansible_collections.channels.stack.plugins.module_utils.failures import hints as failure_hints

ROOT = Path(__file__).resolve().parents[2]
UV = yaml.safe_load((Path(__file__).parent / "uv_failures.yml").read_text())
GIVEN = {
    "release_app": "shop",
    "release_backend": "server",
    "release_settings_module": "shop.settings",
    "asgi_application": "shop.asgi:application",
    "release_packages": ["gunicorn"],
    "release_shared_paths": ["media/"],
    "python": "3.11.2",
}
CODE = "/srv/shop/releases/0123456789ab.c0ffee/server"


def install(said: str, **given: Any) -> list[tuple[str, str]]:
    """Variables and sentences for what uv said."""
    return [(one.variable, one.write) for one in failure_hints.install_hints(said, {"python": "3.11.2", **given})]


def run(failure: str, log: str = "", **given: Any) -> list[tuple[str, str]]:
    """Variables and sentences for a rejection."""
    return [(one.variable, one.write) for one in failure_hints.run_hints(failure, log, {**GIVEN, **given})]


@pytest.mark.parametrize(
    "case", UV, ids=[case["said"].split("`")[1::2][0] if "`" in case["said"] else None for case in UV]
)
def test_each_way_in_which_an_environment_cannot_be_made(case: dict[str, str]) -> None:
    hints = install(case["said"])
    assert (len(hints), hints[0][0]) == (1, case["variable"])
    assert case["told"] in hints[0][1]


def test_packages_are_added_to_those_that_are_there() -> None:
    ((_, told),) = install(
        "error: Failed to build `hiredis==3.5.0`\nerror: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'",
        release_system_packages=["libpq-dev", "gcc"],
    )
    assert "release_system_packages: [libpq-dev, gcc, python3-dev]" in told


def test_untrusted_and_refusing_indexes() -> None:
    untrusted = "error: Failed to fetch: https://i.example/x/\n  cause: invalid peer certificate: UnknownIssuer"
    assert [variable for variable, _ in install(untrusted)] == ["base_ca_certificates"]
    refusing = (
        "error: Failed to fetch: https://me:s3cr3t@i.example/x/\n  cause: HTTP status client error (401 Unauthorized)"
    )
    assert [variable for variable, _ in install(refusing)] == ["release_index"]
    unreached = "error: Failed to fetch: `https://me:s3cr3t@i.example/x/`\n  cause: client error (Connect)"
    ((_, told),) = install(unreached)
    assert "does not reach i.example." in told and "s3cr3t" not in told


RUNTIME: list[tuple[str, str, str]] = [
    # -- the environment
    ("django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.", "release_secrets",
     'release_secrets: {SECRET_KEY: "{{ vault_secret_key }}"}'),
    ("CommandError: You must set settings.ALLOWED_HOSTS if DEBUG is False.", "release_environment", "ALLOWED_HOSTS:"),
    ("Invalid HTTP_HOST header: 'shop.test'. You may need to add 'shop.test' to ALLOWED_HOSTS.", "release_environment",
     "does not know the host name shop.test"),
    ('  File "<frozen os>", line 679, in __getitem__\nKeyError: \'DATABASE_URL\'', "release_secrets",
     'release_secrets: {DATABASE_URL: "{{ vault_database_url }}"}'),
    ("KeyError: 'SITE_NAME'", "release_environment", 'release_environment: {SITE_NAME: "…"}'),
    ("decouple.UndefinedValueError: SECRET_KEY not found. Declare it as envvar or define a default value.",
     "release_secrets", "{SECRET_KEY:"),
    ("django.core.exceptions.ImproperlyConfigured: Set the PAGE_SIZE environment variable", "release_environment",
     "{PAGE_SIZE:"),
    ('environs.exceptions.EnvNotSetError: Environment variable "API_TOKEN" not set', "release_secrets", "{API_TOKEN:"),
    ("secret_key\n  Field required [type=missing, input_value={}]\ndb_url\n  Field required [type=missing]",
     "release_secrets", "SECRET_KEY, DB_URL"),
    ("AttributeError: 'NoneType' object has no attribute 'split'", "release_environment", "the line above the error"),
    ("dj_database_url.UnknownSchemeError: Scheme 'postgrs://' is unknown. Did you", "release_environment", "postgrs://"),
    ("Requested setting DEBUG, but settings are not configured. You must either define the environment variable "
     "DJANGO_SETTINGS_MODULE or call settings.configure()", "release_settings_module", "release_settings_module: "),
    ("settings.DATABASES is improperly configured. Please supply the ENGINE value.", "release_migrate",
     "release_migrate: false"),
    # -- modules
    ("ModuleNotFoundError: No module named 'yaml'", "release_packages", "release_packages: [gunicorn, PyYAML]"),
    ("ModuleNotFoundError: No module named 'psycopg2'", "release_packages", "psycopg2-binary"),
    ("ModuleNotFoundError: No module named 'some_thing.inner'", "release_files", "path: some_thing/inner.py"),
    ("ModuleNotFoundError: No module named 'shop.local'", "release_files", "{path: shop/local.py, content: …}"),
    ("ModuleNotFoundError: No module named 'shop'", "release_backend", "the folder in which Python looks for it"),
    ("ModuleNotFoundError: No module named 'shop.settings'", "release_settings_module", "release_settings_module"),
    ("ModuleNotFoundError: No module named 'shop.asgi'", "asgi_application", "Correct asgi_application"),
    ("ModuleNotFoundError: No module named 'pkg_resources'", "release_packages", '["setuptools<81"]'),
    ("ModuleNotFoundError: No module named 'distutils.util'", "release_packages", '["setuptools<81"]'),
    ("ModuleNotFoundError: No module named 'imp'", "release_python", '"3.11"'),
    ("ModuleNotFoundError: No module named 'redis.asyncio'", "release_constraints", "redis"),
    ("ImportError: cannot import name 'ugettext_lazy' from 'django.utils.translation' (/x)", "release_constraints",
     '["django<4"]'),
    ("ImportError: cannot import name 'override' from 'typing' (/usr/lib/python3.11/typing.py)", "release_python",
     "newer Python than 3.11.2"),
    ('    print(f"{x["a"]}")\n                ^\nSyntaxError: f-string: unmatched \'[\'', "release_python", '"3.12"'),
    ("    type X = int\n         ^\nSyntaxError: invalid syntax", "release_python", '"3.12"'),
    ("kombu.exceptions.VersionMismatch: Redis transport requires redis-py versions 6.1.0 or later. You have 5.2",
     "release_constraints", '["redis>=6.1.0"]'),
    ('ImproperlyConfigured: Could not find the GDAL library (tried "gdal"). Is GDAL installed?',
     "release_system_packages", "[gdal-bin]"),
    ("OSError: cannot load library 'gobject-2.0-0': gobject-2.0-0: cannot open shared object file",
     "release_system_packages", "libpango-1.0-0"),
    ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", "release_system_packages",
     "[libgl1]"),
    ("ImportError: libodd.so.3: cannot open shared object file: No such file", "release_system_packages", "apt-file"),
    ("ImportError: no pq wrapper available.", "release_packages", "psycopg[binary]"),
    ('type "geometry" does not exist', "base_extra_packages", "postgis"),
    # -- the application
    ("ValueError: No application configured for scope type 'http'", "asgi_http",
     "asgi_http: wsgi, and asgi_wsgi_application: shop.wsgi:application"),
    ("ValueError: Django can only handle ASGI/HTTP connections, not websocket.", "asgi_application",
     "not accept WebSockets"),
    ("ValueError: No route found for path 'ws/x/'.", "handshake_path", "no WebSocket route /ws/x/"),
    ("AttributeError: module 'shop.asgi' has no attribute 'app'", "asgi_application", "asgi_application: shop.asgi:"),
    ("django.core.exceptions.AppRegistryNotReady: Apps aren't loaded yet.", "asgi_application", "get_asgi_application"),
    ("Requested setting INSTALLED_APPS, but settings are not configured. You must either define the environment "
     "variable DJANGO_SETTINGS_MODULE or call settings.configure().", "asgi_application", "before the routing"),
    ("TypeError: __call__() missing 2 required positional arguments: 'receive' and 'send'", "release_constraints",
     '["channels<3"]'),
    ("TimeoutError: importing shop.asgi took longer than asgi_start_seconds (60)", "asgi_start_seconds", "seconds"),
    # -- files
    (f"PermissionError: [Errno 13] Permission denied: '{CODE}/logs/app.log'", "release_shared_paths",
     "release_shared_paths: [media/, logs/]"),
    (f"OSError: [Errno 30] Read-only file system: '{CODE}/uploads'", "release_shared_paths", "[media/, uploads/]"),
    ("PermissionError: [Errno 13] Permission denied: '/srv/shop/generations/0123-abc/code/debug.log'",
     "release_shared_paths", "[media/, debug.log]"),
    ("PermissionError: [Errno 13] Permission denied: '/var/log/shop.log'", "release_shared_paths",
     "/srv/shop/shared/"),
    ("sqlite3.OperationalError: attempt to write a readonly database", "release_shared_paths", "[media/, db.sqlite3]"),
    ("sqlite3.OperationalError: unable to open database file", "release_shared_paths", "db.sqlite3"),
    (f"FileNotFoundError: [Errno 2] No such file or directory: '{CODE}/conf/local.yml'", "release_files",
     "{path: conf/local.yml, template: …}"),
    ("FileNotFoundError: [Errno 2] No such file or directory: '/srv/shop/releases/0123456789ab/config.yaml'",
     "release_files", "{path: ../config.yaml, template: …}"),
    (f"FileNotFoundError: [Errno 2] No such file or directory: '{CODE}/logs/app.log'", "release_shared_paths", "logs/"),
    ("ValueError: Missing staticfiles manifest entry for 'a.css'", "release_collectstatic", "a.css"),
    # -- databases and brokers
    ("sqlite3.OperationalError: no such table: auth_user", "release_hooks_before_migrate", "makemigrations auth"),
    ('psycopg.errors.UndefinedTable: relation "shop_user" does not exist', "release_hooks_before_migrate",
     "makemigrations shop"),
    ('psycopg.OperationalError: connection failed: connection to server at "127.0.0.1", port 5432 failed: Connection '
     "refused", "release_secrets", '{DATABASE_URL: "{{ postgresql_url }}"}'),
    ('connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: No such file or directory',
     "release_secrets", "group database"),
    ('FATAL:  password authentication failed for user "shop"', "release_secrets", "postgresql_url"),
    ("psycopg.OperationalError: failed to resolve host 'db': [Errno -2] Name or service not known", "base_host_aliases",
     "base_host_aliases: {db: 127.0.0.1}"),
    ("redis.exceptions.ConnectionError: Error -2 connecting to redis:6379. Name or service not known.",
     "base_host_aliases", "{redis: 127.0.0.1}"),
    ("redis.exceptions.ConnectionError: Error 111 connecting to 127.0.0.1:6379. Connection refused.", "release_secrets",
     'No Redis answers at 127.0.0.1:6379. Put a host into group redis, and write its address under the name that the '
     'settings read: release_secrets: {REDIS_URL: "{{ redis_url }}"}'),
    ("redis.exceptions.ConnectionError: Error 1 connecting to 10.0.0.10:6379. [SSL: CERTIFICATE_VERIFY_FAILED] "
     "certificate verify failed: unable to get local issuer certificate (_ssl.c:1016).", "release_secrets",
     "10.0.0.10:6379 has no certificate that this project accepts"),
    ('django.db.utils.OperationalError: connection failed: connection to server at "10.0.0.20", port 5432 failed: '
     "SSL error: certificate verify failed", "release_secrets", "--tags stores,postgresql"),
    ('connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "x", database "x", no encryption',
     "release_secrets", "postgresql_url"),
    ("ValueError: Cannot run with encryption without 'cryptography' installed.", "release_packages",
     "release_packages: [cryptography]"),
    ("redis.exceptions.AuthenticationError: Authentication required.", "release_secrets", "redis_anonymous: true"),
    ("redis.exceptions.NoPermissionError: this user has no permissions to run the 'info' command", "redis_extra_users",
     "redis_extra_users"),
    ("consumer: Cannot connect to amqp://guest:**@127.0.0.1:5672//: [Errno 111] Connection refused.",
     "release_secrets", "broker"),
    ("consumer: Cannot connect to amqp://guest:**@rabbit:5672//: [Errno -2] Name or service not "
     "known.", "base_host_aliases", "{rabbit: 127.0.0.1}"),
    # -- the sandbox
    ("MemoryError: Cannot allocate write+execute memory for ffi.callback(). You might be running on a system that",
     "asgi_sandbox", "MemoryDenyWriteExecute: false"),
    ('  File "/srv/shop/code/jit.py", line 3, in <module>\n    area = mmap.mmap(-1, 4096, prot=7)\n'
     "           ^^^^^^^^^^^^^^^^^^^^^^^^^^^\nPermissionError: [Errno 1] Operation not permitted",
     "asgi_sandbox", "MemoryDenyWriteExecute: false"),
    ("LLVM ERROR: Unable to allocate section memory!", "asgi_sandbox", "MemoryDenyWriteExecute: false"),
    ("ImportError: x.so: failed to map segment from shared object: Operation not permitted", "asgi_sandbox",
     "MemoryDenyWriteExecute: false"),
    ("shop-daphne@1-1.service: Main process exited, code=killed, status=31/SYS", "asgi_sandbox", "SystemCallFilter"),
    ("OSError: [Errno 97] Address family not supported by protocol", "asgi_sandbox", "AF_NETLINK"),
    ("x.service: Failed to set up mount namespacing: /opt/a: No such file or directory", "asgi_sandbox", "hyphen"),
    ("x.service: Main process exited, code=exited, status=217/USER", "asgi_sandbox", "In a container"),
    ("PermissionError: [Errno 1] Operation not permitted", "asgi_sandbox", "which setting forbids what"),
    # -- what the inventory has run, and what the gate saw
    ("token_command failed with 1, so no handshake was tried: python", "handshake_token_command", "token"),
    ("A command of release_hooks_before_migrate failed with 1: false", "release_hooks_before_migrate", "Correct it in"),
    ("At: Run the commands after the switch\nnon-zero", "release_hooks_before_switch", "release_hooks_after_switch"),
    ("The server answered the handshake with 403 Forbidden.", "handshake_token_command", "handshake_origin"),
    ("The server answered the handshake with 404 Not Found.", "handshake_path", "handshake_path"),
    ("GET / was answered with 500 Internal Server Error, not with below 500.", "handshake_health_path", "page / fails"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "variable", "told"), RUNTIME)
def test_each_way_in_which_a_project_fails(said: str, variable: str, told: str) -> None:
    hints = run(said)
    assert [one for one, _ in hints] == [variable]
    assert told in hints[0][1]
    assert run("The server answered the handshake with 500 Internal Server Error.", said)[0][0] == variable


def test_first_cause_is_told_first_and_each_once() -> None:
    """What a cause leads to hides it, and what the gate says of likely causes is none."""
    chained = "KeyError: 'SECRET_KEY'\n…\nImproperlyConfigured: Set the SECRET_KEY environment variable"
    assert len(run(chained)) == 1
    several = "\n".join(said for said, _, _ in RUNTIME)
    assert len(run(several)) == failure_hints.MOST
    gate = (
        "1 of 1 WebSocket checks failed:\n/run/x.sock: The server answered the handshake with 500.\n"
        "  Likely: Redis down, NoPermissionError, Error 111 connecting to x:1. \n"
        "  Fix: Read the application's log, and the answer: No route found for path 'ws/y/'."
    )
    assert [variable for variable, _ in run(gate)] == ["handshake_path"]
    assert [variable for variable, _ in run("The server answered the handshake with 404.", "WRONGPASS")] == [
        "release_secrets"
    ]
    assert run(f"…\n{failure_hints.HEADING}\n  …", "WRONGPASS") == []
    assert run("nobody has seen this one") == [] and failure_hints.told([]) == ""


def test_no_migrations_because_of_the_inventory() -> None:
    assert run("no such table: a_b", release_migrate=False)[0][0] == "release_migrate"


def test_all_variables_that_are_named_exist() -> None:
    """Those in sentences, too."""
    known = set(re.findall(r"^\| `(\w+)", (ROOT / "docs" / "variables.md").read_text(), re.MULTILINE))
    sources = [Path(module.__file__).read_text() for module in (builds, signs)]
    for row in (*builds.INSTALL, *signs.RUN):
        assert row.variable in known
    named = set(re.findall(r"\b(?:release|asgi|redis|base|handshake|nginx|postgresql)_[a-z_]+\b", "".join(sources)))
    own = {"release_hooks_", "release_hooks_before_switch", "postgresql_url", "redis_password"}
    assert named - known - own == set()
