"""One host's evidence as the rules see it, and how they turn it into findings."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from ..host.servers import application_of
from .answers import opened
from .catalogue import CATALOGUE
from .lines import ALL
from .mends import MENDS, Mend
from .routes import nearest

Finding = dict[str, Any]
#: A unix socket in a server's command.
SOCKET = re.compile(r"(?:-u|--unix-socket|--uds)[ =](/\S+)|unix:(/[^\s:]+)")

#: Modules that have worker classes for gunicorn.
WORKERS = re.compile(r"(gunicorn|uvicorn)\.workers\b|uvicorn_worker\b")
#: A server's name in a command.
SERVERS = re.compile(r"\b(daphne|uvicorn|hypercorn)\b")


class Values(dict[str, Any]):
    """The values for a text's `{names}`; an unknown name becomes three dots."""

    def __missing__(self, key: str) -> str:
        return "…"


class Case:
    """One host's evidence, with names for what rules ask for."""

    def __init__(self, evidence: dict[str, Any]) -> None:
        self.evidence = evidence
        self.host: dict[str, Any] = evidence.get("host") or {}
        self.url: str = evidence["url"]
        parts = urlsplit(self.url)
        self.name = parts.hostname or ""
        self.tls = parts.scheme == "wss"
        self.port = parts.port or (443 if self.tls else 80)
        self.path = parts.path or "/"
        self.project: dict[str, Any] = self.host.get("project") or {}
        #: The program on the URL's port, if it is not nginx.
        self.front: dict[str, Any] = self.host.get("front") or {}
        self.route: dict[str, Any] = (self.host.get("nginx") or {}).get("route") or {}
        self.nginx: dict[str, Any] = self.host.get("nginx") or {}
        self.units: list[dict[str, Any]] = self.host.get("units") or []
        self.programs: list[dict[str, Any]] = self.host.get("programs") or []
        self.exchanges: list[dict[str, Any]] = [*self.host.get("exchanges", []), *evidence.get("outside", [])]
        self.outside = self.one("outside")
        self.proxy = self.one("proxy")
        good = [each for each in self.exchanges if each["via"] == "process" and each["kind"] == "good"]
        self.directs = good
        self.direct = next((each for each in good if not opened(each)), good[0] if good else None)
        self.servers: list[dict[str, Any]] = self.host.get("servers") or []
        self.alive = {each["pid"] for each in self.servers if each["pid"]}
        self.processes = [each for each in self.host.get("processes", []) if each["pid"] in self.alive]
        self.bundle: dict[str, Any] = self.host.get("bundle") or {}
        self.certificate: dict[str, Any] = self.host.get("certificate") or {}

    @property
    def is_edge(self) -> bool:
        """Whether this host is an edge of a fleet, and was examined."""
        return "haproxy" in self.host

    @property
    def outdated(self) -> bool:
        """Whether nginx runs with a former configuration, and the present one would work."""
        # What the files say now must not fail for another reason.
        barred = self.route.get("guards") or any(each["errno"] > 0 for each in self.nginx.get("reach") or [])
        replayed = (self.nginx.get("replay") or {}).get("whole")
        return bool(self.nginx.get("unread")) and not barred and not opened(self.proxy) and opened(replayed)

    @property
    def replayed(self) -> bool:
        """Whether nginx's request, sent straight to the server, has shown what makes it fail."""
        return bool((self.nginx.get("replay") or {}).get("causes"))

    def said(self, *kinds: str) -> list[dict[str, Any]]:
        """What nginx's error log said of some kinds while the handshake through it failed."""
        return [each for each in self.nginx.get("said") or [] if each["kind"] in kinds]

    def one(self, via: str, kind: str = "good") -> dict[str, Any] | None:
        """The exchange of a kind with a hop, if there was one."""
        return next((each for each in self.exchanges if (each["via"], each["kind"]) == (via, kind)), None)

    @property
    def application(self) -> str:
        """The ASGI path, as far as it is known."""
        process = self.processes[0]["application"] if self.processes else ""
        known = self.bundle.get("application") or self.project.get("application") or process
        meant = (application_of(each["command"].split()) for each in self.units if each["state"] != "active")
        return known or next(filter(None, meant), "") or "core.asgi:application"

    @property
    def log_command(self) -> str:
        """The command that shows the servers' log."""
        if self.bundle.get("manager") == "supervisor":
            return f"{self.bundle['app']}-generations logs {self.bundle['generation']}"
        if self.bundle.get("unit"):
            return f"journalctl -u '{self.bundle['unit']}@*' -n 50"
        names = [each["unit"] for each in self.units]
        if names:
            return f"journalctl -u {names[0]} -n 50"
        if self.programs:
            return f"supervisorctl tail {self.programs[0]['program']} stderr"
        return "the server's log"

    @property
    def log(self) -> list[str]:
        """What was logged during the examination."""
        return self.host.get("log") or []

    def find(self, code: str, seen: Any = (), hop: str = "", **values: Any) -> Finding:
        """Make a finding from a code, with its texts filled in."""
        entry = CATALOGUE[code]
        application = self.application
        known = Values(
            host=self.name, port=self.port, path=self.path, application=application,
            module=application.partition(":")[0], top=application.partition(".")[0],
            log=self.log_command, name=self.evidence.get("name", ""),
            where=self.route.get("where") or "the location of " + self.path,
            http=self.route.get("buffers_line") or self.route.get("http") or "nginx's http block",
            timed=self.route.get("timeout_line") or self.route.get("where") or "the location of " + self.path,
            restart=" ".join(["systemctl restart", *(each["unit"] for each in self.units)] if self.units
                             else ["restart the processes"]),
            server=self.bundle.get("server") or "daphne", lines=ALL,
            guards="its deny, auth_basic or auth_request line", open="auth_basic off; allow all;",
            venv=f"{self.bundle['home']}/venv" if self.bundle.get("home") else "VENV",
        )  # fmt: skip
        known.update(values)
        fix = entry.fix.format_map(known)
        if self.host.get("manager", "systemd") != "systemd":
            fix = re.sub(r"systemctl (start|stop|restart|reload) ([\w-]+)", r"service \2 \1", fix)
        mend = MENDS.get(code) if self.bundle or code == "E117_NOT_DEPLOYED" else None
        if mend and mend.server not in ("", self.bundle.get("server") or "daphne"):
            mend = None
        return {
            "code": code, "hop": hop or entry.hop, "severity": entry.severity, "title": entry.title,
            "cause": entry.cause.format_map(known), "fix": fix,
            "settings": {**settings_of(mend, known), **known.get("settings", {})} if mend else {},
            "commands": [mend.command] if mend else [],
            "seen": [line for line in ([seen] if isinstance(seen, str) else seen) if line],
        }  # fmt: skip


