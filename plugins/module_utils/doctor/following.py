"""Following the port: who listens where clients connect, what that does with the path, and where it leads."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any

from ..host import fronts, proc, supervisor
from ..host.nginx.servers import is_here
from ..host.servers import is_to_listen

if TYPE_CHECKING:
    from .examination import Examination

#: Handshakes one after another through the proxy, to see a fault that comes and goes.
AGAIN = 4
#: Seconds that the doctor stays silent at most if nobody has said how long.
LONGEST_SILENCE = 33.0
Job = tuple[str, str, dict[str, Any] | None, dict[str, Any]]


def follow(examination: Examination) -> list[str]:
    """Note who listens on the URL's port, and return its upstream.

    nginx's route is taken out of the evidence if another program listens there and does not lead to nginx: what nginx
    would do with the path does not matter then, and that it may be stopped is no fault.
    """
    evidence, parts, processes = examination.evidence, examination.parts, examination.processes
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    evidence["fronts"] = found = fronts.fronts(port, processes)
    evidence["supervisor"] = supervisor.look()
    if not found:
        evidence["stopped"] = fronts.stopped()
    nginx = evidence["nginx"]
    own: list[str] = (nginx.get("route") or {}).get("upstream", [])
    if not found or any(each["kind"] == "nginx" for each in found):
        return own if examination.params["app"] else behind(examination, own) or own
    first = found[0]
    way = fronts.route(first["kind"], parts.hostname or "", port, parts.path or "/")
    upstream = [str(each) for each in way.get("upstream", [])]
    ports = {each.rpartition(":")[2] for each in upstream}
    listens = {address.rpartition(":")[2] for each in processes if each["name"] == "nginx"
               for address in each["listens"] if address.startswith("tcp:")}  # fmt: skip
    chained = bool(ports & listens)
    if not chained and (upstream or first["kind"] in ("server", "Apache", "HAProxy") or not nginx.get("running")):
        taken = {*nginx.get("others", []), *(nginx.get("route") or {}).get("upstream", [])}
        nginx |= {"aside": True, "route": None, "others": sorted(taken)}
    evidence["front"] = {**way, **first, "chained": chained}
    return upstream if nginx.get("aside") else own


def accepts(address: str) -> bool:
    """Whether a port of this host accepts connections: one of a container has no process here that listens on it."""
    host, _, port = address.removeprefix("tcp:").rpartition(":")
    if not address.startswith("tcp:") or not is_here(host):
        return False
    try:
        socket.create_connection(("127.0.0.1" if host in ("0.0.0.0", "") else host, int(port)), 1).close()
    except (OSError, ValueError):
        return False
    return True


def behind(examination: Examination, upstream: list[str]) -> list[str]:
    """Where another proxy behind nginx leads, which is noted as the one to look at; empty if there is none."""
    parts = examination.parts
    for each in examination.processes:
        kind = fronts.KINDS.get(each["name"], "nginx")
        place = next((one for one in upstream if _listens_at(each, one)), "")
        if kind in ("Apache", "HAProxy", "Caddy") and place:
            port = int(place.rpartition(":")[2])
            way = fronts.route(kind, parts.hostname or "", port, parts.path or "/")
            examination.evidence["front"] = {
                **way, "kind": kind, "name": each["name"], "pid": each["pid"], "address": place.rpartition(":")[0],
                "port": port, "chained": False, "behind": True,
            }  # fmt: skip
            return [str(one) for one in way.get("upstream", [])]
    return []


def _listens_at(process: dict[str, Any], place: str) -> bool:
    """Whether a process listens at a place of this host, such as `127.0.0.1:8080`, or at all addresses."""
    host, _, port = place.rpartition(":")
    known = {f"tcp:{'127.0.0.1' if host == 'localhost' else host}:{port}", f"tcp:0.0.0.0:{port}", f"tcp::::{port}"}
    return port.isdigit() and bool(known & set(process["listens"]))


def promised(examination: Examination, addresses: list[str]) -> bool:
    """Whether a unit or a program that does not run is the one that should listen at one of some addresses."""
    evidence = examination.evidence
    supervisor_ = evidence.get("supervisor") or {}
    meant = [(each["unit"], each["command"]) for each in examination.units() if each["state"] != "active"]
    meant += [(each["program"], "") for each in evidence.get("programs") or [] if each["state"] != "RUNNING"]
    down = {name.partition(":")[0] for name, _command in meant}
    for each in supervisor_.get("programs") or []:
        if not supervisor_.get("running") or each["program"] in down:
            meant.append((each["program"], f"{each['command']} {each['socket']}"))
    return any(is_to_listen(name, command, address) for name, command in meant for address in addresses)


def front_of(examination: Examination, url: str, options: dict[str, Any]) -> str:
    """Have an attempt connect to the program on the URL's port, in place of nginx; return the address for it."""
    front = examination.evidence["front"]
    host = front["address"]
    options["by"] = front["kind"] or front["name"]
    options["connect_to"] = ("127.0.0.1" if host in ("0.0.0.0", "::") else host, front["port"])
    if examination.parts.scheme != "wss":
        return url
    options["context"] = loose()
    return "wss" + url[2:]


