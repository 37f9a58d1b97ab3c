"""3: plain HTTP is answered, and the pages work."""

from __future__ import annotations

import time
from typing import Any

from ...doctor.https import forwarded, judge, leads_back
from ...websocket.errors import HandshakeFailed
from ...websocket.explain import explain
from ...websocket.http import http_get
from ..host import Host
from ..results import Proof, since, tried, tried_http


def check_http(host: Host, proof: Proof) -> None:
    """3: nginx's local port answers, and each process's socket does."""
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"port {host.params['local_port']}", {"address": f"127.0.0.1:{host.params['local_port']}"}),
    ]
    # If plain HTTP has its own processes, the others may not answer it.
    plain = host.bundle.get("wsgi") or host.bundle
    ways += [
        (f"process {name}", {"unix_socket": path})
        for name, path in zip(plain.get("instances", []), plain.get("sockets", []), strict=True)
    ]
    answers, faults, tries = [], [], []
    for name, way in ways:
        what = f"GET {host.params['health_path']} at {way.get('address') or way['unix_socket']}"
        begun = time.monotonic()
        try:
            answer = http_get(
                host.params["health_path"], host=host.params["host"], timeout=host.params["timeout"],
                headers=forwarded(host.params["origin"]), **way,
            )  # fmt: skip
        except HandshakeFailed as error:
            faults.append(f"{name}: {explain(error)['what']}")
            tries.append(tried(what, explain(error)["what"], {"total": since(begun)}))
            continue
        tries.append(tried_http(what, answer, since(begun)))
        answers.append(str(answer.status))
        location = answer.headers.get("location", "")
        if "unix_socket" in way and leads_back(
            host.params["origin"], host.params["health_path"], host.params["host"], answer.status, location
        ):
            faults.append(f"{name}: {answer.status}, which leads back to {host.params['health_path']}")
        elif answer.status >= 400:
            faults.append(f"{name}: {answer.status} {answer.reason} {answer.body[:120]}".strip())
    title = f"Port {host.params['local_port']} and each process answer HTTP"
    if faults:
        proof.failed("http", title, "; ".join(faults), tries)
    else:
        proof.passed("http", title, f"{host.params['health_path']}: {', '.join(answers)}", tries)


def check_pages(host: Host, proof: Proof) -> None:
    """3b: the project's settings know where the site's pages are: they do not loop, and forms and cookies work."""
    title = "Pages work at the address that browsers use"
    if "page" not in host.project:
        return
    said = host.project["page"]
    found = list(judge(said))
    tries = [tried(f"Django with a request for a page of {said['origin']}", views(said))]
    for code, seen, values in found:
        state = "failed" if code.startswith("E") else "warned"
        proof.add("pages", title, state, seen, tries, code=code, values=values)
    if not found:
        proof.passed("pages", title, host.params["origin"], tries)


def views(said: dict[str, Any]) -> str:
    """How Django sees a page of the site, in words."""
    cookies = ", ".join(f"{name} {'on' if secure else 'off'}" for name, secure in said["cookies"].items())
    return "; ".join(
        each for each in (
            f"is_secure() is {'true' if said['secure'] else 'false'}",
            f"SECURE_SSL_REDIRECT {'redirects' if said['redirects'] else 'does not redirect'}",
            f"the site is {said['host']}" if said["host"] else "the Host header is refused", cookies,
        ) if each
    )  # fmt: skip
