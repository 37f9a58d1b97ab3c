"""Advice about what would keep sockets from opening or messages from arriving, as far as the code shows it.

The doctor finds the same on a host, by asking the application itself.
"""

from __future__ import annotations

import ast
from typing import Any

from ..code.files import TESTS, Sources
from ..code.scope import Scope
from ..code.values import Call, Protocols, known
from .findings import Inspection


def advise_sockets(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Notes on the ASGI object, the validators around its routes, and the channel layer's address."""
    advise_object(sources, found, scope)
    advise_validators(sources, found)
    if scope:
        advise_addresses(found, scope)
    if found.layer.kind == "memory" and found.workers:
        names = ", ".join(worker.name for worker in found.workers)
        text = f"the channel layer is in memory, so nothing that {names} sends reaches a socket"
        fix = "channels_redis.pubsub.RedisPubSubChannelLayer for all processes."
        found.note("warning", found.layer.place, text, fix)


def advise_object(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Notes on an ASGI object without WebSockets, or without HTTP and nothing else that answers it."""
    module, _, attribute = found.asgi.partition(":")
    value = value_of(sources, module, attribute)
    if is_plain(value) and found.sockets:
        text = f"{found.asgi} is plain Django, which answers a handshake with 500"
        fix = 'application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": …}).'
        found.note("error", found.asgi_place or found.asgi, text, fix)
    setting = known(scope.values.get("ASGI_APPLICATION")) if scope else None
    if isinstance(setting, str) and "." in setting and isinstance(value, Protocols):
        named = setting.replace(":", ".").rpartition(".")
        if is_plain(value_of(sources, named[0], named[2])):
            text = f"ASGI_APPLICATION names {setting}, which is plain Django; {found.asgi} knows WebSockets"
            fix = f'ASGI_APPLICATION = "{found.asgi.replace(":", ".")}". The inventory has it already.'
            found.note("warning", scope.places.get("ASGI_APPLICATION") if scope else "", text, fix)
    if not found.http:
        text = f"{found.asgi} has no 'http', so daphne answers pages with 500"
        fix = "asgi_http: wsgi is in the inventory." if found.wsgi else "A module in the inventory adds it."
        found.note("notice", found.asgi_place or found.asgi, text, fix)


def value_of(sources: Sources, module: str, attribute: str) -> Any:
    """The value of a module's name; None if the project has no such module or name."""
    file = sources.module(module) if module else None
    return sources.scope(file).values.get(attribute) if file and file.suffix == ".py" else None


def is_plain(value: Any) -> bool:
    """Whether a value is Django's own ASGI application, without a router around it."""
    return isinstance(value, Call) and value.name.endswith("get_asgi_application")


def advise_validators(sources: Sources, found: Inspection) -> None:
    """Notes on validators with lists of their own: what is in ALLOWED_HOSTS does not matter then."""
    for path in sources.python():
        if "OriginValidator" not in sources.text(path) or TESTS.search(sources.relative(path)):
            continue
        for node in ast.walk(sources.tree(path) or ast.Module([], [])):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] != "OriginValidator":
                continue
            given = node.args[1] if len(node.args) > 1 else next(
                (word.value for word in node.keywords if word.arg == "allowed_origins"), None)  # fmt: skip
            if isinstance(given, ast.List | ast.Tuple) and all(isinstance(one, ast.Constant) for one in given.elts):
                origins = [str(one.value) for one in given.elts if isinstance(one, ast.Constant)]
                if "*" not in origins:
                    text = f"OriginValidator allows {', '.join(origins) or 'nothing'}, whatever ALLOWED_HOSTS says"
                    fix = "Name the site's own Origin there, with scheme and port; or use AllowedHostsOriginValidator."
                    found.note("warning", sources.place(path, node), text, fix)


def advise_addresses(found: Inspection, scope: Scope) -> None:
    """Notes on the layer's hosts: a URL for a host name, and options for TLS where the address has none."""
    layers = scope.values.get("CHANNEL_LAYERS")
    default = layers.get("default") if isinstance(layers, dict) else None
    config = default.get("CONFIG") if isinstance(default, dict) else None
    hosts = config.get("hosts") if isinstance(config, dict) else None
    if found.layer.kind not in ("core", "pubsub"):
        return
    for host in hosts if isinstance(hosts, list | tuple) else []:
        name = known(host[0]) if isinstance(host, list | tuple) and host else known(
            host.get("host")) if isinstance(host, dict) else ""  # fmt: skip
        if isinstance(name, str) and "://" in name:
            text = f"the channel layer takes {name.partition('@')[2] or name} for a host's name, and it is a URL"
            found.note("error", found.layer.place, text, '"hosts": [the URL alone], without a port beside it.')
        address = known(host.get("address")) if isinstance(host, dict) else ""
        options = sorted(key for key in host if str(key).startswith("ssl_")) if isinstance(host, dict) else []
        if options and isinstance(address, str) and address.startswith("redis://"):
            text = f"the channel layer has {', '.join(options)}, but an address without TLS, which raises a TypeError"
            found.note("warning", found.layer.place, text, "rediss:// in the address, or no such options.")
