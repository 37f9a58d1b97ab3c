"""One examination of a host: what runs there, what leads to it, and how handshakes on the host itself end.

Changes nothing, and judges nothing: the diagnosis does.
"""

from __future__ import annotations

import os
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from ..certificates import state
from ..host import consumer_source, deployed, logs, proc, redis, servers, stores, units
from ..host.nginx.look import Nginx
from ..host.nginx.servers import is_here
from ..host.processes import processes
from ..host.project import Project, listed_in, stale
from ..host.relatives import relatives
from ..host.steady import Watch
from ..text.secrets import header_secrets, redact, scrub, secrets_of
from ..websocket import exchange
from .following import accepts, follow, front_of, hidden, loose, page_of, promised, silence, tries
from .seal import sealed_by, spoiled
from .through_nginx import ThroughNginx, try_like_nginx

#: Speak to this many processes at most: they are all alike.
MOST_SERVERS = 4
#: Seconds to read a log again until it holds what a refused handshake left there.
LOG_WAIT = 1.0
#: Seconds to wait for servers that are starting. One that is older than the second number hangs.
START_WAIT = 15.0
LONGEST_START = 300.0


class Examination:
    """One examination of one host: what was asked for, and what was found."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.parts = urlsplit(params["url"])
        self.begun = time.time()
        self.evidence: dict[str, Any] = {
            "exchanges": [], "units": [], "user": "root" if os.geteuid() == 0 else str(os.geteuid()),
            "manager": units.manager(),
        }  # fmt: skip
        self.token: str = params["token"]
        self.expired = ""
        self.secrets: list[str] = [params["token"], params["query"].replace("{token}", "")]
        self.secrets += [part.partition("=")[2] for part in params["query"].split("&") if "{token}" not in part]
        self.secrets += header_secrets(params.get("headers") or {})
        self.processes: list[dict[str, Any]] = []
        self.servers: list[dict[str, Any]] = []
        #: Whether handshakes with a server are those that nginx would send.
        self.like_nginx = False

    # --- what is there

    def look(self) -> None:
        """Find processes, units, nginx, Redis, and which of the processes this is about."""
        self.nginx = Nginx()
        with ThreadPoolExecutor(4) as pool:
            asked: dict[str, Future[Any]] = {
                "nginx": pool.submit(self.nginx.look, self.parts, *self.request("")),
                "redis": pool.submit(redis.redis),
                "programs": pool.submit(units.supervised),
            }
            self.processes = processes()
            bundle = deployed.bundle(self.params["app"])
            self.evidence |= {name: found.result() for name, found in asked.items()}
        given = follow(self)
        route = self.evidence["nginx"].get("route") or {}
        upstream = [_address(each, route.get("scheme", "")) for each in given]
        sockets = [f"unix:{path}" for path in bundle.get("sockets", [])]
        behind = upstream or [_address(each) for each in [*route.get("beside", []), *self._shadowed(route)]]
        if not self.params["app"] and behind and not set(behind) & set(sockets):
            bundle, sockets = {}, []
        self.bundle = bundle
        self._choose(sockets, upstream)
        self._await_start(sockets, upstream)
        self.evidence["hidden"] = hidden(upstream, self.processes)
        self.evidence["relatives"] = relatives(self.main) if self.main and self.main["server"] else []
        if self.params["app"] and not bundle and not any(each["server"] for each in self.processes):
            self.evidence["missing"] = f"/srv/{self.params['app']}"
        # Users other than root cannot see what belongs to the project alone.
        self.evidence["shared"] = deployed.shared(bundle) if self.evidence["user"] == "root" else []
        root = self.evidence["user"] == "root" and bundle
        self.evidence["certificate"] = state.look(bundle["app"]) if root else {}
        # Other processes, which answer plain HTTP, beside those that this is about.
        listening = {address for each in self.processes for address in each["listens"]}
        beside = [f"unix:{path}" for path in bundle.get("wsgi", {}).get("sockets", [])]
        self.evidence["wsgi"] = [{"address": address, "listening": address in listening} for address in beside]
        self.evidence["fleet"] = deployed.fleet_view(bundle["app"]) if bundle else {}
        self.evidence["bundle"] = {
            key: bundle[key]
            for key in ("app", "generation", "manager", "unit", "server", "application", "home")
            if key in bundle
        }

    def units(self) -> list[dict[str, Any]]:
        """The units of the servers that this is about, and of all others on the host."""
        prefix = f"{self.bundle['unit']}@{self.bundle['generation']}-" if self.bundle else ""
        known = {each["unit"] for each in self.processes if each["server"]} - {"", "supervisor.service"}
        return units.units(prefix, known)

    def _await_start(self, sockets: list[str], upstream: list[str]) -> None:
        """Wait for servers that have just started: one that is still importing its project does not listen yet."""
        first = self._starting()
        now, deadline = first, time.monotonic() + START_WAIT
        while now.keys() & first.keys() and time.monotonic() < deadline:
            time.sleep(0.25)
            self.processes = processes()
            self._choose(sockets, upstream)
            now = self._starting()
        # Another process in its place means that it ended and was started again.
        self.evidence["starting"] = [each for pid, each in now.items() if pid in first]

    def _starting(self) -> dict[int, dict[str, Any]]:
        """The processes that should listen where nobody does, by their ids."""
        if self.servers and all(each["pid"] for each in self.servers):
            return {}
        dead = [each["address"] for each in self.servers if not each["pid"]]
        lonely = {each["pid"] for each in self._lonely()}
        if dead:
            started = [each for each in self.units() if each["state"] in ("active", "activating")]
            lonely |= {each["pid"] for each in started if _is_meant(each["unit"], each, dead)}
        listening = {each["pid"] for each in self.processes if each["listens"] or each.get("apart")}
        ages = {pid: proc.age(pid) for pid in lonely - listening - {0}}
        return {pid: {"pid": pid, "age": age} for pid, age in ages.items() if 0 <= age < LONGEST_START}

    def _own(self, units: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The units of the servers that this is about, if known: other units' logs tell of other faults."""
        addresses = [each["address"] for each in self.servers]
        alive = {each["pid"] for each in self.servers}
        names = {each["unit"] for each in self.processes if each["pid"] in alive}
        own = [each for each in units if each["unit"] in names or _is_meant(each["unit"], each, addresses)]
        return own or units

    def _lonely(self) -> list[dict[str, Any]]:
        """The servers that listen nowhere, and are not known to belong to another stack."""
        lonely = [each for each in self.processes if each["server"] and not each["listens"] and "apart" not in each]
        dead = [each["address"] for each in self.servers if not each["pid"]]
        return [each for each in lonely if not dead or _is_meant("", each, dead)]

    def _choose(self, sockets: list[str], upstream: list[str]) -> None:
        """Choose which servers this is about: the live generation's, else those behind nginx, else all that run."""
        # supervisord holds the socket of an fcgi-program as well, and never answers on it.
        holders = sorted(reversed(self.processes), key=lambda each: bool(each["server"]))
        holders = [each for each in holders if each["name"] != "supervisord"]
        listening = {address: each for each in holders for address in each["listens"]}
        self.servers = []
        if sockets:
            wanted = sockets
        elif any(_holder(address, listening) for address in upstream):
            wanted = upstream
        else:
            # Servers that another nginx site leads to are not the ones that this site lacks.
            taken = {_address(each) for each in self.evidence["nginx"].get("others", [])}
            route = self.evidence["nginx"].get("route") or {}
            near = [_address(each) for each in [*route.get("beside", []), *self._shadowed(route)]]
            running = [each for each in self.processes if each["server"] and not taken & set(each["listens"])
                       and (each["speaks"] or not upstream)]  # fmt: skip
            # One that should listen there and does not run is what this is about, and not whatever else runs.
            if upstream and promised(self, upstream):
                running = []
            wanted = [address for each in running for address in each["listens"][:1]] or upstream
            if not upstream and any(_holder(address, listening) for address in near):
                wanted = near
        for address in list(dict.fromkeys(wanted))[:MOST_SERVERS]:
            process = _holder(address, listening)
            made = {"address": address, "pid": process["pid"] if process else 0}
            here = process or (_is_local(address) and not accepts(address))
            self.servers.append(made if here else {**made, "remote": True})
        self.main = next((_holder(each["address"], listening) for each in self.servers if each["pid"]), None)
        if self.main is None:
            self.main = next(iter(self._lonely()), None)
        self.evidence["servers"] = self.servers
        self.evidence["upstream"] = [
            {"address": address, "listening": _holder(address, listening) is not None or accepts(address)}
            for address in upstream
        ]
        self.evidence["leftovers"] = servers.leftovers([*sockets, *upstream], set(listening))

    def _shadowed(self, route: dict[str, Any]) -> list[str]:
        """Where another server block leads, which would pass the path on and does not get the request."""
        return (route.get("shadowed") or {}).get("beside", "").split()

    def project_of(self, bundle: dict[str, Any]) -> Project:
        """Return the project that this collection has deployed, so that it can be asked."""
        return Project(bundle, None, {}, self.params["probe"])

    def ask(self, project: Project, application: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Have a project import itself, speak to its channel layer and mint tokens; return that and its environment."""
        commands = {"good": self.params["token_command"], "expired": self.params["expired_token_command"]}
        if self.params["token"]:
            del commands["good"]
        with ThreadPoolExecutor(1) as pool:
            disk = pool.submit(project.disk_environment)
            wanted = {name: line for name, line in commands.items() if line}
            found = project.ask(application, wanted, self.params["origin"], path=self.parts.path)
        return found, disk.result() or {}

    def ask_project(self, asked: Future[Any] | None) -> None:
        """Take what the project has said, or ask it now if it had to be found first."""
        environ = proc.environment_of(self.main["pid"]) if self.main else {}
        self.secrets += secrets_of(environ)
        self.evidence["project"] = {}
        if asked:
            found, disk = asked.result()
        else:
            project = Project({}, self.main, environ, self.params["probe"])
            if not project.known:
                return
            asgi = self.main["application"] if self.main and self.main["speaks"] else ""
            found, disk = self.ask(project, asgi)
        self.secrets += secrets_of(disk)
        if disk and environ:
            found["stale"] = stale(disk, environ)
        found["allowed_hosts_from"] = listed_in(disk, found.get("allowed_hosts", []))
        minted = found.pop("minted", {})
        self.token = self.token or minted.get("good", "")
        self.expired = minted.get("expired", "")
        self.secrets += (own := found.pop("secrets", []))
        found["sealed"] = sealed_by(self.token, [*own, *secrets_of(environ), *secrets_of(disk)])
        self.secrets += minted.values()
        self.evidence["project"] = found
        if consumer := found.get("consumer"):
            consumer["connect"] = consumer_source.look(consumer.get("file") or "", consumer["name"])
        found["certificates"] = list(stores.certificates(environ or disk))
        databases = {
            urlsplit(proc.environment_of(each["pid"]).get("REDIS_URL", "")).path.lstrip("/")
            for each in self.processes if each["server"] and each["pid"] in {one["pid"] for one in self.servers}
        }  # fmt: skip
        found["databases"] = sorted(databases - {""})

    # --- what happens

    def address(self, token: str) -> str:
        """The WebSocket's address with a token in its place, or without the place if there is no token."""
        query = exchange.filled(self.params["query"], token)
        return f"ws://{self.parts.netloc}{self.parts.path or '/'}" + (f"?{query}" if query else "")

    def request(self, token: str, origin: str | None = None) -> tuple[str, list[tuple[str, str]]]:
        """A handshake's path with its query, and its headers."""
        sent = exchange.offered(self.params, token)
        given = self.params["origin"] if origin is None else origin
        headers = exchange.client_headers(self.parts.netloc, given, **sent)
        return exchange.target_of(self.address(token)), headers

    def attempt(self, via: str, kind: str, server: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        """Try one handshake, to a server or through nginx on loopback, and note what came."""
        token = {"none": "", "bad": spoiled(self.token), "expired": self.expired}.get(kind, self.token)
        options.setdefault("origin", self.params["origin"])
        options |= exchange.offered(self.params, token)
        if self.like_nginx and via == "process" and kind not in ("http", "wsgi", "page"):
            route = self.nginx.route(self.parts, *self.request(token, options["origin"]))
            if route:
                options["request"] = (f"GET {route['uri']} HTTP/{route['http_version']}", route["sends"])
        url = page_of(self, options) if kind == "page" else self.address(token)
        found = self.try_at(server, via, kind, url=url, **options)
        self.evidence["exchanges"].append(found)
        return found

    def try_at(self, server: dict[str, Any] | None, via: str, kind: str, **options: Any) -> dict[str, Any]:
        """Try one handshake with a server, or with nginx on loopback, and only return what came."""
        url = options.pop("url", "") or self.address(self.token)
        if server and server["address"].startswith("unix:"):
            options["unix_socket"] = server["address"].removeprefix("unix:")
        elif server:
            host, _, port = server["address"].removeprefix("tcp:").rpartition(":")
            options["connect_to"] = (_loopback(host), int(port))
            options.setdefault("tls", server.get("tls", False))
        elif not self.evidence["nginx"].get("route"):
            url = front_of(self, url, options)
        else:
            listen = self.evidence["nginx"]["route"]["listen"]
            if listen["address"].startswith("unix:"):
                options["unix_socket"] = listen["address"].removeprefix("unix:")
            else:
                place = "::1" if listen["address"] == "::" else _loopback(listen["address"])
                options["connect_to"] = (place, listen["port"])
            options.setdefault("tls", listen["tls"])
            options.setdefault("proxied", listen["proxied"])
        if options.pop("tls", False):
            url, options["context"] = "wss" + url[2:], loose()
        by = {"by": options.pop("by")} if "by" in options else {}
        return {**exchange.attempt(url, via=via, kind=kind, timeout=self.params["timeout"], **options), **by}

    def try_all(self) -> None:
        """Try a good token everywhere, what should be refused at one process, and plain HTTP; all at the same time."""
        idle = silence(self.params["idle_seconds"], {**self.evidence, "processes": self.processes})
        stay = {"linger": exchange.LINGER, "idle": idle}
        self.evidence["idle_seconds"] = idle
        jobs: list[tuple[str, str, dict[str, Any] | None, dict[str, Any]]] = []
        alive = [each for each in self.servers if each["pid"] or each.get("remote")]
        jobs += [("process", "good", each, stay) for each in alive]
        first = alive[0] if alive else None
        if first:
            jobs.append(("process", "http", first, {"upgrade": False}))
            if exchange.carries_token(self.params) and self.token:
                jobs += [("process", kind, first, {"linger": 0.5}) for kind in ("none", "bad")]
                jobs += [("process", "expired", first, {"linger": 0.5})] if self.expired else []
            if self.params["foreign_origin"]:
                jobs.append(("process", "foreign", first, {"origin": self.params["foreign_origin"]}))
        plain = [each for each in self.evidence["wsgi"] if each["listening"]]
        jobs += [("process", "wsgi", each, {"upgrade": False}) for each in plain[:1]]
        if self.evidence["nginx"].get("running") and self.evidence["nginx"].get("route"):
            jobs.append(("proxy", "good", None, stay))
            if self.evidence["nginx"]["route"]["listen"]["proxied"]:
                jobs.append(("proxy", "bare", None, {"proxied": False}))
        jobs += tries(self, first, stay)
        self.run(jobs)
        try_like_nginx(self, jobs)
        if secure := [each for each in alive if self.expects_tls(each)]:
            for each in secure:
                each["tls"] = True
            kept = [each for each in self.evidence["exchanges"] if each["via"] != "process"]
            self.evidence["exchanges"] = kept
            self.run([job for job in jobs if job[0] == "process"])
        refused = [each for each in self.evidence["exchanges"] if each["kind"] == "good" and each["via"] == "process"]
        if first and refused and all(each["status"] == 403 for each in refused):
            self.try_origins(first)

    def run(self, jobs: list[tuple[str, str, dict[str, Any] | None, dict[str, Any]]]) -> None:
        """Make several attempts at the same time."""
        with ThreadPoolExecutor(max(1, len(jobs))) as pool:
            for via, kind, server, options in jobs:
                pool.submit(self.attempt, via, kind, server, **options)

    def expects_tls(self, server: dict[str, Any]) -> bool:
        """Whether a server that closes on plain requests answers within TLS."""
        via = {"via": "process", "kind": "good"}
        came = [each for each in self.evidence["exchanges"] if via.items() <= each.items()]
        closed = any(each["stage"] == "handshake" and "no answer" not in each["reason"] for each in came)
        if not closed or not server["address"].startswith("tcp:"):
            return False
        return bool(self.try_at(server, "process", "tls", upgrade=False, tls=True)["status"])

    def try_origins(self, server: dict[str, Any]) -> None:
        """Try other Origins after a good token was refused: is it the token, or the Origin?"""
        hosts = [host.lstrip(".") for host in self.evidence["project"].get("allowed_hosts", []) if host != "*"]
        scheme = "https" if self.parts.scheme == "wss" else "http"
        for origin in list(dict.fromkeys([*(f"{scheme}://{host}" for host in hosts), f"{scheme}://localhost"]))[:3]:
            if self.attempt("process", "other_origin", server, origin=origin)["status"] == 101:
                return
        self.attempt("process", "other_origin", server, origin="")

    # --- what was logged

    def read_logs(self, files: dict[str, int]) -> None:
        """Read what the servers logged during the handshakes, and the last lines of those that do not run."""
        units = [each["unit"] for each in self.evidence["units"]]
        failed = any(each["status"] not in (101, 0) for each in self.evidence["exchanges"] if each["kind"] == "good")
        closed = any(each["close"] for each in self.evidence["exchanges"] if each["kind"] == "good")
        deadline = time.monotonic() + LOG_WAIT
        since = f"--since=@{self.begun:.0f}"
        while True:
            lines = logs.journal(units, since) + logs.new_lines(files)
            if lines or not (failed or closed) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        self.evidence["log"] = lines[-60:]
        crowded = logs.journal(units, "--since=-1h", "--grep=over capacity")
        self.evidence["crowded"] = crowded[-1:]
        # Don't add --since: Debian 12's journalctl would then show the first lines and not the last.
        for unit in self.evidence["units"]:
            if unit["state"] != "active" or unit["restarts"]:
                unit["log"] = logs.journal([unit["unit"]], "--lines=80")
        for program in self.evidence["programs"]:
            if program["state"] in ("FATAL", "BACKOFF", "EXITED", "STOPPED"):
                program["log"] = logs.program_log(program["program"])
        self.evidence["kills"] = logs.kernel_kills(self.begun - 600)

    def examine(self) -> None:
        """Do all of it. A fault of the examination itself must not hide what it saw before."""
        try:
            with ThreadPoolExecutor(3) as pool:
                # Ask a project whose name is known without looking for it first: it takes the longest to answer.
                named = deployed.bundle(self.params["app"]) if self.params["app"] else {}
                asked = pool.submit(self.ask, self.project_of(named), named["application"]) if named else None
                watching = pool.submit(Watch, named)
                self.look()
                if self.bundle and not named:
                    watching = pool.submit(Watch, self.bundle)
                alive = [each["pid"] for each in self.servers if each["pid"]]
                files = logs.file_logs(alive or [each["pid"] for each in self.processes if each["server"]])
                files |= logs.supervisor_logs()
                units = pool.submit(self.units)
                if self.bundle and not asked:
                    asked = pool.submit(self.ask, self.project_of(self.bundle), self.bundle["application"])
                self.ask_project(asked)
                through = ThroughNginx(self)
                self.try_all()
                through.explain()
            self.evidence["steady"] = watching.result().end() if self.bundle else {}
            self.evidence["units"] = self._own(units.result())
            self.read_logs(files)
        except Exception:
            self.evidence["fault"] = traceback.format_exc().splitlines()[-6:]

    def shown(self) -> dict[str, Any]:
        """The evidence without what is for this host only, and without secrets."""
        private = {"argv", "uid", "environ"}
        about = sorted(self.processes, key=lambda each: not each["server"])
        about = [each for each in about if each["server"] or each["listens"]]
        self.evidence["processes"] = [
            {key: value for key, value in each.items() if key not in private} for each in about
        ]
        # Measured at the beginning: a fleet's report has to wait for its slowest host.
        self.evidence["skew"] = round(self.begun - (self.params["asked_at"] or self.begun), 1)
        self.evidence["seconds"] = round(time.time() - self.begun, 2)
        known = [secret for secret in self.secrets if len(secret or "") >= 6]
        return scrub(redact(self.evidence, known))


def _is_meant(name: str, each: dict[str, Any], addresses: list[str]) -> bool:
    """Whether a process or unit is the one that should listen at one of some addresses."""
    return any(servers.is_to_listen(name, each["command"], address) for address in addresses)


def _address(upstream: str, scheme: str = "") -> str:
    """An upstream of nginx as an address of this host: `unix:/path` or `tcp:address:port`."""
    if upstream.startswith("unix:"):
        return upstream.rstrip("/").rstrip(":")
    host, colon, port = upstream.rpartition(":")
    if not colon or not port.isdigit():
        host, port = upstream, "443" if scheme == "https" else "80"
    return f"tcp:{'127.0.0.1' if host == 'localhost' else host.strip('[]')}:{port}"


def _holder(address: str, listening: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The process that listens on an address, or on all addresses."""
    if address in listening or address.startswith("unix:"):
        return listening.get(address)
    port = address.rpartition(":")[2]
    return next((listening[each] for each in (f"tcp:0.0.0.0:{port}", f"tcp::::{port}") if each in listening), None)


def _is_local(address: str) -> bool:
    """Whether an address is of this host, so that somebody here should listen on it."""
    return address.startswith("unix:") or is_here(address.removeprefix("tcp:").rpartition(":")[0])


def _loopback(host: str) -> str:
    return "127.0.0.1" if host in ("", "0.0.0.0", "*", "::", "[::]") else host.strip("[]")