def settings_of(mend: Mend, known: Values) -> dict[str, Any]:
    """The variables that mend a host, with their values filled in; whole numbers become integers."""
    filled = {name: value.format_map(known) for name, value in mend.settings.items()}
    return {name: int(value) if re.fullmatch(r"-?\d+", value) else value for name, value in filled.items()}


def of_text(case: Case, code: str, line: str, seen: list[str]) -> Finding:
    """A finding from a line of a log or an error, which it shows."""
    line = line.strip()
    code = meant(case, code, line)
    # daphne shows the path as Python shows bytes: on any:b'/run/app.sock': Cannot acquire lock
    path = re.search(
        r"unix:(\S+?)(?::|'|$)|on any:b?'?(/[^'\s]+?)'?: |-> b?'(/\S+)\.lock'|connection to (/\S+) failed", line
    ) or next(filter(None, (SOCKET.search(each["command"]) for each in case.units)), None)
    if code == "E127_SOCKET_FOLDER" and not path:
        code = "E105_CRASH_LOOP"  # another file is meant
    socket = next((each for each in path.groups() if each), "…") if path else "SOCKET"
    if code == "E201_ASGI_MODULE":
        wanted = case.application.partition(":")[0]
        missing = re.search(r"No module named '([\w.]+)'", line)
        if missing and wanted != missing[1] and not wanted.startswith(f"{missing[1]}."):
            code = "E206_SETTINGS_MODULE" if lost_settings(case, line) else "E204_IMPORT_ERROR"
    if code == "E203_APPS_NOT_READY" and "settings are not configured" in line and any(
        (each.get("setup") or {}).get("names_settings") is False for each in case.units if each["state"] != "active"
    ):  # fmt: skip
        code = "E207_NO_SETTINGS"
    listeners = "; ".join(f"{each['pid']} {each['command'][:60]}" for each in case.host.get("processes", [])
                          if each["server"])  # fmt: skip
    pattern = re.search(r"path '?([^'.\s]+)'?", line)
    wanted_path = pattern[1] if pattern else case.path.lstrip("/")
    routes = case.project.get("unrouted") or [] if code == "E404_NO_ROUTE" else []
    route, right = nearest(routes, wanted_path)
    routing = f'r"{right}" in place of r"{route}"' if right else f're_path(r"^{wanted_path}$", MyConsumer.as_asgi())'
    seen = [*seen, *([f"the project's routes: {', '.join(routes[:6])}"] if routes else [])]
    return case.find(code, [*seen, line], error=line[:200], socket=socket, limit="see /proc/PID/limits",
                     files=enough_files(0), listeners=listeners or "ss -ltnp", routing=routing,
                     missing=lost_settings(case, line), folder=own_folder(socket))  # fmt: skip


