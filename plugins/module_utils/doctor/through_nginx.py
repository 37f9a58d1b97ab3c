"""Why a handshake opens at the server, and not through nginx: nginx's request replayed, its logs, its rights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..host import access, logs
from ..host.nginx import error_log
from ..host.nginx.look import workers
from ..websocket import exchange
from . import replay
from .answers import opened

if TYPE_CHECKING:
    from .examination import Examination

#: Lines of an error log that are read at most, from its end.
MOST_LINES = 400


class ThroughNginx:
    """The examination of nginx itself, beside the tries. Make it before they begin: it notes where the logs end."""

    def __init__(self, examination: Examination) -> None:
        self.examination = examination
        self.nginx: dict[str, Any] = examination.evidence["nginx"]
        self.route: dict[str, Any] = self.nginx.get("route") or {}
        self.sizes = logs.sizes(self.nginx.get("logs", []))

    def explain(self) -> None:
        """If the way through nginx is broken, find out what makes the difference."""
        exchanges = self.examination.evidence["exchanges"]
        came = next((each for each in exchanges if (each["via"], each["kind"]) == ("proxy", "good")), None)
        if came is None or opened(came):
            return
        self.nginx["said"] = error_log.entries(logs.new_lines(self.sizes)[-MOST_LINES:], self.examination.parts.netloc)
        self.nginx["reach"] = self.reach()
        server = next((each for each in self.examination.servers if each["pid"] and self.serves(each)), None)
        if server and self.route.get("handler") == "proxy_pass" and not self.route["status"]:
            self.nginx["replay"] = self.replayed(server)
        elif self.route.get("shadowed") and self.route["certain"]:
            self.nginx["other_name"] = self.other_name()

    def serves(self, server: dict[str, Any]) -> bool:
        """Whether a direct handshake with this server opened."""
        place = server["address"].partition(":")[2]
        exchanges = self.examination.evidence["exchanges"]
        good = [each for each in exchanges if (each["via"], each["kind"]) == ("process", "good")]
        return any(opened(each) and each["to"].rpartition(":")[2] == place.rpartition(":")[2] for each in good)

    def reach(self) -> list[dict[str, Any]]:
        """Whether nginx's own user can connect to each address behind it."""
        pids = workers()
        upstream = [each["address"] for each in self.examination.evidence["upstream"]]
        return [access.connects(address, pids[0]) for address in upstream[:4]] if pids else []

    def replayed(self, server: dict[str, Any]) -> dict[str, Any]:
        """What nginx would send, sent straight to the server, and each of its differences to a good request."""
        examination = self.examination
        target, headers = examination.request(examination.token)
        route = examination.nginx.route(examination.parts, target, headers)
        if route is None:
            return {}
        good = replay.Request(target, "1.1", tuple(headers), server.get("tls", False))
        sent = replay.Request(route["uri"], route["http_version"], tuple(route["sends"]), route["scheme"] == "https")

        def attempt(request: replay.Request, kind: str) -> dict[str, Any]:
            line = f"GET {request.target} HTTP/{request.version}"
            return examination.try_at(server, "replay", kind, request=(line, list(request.headers)), tls=request.tls,
                                      linger=exchange.LINGER)  # fmt: skip

        return replay.compare(good, sent, attempt)

    def other_name(self) -> dict[str, Any]:
        """The same request by the name of the server block that it does not get."""
        name = next((each for each in self.route["shadowed"]["names"].split() if each[0] not in "*.~_"), "")
        if not name or self.route["shadowed"]["same"]:
            return {}
        target, headers = self.examination.request(self.examination.token)
        renamed = [(key, name if key == "Host" else value) for key, value in headers]
        return self.examination.try_at(None, "proxy", "other_name", request=(f"GET {target} HTTP/1.1", renamed))


def try_like_nginx(
    examination: Examination, jobs: list[tuple[str, str, dict[str, Any] | None, dict[str, Any]]]
) -> None:
    """If only nginx's request opens, it is the good one: nginx adds or takes away what the server needs so."""
    evidence = examination.evidence
    good = [each for each in evidence["exchanges"] if each["kind"] == "good"]
    ways = {each["via"] for each in good if opened(each)}
    is_passed = (evidence["nginx"].get("route") or {}).get("handler") == "proxy_pass"
    if "proxy" not in ways or "process" in ways or not is_passed:
        return
    former = evidence["exchanges"]
    evidence["exchanges"] = [each for each in former if each["via"] != "process"]
    examination.like_nginx = True
    examination.run([job for job in jobs if job[0] == "process"])
    if not any(opened(each) for each in evidence["exchanges"] if each["via"] == "process"):
        evidence["exchanges"], examination.like_nginx = former, False
