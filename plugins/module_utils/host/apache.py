"""What Apache does with a WebSocket's path, read from its configuration: the rule that takes it, and where that leads.

This understands only what the doctor asks about, and skips unknown directives. Rules:
https://httpd.apache.org/docs/2.4/mod/mod_proxy.html#proxypass, and mod_rewrite's flag P, which comes first.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from . import raw

ROOTS = ("/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf", "/usr/local/apache2/conf/httpd.conf")
#: The first version whose mod_proxy_http passes an upgrade on: ProxyPass … upgrade=websocket.
UPGRADES = (2, 4, 47)


@dataclass
class Line:
    """One directive: its words, where it is, and the sections around it, the outermost first."""

    words: list[str]
    where: str
    sections: list[tuple[str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The directive's name in lower case."""
        return self.words[0].lower()


def read(path: str, base: str, sections: list[tuple[str, str]] | None = None, depth: int = 0) -> list[Line]:
    """Return the directives of a configuration with those that it includes, in the order in which Apache reads them."""
    found: list[Line] = []
    open_sections = list(sections or [])
    pending, begun = "", 0
    for number, text in enumerate(raw.read(path).splitlines(), 1):
        begun = begun or number
        pending += text
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        line, place, pending, begun = pending.strip(), f"{path}:{begun}", "", 0
        if not line or line.startswith("#"):
            continue
        opened = re.match(r"<(\w+)\s*(.*?)\s*>$", line)
        if opened:
            # Several virtual hosts may have the same addresses: where each begins tells them apart.
            mark = f" #{place}" if opened[1].lower() == "virtualhost" else ""
            open_sections.append((opened[1].lower(), opened[2].strip("\"'") + mark))
        elif line.startswith("</"):
            if len(open_sections) > len(sections or []):
                open_sections.pop()
        else:
            words = _words(line)
            if words[0].lower() in ("include", "includeoptional") and len(words) > 1 and depth < 8:
                for file in _files(words[1], base):
                    found += read(file, base, open_sections, depth + 1)
            else:
                found.append(Line(words, place, list(open_sections)))
    return found


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, posix=True) or [line]
    except ValueError:
        return line.split()


def _files(pattern: str, base: str) -> list[str]:
    path = pattern if pattern.startswith("/") else os.path.join(base, pattern)
    if os.path.isdir(path):
        path += "/*"
    return sorted(each for each in glob.glob(path) if os.path.isfile(each))


def route(host: str, port: int, path: str) -> dict[str, Any]:
    """Return what Apache does with a handshake for a path: see `_judged`. Empty if its configuration is not found."""
    root = next((each for each in ROOTS if os.path.exists(each)), "")
    if not root:
        return {}
    shown = raw.output("apache2", "-v") or raw.output("httpd", "-v")
    version = re.search(r"Apache/([\d.]+)", shown)
    return way(read(root, os.path.dirname(root)), host, port, path, version[1] if version else "2.4.50")


def way(lines: list[Line], host: str, port: int, path: str, version: str) -> dict[str, Any]:
    """Return the way of a handshake through Apache, by its directives and its version."""
    modules = {each.words[1].removesuffix("_module") for each in lines if each.name == "loadmodule"}
    lines = [each for each in lines if _applies(each, modules)]
    wanted = _virtual_host(lines, host, port)
    mine = [each for each in lines if _host_of(each) == wanted]
    everywhere = [each for each in lines if _host_of(each) == ""]
    members = {
        name: each.words[1] for each in lines if each.name == "balancermember" and len(each.words) > 1
        for kind, name in each.sections if kind == "proxy"
    }  # fmt: skip
    rules = [*_rewrites(mine, path), *_passes([*mine, *(everywhere if wanted else [])], path)]
    judged = [_judged(each, path, target, prefix, members, version) for each, target, prefix in rules]
    taken = judged[0] if judged else {}
    later = next((each for each in judged[1:] if each["upgrade"]), {})
    return {
        **({"where": mine[0].where if mine else "", "rule": "", "target": "", "upgrade": False} | taken),
        "later": {key: later[key] for key in ("where", "rule", "target")} if later else {},
        "guards": _guards([*(everywhere if wanted else []), *mine], path),
        "modules": sorted(modules & {"proxy", "proxy_http", "proxy_wstunnel", "rewrite", "headers"}),
        "version": version, "upgrades": _numbers(version) >= UPGRADES,
        "upstream": [taken["address"]] if taken.get("address") else [],
    }  # fmt: skip


def _guards(lines: list[Line], path: str) -> list[str]:
    """The lines of a Location of the path that let only some clients in; the last Location that fits decides."""
    found: dict[str, list[str]] = {}
    for each in lines:
        if each.name not in ("require", "deny", "authtype") or not each.sections:
            continue
        kind, prefix = each.sections[-1]
        regular = kind == "locationmatch" or prefix.startswith("~ ")
        if kind not in ("location", "locationmatch") or not (
            _matched(prefix.removeprefix("~ ").strip("\"'"), path) if regular else _below(path, prefix)
        ):  # fmt: skip
            continue
        open_ = " ".join(each.words[1:]).lower() == "all granted"
        found.setdefault(prefix, []).extend([] if open_ else [f"{each.where}: {' '.join(each.words)}"])
    return list(found.values())[-1] if found else []


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _applies(line: Line, modules: set[str]) -> bool:
    """Whether a directive counts, by the IfModule sections around it; others are taken to apply."""
    for kind, value in line.sections:
        if kind == "ifmodule":
            name = value.lstrip("!").removeprefix("mod_").removesuffix(".c").removesuffix("_module")
            if (name in modules) == value.startswith("!"):
                return False
    return True


