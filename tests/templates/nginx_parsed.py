"""nginx's configuration as its own directives, for tests that hold it to what it promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import crossplane
from crossplane.analyzer import DIRECTIVES

Render = Callable[..., str]
NEWER = ("http2", "ssl_conf_command", "ssl_reject_handshake")  # than crossplane


def parsed_nginx(tmp_path: Path, render: Render, **options: Any) -> list[dict[str, Any]]:
    """Return the directives of nginx's whole configuration, or fail with what nginx would complain of."""
    for name in ("conf.d", "sites-enabled", "modules-enabled"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "mime.types").write_text("types { text/html html; }\n")
    main = render("nginx/nginx.conf.j2", **options).replace("/etc/nginx", str(tmp_path))
    (tmp_path / "nginx.conf").write_text(main)
    (tmp_path / "sites-enabled" / "site.conf").write_text(render("nginx/site.conf.j2", **options))
    (tmp_path / "conf.d" / "upstream.conf").write_text(render("asgi/upstream.conf.j2", **options))
    (tmp_path / "conf.d" / "log.conf").write_text(render("nginx/access_log.conf.j2", **options))
    (tmp_path / "conf.d" / "http.conf").write_text(render("asgi/http_upstream.conf.j2", **options))
    (tmp_path / "conf.d" / "maintenance.conf").write_text(render("nginx/maintenance.conf.j2", **options))
    (tmp_path / "conf.d" / "limits.conf").write_text(render("nginx/limits.conf.j2", **options))
    if options.get("certificate_source", "none") != "none":
        (tmp_path / "conf.d" / "channels-tls.conf").write_text(render("nginx/tls.conf.j2", **options))
    # Not its strict mode, which takes the entries of a map for directives.
    payload = crossplane.parse(str(tmp_path / "nginx.conf"), combine=True)
    assert payload["status"] == "ok", payload["errors"]
    parsed = payload["config"][0]["parsed"]
    assert not unknown(parsed)
    return parsed


def unknown(block: list[dict[str, Any]]) -> list[str]:
    """Return the directives that nginx does not have."""
    names = [entry["directive"] for entry in block if entry["directive"] not in (*DIRECTIVES, *NEWER, "#")]
    inner = [entry for entry in block if entry["directive"] not in ("map", "types", "geo")]
    return names + [name for entry in inner for name in unknown(entry.get("block") or [])]


def found(block: list[dict[str, Any]], directive: str) -> list[dict[str, Any]]:
    """Return all occurrences of a directive, however deep."""
    hits = [entry for entry in block if entry["directive"] == directive]
    return hits + [hit for entry in block for hit in found(entry.get("block") or [], directive)]


def location(block: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Return the directives of a location."""
    (only,) = [entry for entry in found(block, "location") if entry["args"][-1] == path]
    return only["block"]


def settings(block: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the arguments of each directive that a block itself has, for each time that it stands there."""
    own: dict[str, list[str]] = {}
    for entry in block:
        if entry["directive"] != "#" and "block" not in entry:
            own.setdefault(entry["directive"], []).append(" ".join(entry["args"]))
    return own
