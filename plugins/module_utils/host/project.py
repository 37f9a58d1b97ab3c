"""What is asked of a project, in its own environment and as its own user: its import, layer, settings and tokens."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

#: Runs in the project's environment. Prints one line of JSON behind a mark, since a project may print what it likes.
PROBE = r"""
import asyncio, contextlib, glob, importlib, importlib.metadata, io, json, os, re, sys, threading, time, traceback
sys.dont_write_bytecode = True
LAYER_SECONDS = 3
found = {"versions": {"python": sys.version.split()[0]}, "secrets": [], "minted": {}, "not_minted": {}, "hosts": []}
for name in ("django", "channels", "channels-redis", "redis", "daphne", "uvicorn", "websockets", "wsproto", "gunicorn"):
    try:
        found["versions"][name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
sys.path.insert(0, "")
given, commands, origin = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
if not os.environ.get("DJANGO_SETTINGS_MODULE"):
    for path in ["manage.py", *glob.glob("*/asgi.py"), *glob.glob("*/wsgi.py")]:
        with contextlib.suppress(OSError):
            match = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*[,\]=]+\s*['\"]([\w.]+)", open(path).read())
            if match:
                os.environ["DJANGO_SETTINGS_MODULE"] = match[1]
                break
application = given
if not application:
    with contextlib.suppress(BaseException):
        from django.conf import settings
        dotted = getattr(settings, "ASGI_APPLICATION", "") or ""
        application = dotted if ":" in dotted else ":".join(dotted.rsplit(".", 1))
        found["asgi_setting"] = dotted
found["application"] = application
begun = time.monotonic()
module, _, attribute = application.partition(":")
try:
    if not module:
        raise ValueError("the project names no ASGI application (ASGI_APPLICATION)")
    if given and not attribute:
        raise ValueError("not enough values to unpack (expected 2, got 1)")
    part = importlib.import_module(module)
    for name in (attribute or "application").split("."):
        part = getattr(part, name)
except BaseException as error:
    found["import_error"] = traceback.format_exception_only(type(error), error)[-1].strip()
    found["missing"] = getattr(error, "name", None) or ""
    found["trace"] = traceback.format_exc().strip().splitlines()[-7:]
found["import_ms"] = round((time.monotonic() - begun) * 1000, 1)

async def ask():
    from channels.layers import get_channel_layer
    layer = get_channel_layer()
    if layer is None:
        return
    found["layer"] = type(layer).__module__ + "." + type(layer).__qualname__
    hosts = getattr(layer, "hosts", None) or getattr(layer, "_hosts", None) or []
    if not hosts and getattr(layer, "_shards", None):
        hosts = [getattr(shard, "host", None) or getattr(shard, "_host", None) for shard in layer._shards]
    found["patient"] = any(isinstance(h, dict) and {"socket_timeout", "retry"} & set(h) for h in hosts)
    for host in hosts:
        address = host.get("address", host) if isinstance(host, dict) else host
        text = address if isinstance(address, str) else "%s:%s" % (host.get("host"), host.get("port")) \
            if isinstance(host, dict) else "%s:%s" % tuple(address[:2]) if isinstance(address, (list, tuple)) else ""
        match = re.match(r"\w+://([^@/]*:([^@/]*)@)?(.*)$", text)
        if match and match[2]:
            found["secrets"].append(match[2])
        if isinstance(host, dict) and host.get("password"):
            found["secrets"].append(str(host["password"]))
        found["hosts"].append(match[3] if match else text)
    begun = time.monotonic()
    channel = await layer.new_channel()
    sent = {"type": "probe", "nonce": os.urandom(8).hex()}
    await asyncio.wait_for(layer.send(channel, sent), LAYER_SECONDS)
    try:
        came = await asyncio.wait_for(layer.receive(channel), LAYER_SECONDS)
    except asyncio.TimeoutError:
        raise TimeoutError("a message that was sent did not come back within %s s" % LAYER_SECONDS) from None
    if came.get("nonce") != sent["nonce"]:
        raise ValueError("another message came back than was sent")
    found["layer_ms"] = round((time.monotonic() - begun) * 1000, 1)

def page():
    from urllib.parse import urlsplit
    from django.conf import settings
    from django.core.exceptions import DisallowedHost
    from django.http import HttpRequest
    from django.middleware.csrf import CsrfViewMiddleware
    from django.middleware.security import SecurityMiddleware
    from django.utils.module_loading import import_string
    kinds = [kind for kind in map(import_string, settings.MIDDLEWARE) if isinstance(kind, type)]
    class Passed(HttpRequest):
        def _get_scheme(self):  # the server's own word, which it has from the proxy
            return parts.scheme
    parts, request = urlsplit(origin), Passed()
    port = str(parts.port or {"https": 443}.get(parts.scheme, 80))
    request.META = {"HTTP_HOST": parts.netloc, "HTTP_X_FORWARDED_PROTO": parts.scheme, "SERVER_PORT": port,
                    "HTTP_X_FORWARDED_HOST": parts.netloc, "HTTP_X_FORWARDED_PORT": port, "SERVER_NAME": parts.hostname}
    try:
        host = request.get_host()
    except DisallowedHost:
        host = ""
    secured = any(issubclass(kind, SecurityMiddleware) for kind in kinds)
    csrf = any(issubclass(kind, CsrfViewMiddleware) for kind in kinds)
    cookies = {"CSRF_COOKIE_SECURE": settings.CSRF_COOKIE_SECURE} if csrf and not settings.CSRF_USE_SESSIONS else {}
    if any(kind.__name__ == "SessionMiddleware" for kind in kinds):
        cookies["SESSION_COOKIE_SECURE"] = settings.SESSION_COOKIE_SECURE
    found["page"] = {
        "origin": origin, "secure": request.is_secure(), "host": host, "csrf": csrf,
        "redirects": bool(secured and settings.SECURE_SSL_REDIRECT),
        "trusted": [str(each) for each in settings.CSRF_TRUSTED_ORIGINS],
        "cookies": {name: bool(value) for name, value in cookies.items()},
    }

database = {}

def connect():
    try:
        from django.conf import settings
        from django.db import connection
        if not settings.DATABASES:
            return
    except BaseException:
        return
    begun = time.monotonic()
    try:
        if connection.vendor not in ("sqlite", "unknown"):  # a file would be made by looking for it
            connection.ensure_connection()
            database["database_ms"] = round((time.monotonic() - begun) * 1000, 1)
            connection.close()
    except BaseException as error:
        database["database_error"] = type(error).__name__ + ": " + " ".join(str(error).split())

connecting = threading.Thread(target=connect, daemon=True)
connecting.start()
try:
    asyncio.run(ask())
except BaseException as error:
    if "import_error" not in found or "layer" in found:
        found["layer_error"] = type(error).__name__ + ": " + str(error)
connecting.join(5)
found.update(database or ({"database_error": "TimeoutError: no answer within 5 s"} if connecting.is_alive() else {}))
with contextlib.suppress(BaseException):
    from django.conf import settings
    found["secrets"].append(str(settings.SECRET_KEY))
    found["allowed_hosts"] = [str(host) for host in settings.ALLOWED_HOSTS]
    found["debug"] = bool(settings.DEBUG)
    apps = list(settings.INSTALLED_APPS)
    found["daphne_app"] = any(app == "daphne" or app.startswith("daphne.") for app in apps)
    found["asgi_setting"] = str(getattr(settings, "ASGI_APPLICATION", "") or "")
with contextlib.suppress(BaseException):
    if "import_error" not in found and origin.startswith(("http://", "https://")):
        page()
for name, command in commands.items():
    printed, complained = io.StringIO(), io.StringIO()
    try:
        from django.core.management import execute_from_command_line
        sys.argv = command
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
            execute_from_command_line(command)
    except BaseException as error:
        if getattr(error, "code", 1):
            said = [line for line in complained.getvalue().splitlines() if line.strip()]
            said += [traceback.format_exception_only(type(error), error)[-1].strip()]
            found["not_minted"][name] = said[0]
    if printed.getvalue().strip():
        found["minted"][name] = printed.getvalue().strip().splitlines()[-1]
    else:
        found["not_minted"].setdefault(name, "it printed nothing")
print("\n@@doctor@@" + json.dumps(found))
"""
#: Seconds that a project may take to import and to mint tokens, on a machine that has much to do.
PATIENCE = 60.0
MARK = "\n@@doctor@@"


def stale(disk: dict[str, str], running: dict[str, str]) -> list[str]:
    """The names of variables whose values on the disk are not those that a process was started with."""
    return sorted(name for name, value in disk.items() if running.get(name) != value)


def listed_in(environment: dict[str, str], values: list[str]) -> str:
    """The name of the variable that lists some values, separated by commas or spaces; empty where none does."""
    return next((name for name, text in environment.items() if values and re.split(r"[,\s]+", text) == values), "")


class Project:
    """How commands are run as a project's processes are: its user, environment, folder and Python."""

    def __init__(self, bundle: dict[str, Any], process: dict[str, Any] | None, environ: dict[str, str]) -> None:
        self.bundle, self.process, self.environ = bundle, process, environ

    @property
    def known(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self.bundle or (self.process and self.python))

    @property
    def python(self) -> str:
        """The interpreter of a process that was found running: of its virtual environment, not what that links to."""
        first = self.process["argv"][0] if self.process and self.process["argv"] else ""
        if os.path.basename(first).startswith(("python", "pypy")) and first.startswith("/"):
            return first
        beside = os.path.join(os.path.dirname(first), "python")
        if first.startswith("/") and os.path.exists(beside):
            return beside
        virtual = os.path.join(self.environ.get("VIRTUAL_ENV", ""), "bin", "python")
        return virtual if virtual.startswith("/") and os.path.exists(virtual) else ""

    def run(self, command: list[str], timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command of the project; `python` as its first word is the project's own. May raise OSError."""
        options: dict[str, Any] = {
            "capture_output": True, "text": True, "errors": "replace", "timeout": timeout, "check": False,
            "stdin": subprocess.DEVNULL,
        }  # fmt: skip
        if self.bundle:
            script = self.bundle["home"] + "/within"
            return subprocess.run(["runuser", "--user", self.bundle["user"], "--", script, *command], **options)
        assert self.process
        if os.geteuid() == 0 and self.process["uid"]:
            entry = pwd.getpwuid(self.process["uid"])
            options |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(
                entry.pw_name, entry.pw_gid)}  # fmt: skip
        if command[0] == "python":
            command = [self.python, *command[1:]]
        environ = {**self.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, env=environ, cwd=self.process["folder"] or "/", **options)

    def ask(
        self, application: str, commands: dict[str, list[str]], origin: str = "", timeout: float = PATIENCE
    ) -> dict[str, Any]:
        """Return what the probe finds; `minted` has tokens, by the names of the commands that print them.

        `origin` is that of the site's pages; what becomes of them is in `page`, as proof_https takes it.
        `not_minted` has what the others complained of. Commands of manage.py share the probe's process, which has
        imported the project anyway; others run beside it.
        """
        managed = {name: line[1:] for name, line in commands.items() if line[:2] == ["python", "manage.py"]}
        others = {name: line for name, line in commands.items() if line and name not in managed}
        with ThreadPoolExecutor(1 + len(others)) as pool:
            minting = {name: pool.submit(self._mint, line, timeout) for name, line in others.items()}
            found = self._probe([application, json.dumps(managed), origin], managed, timeout)
        for name, made in minting.items():
            token, complaint = made.result()
            found["not_minted" if complaint else "minted"][name] = complaint or token
        return found

    def _probe(self, given: list[str], managed: dict[str, list[str]], timeout: float) -> dict[str, Any]:
        empty: dict[str, Any] = {"minted": {}, "not_minted": {}, "application": given[0]}
        try:
            done = self.run(["python", "-c", PROBE, *given], timeout)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            why = f"{type(error).__name__}: the project has not answered within {timeout:g} s"
            return {**empty, "unasked": why, "not_minted": dict.fromkeys(managed, why)}
        _, mark, text = done.stdout.rpartition(MARK)
        if not mark:
            last = done.stderr.strip().splitlines()[-1:] or ["the probe printed nothing"]
            return {**empty, "import_error": last[0]}
        found: dict[str, Any] = json.loads(text)
        return found

    def _mint(self, command: list[str], timeout: float) -> tuple[str, str]:
        """The token that a command prints, or what it complained of."""
        try:
            done = self.run(command, timeout)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            return "", type(error).__name__
        if done.returncode or not done.stdout.strip():
            return "", (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return done.stdout.strip().splitlines()[-1], ""

    def disk_environment(self) -> dict[str, str] | None:
        """What the project's environment file sets, which may be nothing; None where it cannot be read."""
        if not self.bundle:
            return None
        try:
            shown = self.run(["env", "-0"]).stdout
            text = Path(self.bundle["home"], "env").read_text(encoding="utf-8")
        except (OSError, subprocess.SubprocessError):
            return None
        names = re.findall(r"^([A-Za-z_]\w*)=", text, re.MULTILINE)
        values = dict(entry.split("=", 1) for entry in shown.split("\0") if "=" in entry)
        return {name: values[name] for name in names if name in values}