def loose() -> ssl.SSLContext:
    """TLS for which any certificate will do: whether clients trust it is tried from outside."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def silence(asked: float, evidence: dict[str, Any]) -> float:
    """How many seconds sockets should stay silent: as asked, or below 0, as long as anything that was found suggests.

    On a host where nothing is suspected, waiting would show nothing; where something cuts silent sockets soon, it must
    be seen to do so.
    """
    if asked >= 0:
        return asked
    project, found = evidence.get("project") or {}, [0.0]
    version = re.match(r"\d+", (project.get("versions") or {}).get("redis", ""))
    if version and int(version[0]) >= 8 and str(project.get("layer")).startswith("channels_redis.core"):
        found.append(0.0 if project.get("patient") else 7.0)
    servers = [each for each in evidence.get("processes") or [] if each["server"]]
    ping = max([each["ping"] for each in servers] or [20.0])
    limits = [each["websocket_timeout"] for each in servers]
    limits += [limit for limit in (
        (evidence["nginx"].get("route") or {}).get("read_timeout", 0), (evidence.get("front") or {}).get("idle", 0),
    ) if limit <= ping]  # fmt: skip
    return max([*found, *(limit + 3 for limit in limits if 0 < limit <= LONGEST_SILENCE - 3)])


def page_of(examination: Examination, options: dict[str, Any]) -> str:
    """Have an attempt ask for the site's first page, as a proxy in front would; return the address for it."""
    scheme = "https" if examination.parts.scheme == "wss" else "http"
    options |= {"headers": {"X-Forwarded-Proto": scheme}, "subprotocols": [], "origin": ""}
    return f"ws://{examination.parts.netloc}/"


def tries(examination: Examination, first: dict[str, Any] | None, stay: dict[str, float]) -> list[Job]:
    """More attempts: at the program on the URL's port if it is not nginx, at a page, and several in a row."""
    evidence = examination.evidence
    front = evidence.get("front") or {}
    aside = evidence["nginx"].get("aside")
    through = bool(evidence["nginx"].get("running") and evidence["nginx"].get("route"))
    jobs: list[Job] = []
    if aside and front.get("kind") != "server":
        jobs.append(("proxy", "good", None, stay))
        through = True
    page = {"upgrade": False}
    jobs += [("process", "page", first, page)] if first else []
    jobs += [("proxy", "page", None, page)] if through else []
    if through and not examination.bundle:
        jobs += [("proxy", "again", None, {})] * AGAIN
    return jobs


def hidden(upstream: list[str], processes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The unix sockets that a server has made where the proxy sees another folder, or nothing at that path.

    Each has `socket`, `folder` and `who`, the side that has a folder of its own. Paths are looked at in the processes'
    own mount namespaces.
    """
    master = next((pid for pid in proc.titled("nginx: master")), 0) or next(iter(proc.called("apache2")), 0)
    found = []
    for path in (each.removeprefix("unix:") for each in upstream if each.startswith("unix:")):
        server = next((each for each in processes if f"unix:{path}" in each["listens"]), None)
        if not server or not master:
            continue
        spaces = [proc.link(pid, "ns/mnt") for pid in (server["pid"], master)]
        if not all(spaces) or spaces[0] == spaces[1]:
            continue
        made, seen = (proc.inode(pid, path) for pid in (server["pid"], master))
        if made and made != seen:
            who = "The proxy" if spaces[0] == proc.link(os.getpid(), "ns/mnt") else "The server"
            folder = re.match(r"/(var/)?\w+", path)
            found.append({"socket": path, "folder": folder[0] if folder else "/", "who": who})
    return found