def meant(case: Case, code: str, line: str) -> str:
    """The code of a line, by what the servers' commands name: any package may lack an attribute, or unpack too little.

    What ends a server for such a reason of its own is told as a crash.
    """
    commands = [each["command"] for each in (*case.units, *case.host.get("processes", []))]
    commands += [each["command"] for each in (case.host.get("supervisor") or {}).get("programs") or []]
    lacks = re.search(r"[Mm]odule '([\w.]+)' has no attribute '(\w+)'", line)
    if code == "E202_ASGI_ATTRIBUTE" and lacks:
        module, name = lacks.groups()
        if WORKERS.match(module) or any(f"{module}.{name}" in each for each in commands):
            return "E130_WORKER_CLASS"
        asked = [case.application, *(application_of(each.split()) for each in commands)]
        return code if module in {each.partition(":")[0] for each in asked} else "E105_CRASH_LOOP"
    if code == "E205_ASGI_PATH" and "not enough values" in line:
        without = [each for each in commands if SERVERS.search(each) and not application_of(each.split())]
        return code if without else "E105_CRASH_LOOP"
    return code


def own_folder(socket: str) -> str:
    """The folder of a socket, if it can be the server's own; folders of the system stay as they are."""
    folder = socket.rpartition("/")[0]
    return folder if re.match(r"/(run|var/run|srv|opt|home/[^/]+|var/lib)/[^/]", folder) else "/run/channels"


def lost_settings(case: Case, line: str) -> str:
    """The settings module that a line says is not found; empty if it is about another one."""
    missing = re.search(r"No module named '([\w.]+)'", line)
    named = case.project.get("settings", "")
    if not missing or not (missing[1] == named or re.search(r"(^|\.)settings?($|[._])", missing[1])):
        return ""
    return missing[1]


def proxy_is_down(case: Case) -> bool:
    """Whether the host has an nginx that does not run."""
    nginx = case.host.get("nginx") or {}
    return bool(nginx.get("present") and not nginx.get("running") and not nginx.get("aside"))


def enough_files(limit: int) -> int:
    """A limit of open files that is enough: what this bundle sets, or twice a limit that was not."""
    return max(65536, 2 * limit)


def version_of(text: str) -> tuple[int, ...]:
    """A version as numbers that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