def _host_of(line: Line) -> str:
    return next((f"{value}" for kind, value in line.sections if kind == "virtualhost"), "")


def _virtual_host(lines: list[Line], host: str, port: int) -> str:
    """The virtual host that takes a name at a port: the first whose name fits, else the first at that port."""
    at_port = list(dict.fromkeys(
        value for each in lines if (value := _host_of(each))
        and any(re.search(rf":({port}|\*)$", one) or ":" not in one for one in value.partition(" #")[0].split())
    ))  # fmt: skip
    for value in at_port:
        names = [word for each in lines if _host_of(each) == value and each.name in ("servername", "serveralias")
                 for word in each.words[1:]]  # fmt: skip
        if any(re.fullmatch(re.escape(name.partition(":")[0]).replace(r"\*", ".*"), host) for name in names):
            return value
    return at_port[0] if at_port else ""


def _rewrites(lines: list[Line], path: str) -> list[tuple[Line, str, str]]:
    """The rules of mod_rewrite that proxy this path, if their conditions fit a handshake."""
    engine = [each for each in lines if each.name == "rewriteengine"]
    if not engine or engine[-1].words[-1].lower() != "on":
        return []
    found, fits = [], True
    for each in lines:
        if each.name == "rewritecond" and len(each.words) > 2:
            fits = fits and _fits(each.words[1].lower(), each.words[2], path)
        elif each.name == "rewriterule" and len(each.words) > 2:
            flags = each.words[3].strip("[]").upper().split(",") if len(each.words) > 3 else []
            match = _matched(each.words[1], path)
            if fits and match and ("P" in flags or "PROXY" in flags):
                target = _filled(each.words[2], match)
                found.append((each, target, ""))
            fits = True
    return found


def _matched(pattern: str, path: str) -> re.Match[str] | None:
    try:
        return re.search(pattern, path)
    except re.error:
        return None


def _filled(target: str, match: re.Match[str]) -> str:
    """A rule's target with the groups of its pattern in place of `$1` and so on."""
    groups = [match[0], *match.groups(default="")]
    return re.sub(r"\$(\d)", lambda one: groups[int(one[1])] if int(one[1]) < len(groups) else "", target)


def _fits(what: str, pattern: str, path: str) -> bool:
    """Whether a condition is true of a handshake; what is not known is taken to be."""
    value = {"%{http:upgrade}": "websocket", "%{http:connection}": "Upgrade", "%{request_uri}": path}.get(what)
    if value is None:
        return True
    wanted = pattern.lstrip("!").lstrip("=")
    matches = bool(_matched(f"(?i){wanted}", value))
    return matches != pattern.startswith("!")


def _passes(lines: list[Line], path: str) -> list[tuple[Line, str, str]]:
    """The rules of mod_proxy for a path in the order in which they are tried: those of a Location come first."""
    inner, outer = [], []
    for each in lines:
        if each.name not in ("proxypass", "proxypassmatch") or len(each.words) < 2:
            continue
        place = next(((kind, value) for kind, value in each.sections if kind in ("location", "locationmatch")), None)
        if place:
            kind, prefix = place
            regular = kind == "locationmatch" or prefix.startswith("~ ")
            fits = _matched(prefix.removeprefix("~ ").strip("\"'"), path) if regular else _below(path, prefix)
            if fits:
                inner.append((each, each.words[1], "" if regular else prefix))
        elif len(each.words) > 2:
            regular = each.name == "proxypassmatch"
            match = _matched(each.words[1], path) if regular else None
            if regular and match:
                target = _filled(each.words[2], match)
                outer.append((each, target, ""))
            elif not regular and path.startswith(each.words[1]):
                outer.append((each, each.words[2], each.words[1]))
    # Of several Locations, the last one that fits sets what counts.
    return [*reversed(inner), *outer]


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def _judged(line: Line, path: str, target: str, prefix: str, members: dict[str, str], version: str) -> dict[str, Any]:
    """A rule as data: where it is, what it says, where it leads, and whether it passes an upgrade on.

    `address` is the server's, `asked` the path that the server is asked for, `scheme` that of the target.
    """
    if target == "!":
        return {"where": line.where, "rule": " ".join(line.words), "target": "!", "scheme": "", "address": "",
                "asked": "", "upgrade": False, "timeout": 0}  # fmt: skip
    options = dict(word.lower().split("=", 1) for word in line.words if "=" in word and "://" not in word)
    socket, bar, rest = target.partition("|")
    whole = rest if bar else target
    if whole.startswith("balancer://"):
        name = next((each for each in members if whole.startswith(each)), "")
        whole = members.get(name, whole) + whole.removeprefix(name)
    parts = urlsplit(whole)
    default = 443 if parts.scheme in ("https", "wss") else 80
    try:
        port = parts.port or default
    except ValueError:
        port = default
    address = socket if bar else f"{parts.hostname or ''}:{port}"
    base = parts.path
    asked = base + path[len(prefix) :] if prefix else base
    upgrade = parts.scheme in ("ws", "wss") or (
        options.get("upgrade", "").lower() in ("websocket", "any") and _numbers(version) >= UPGRADES
    )
    timeout = options.get("timeout", "")
    return {
        "where": line.where, "rule": " ".join(line.words), "target": target, "scheme": parts.scheme,
        "address": address, "asked": asked or "/", "upgrade": upgrade, "prefix": prefix,
        "timeout": int(timeout) if timeout.isdigit() else 0,
    }  # fmt: skip
