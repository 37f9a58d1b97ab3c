"""What must be seen before a project, its token or its layer is accused. Data, with small functions beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from .answers import cut_late, opened, refusal
from .case import Case, lost_settings, meant, version_of
from .https import judge
from .proof import Proof
from .rules.application import ORDER, TABLES
from .rules.consumer import closes_itself, middleware_closes, never_accepts, off_the_routes, reads, token_unread
from .rules.layer import CLUSTER, answered, elsewhere
from .rules.layer_address import GONE, other_layers
from .signatures import signature

#: What a connection that fails is called.
_CONNECT = re.compile(r"[Cc]onnect|refused|No master found|[Tt]imeout|timed out")


def _texts(case: Case) -> Iterator[str]:
    """What the project said: its layer's own test, its import, its logs, and the body of its answer."""
    yield from (case.project.get(name) or "" for name in ("layer_error", "import_error"))
    yield from case.log
    yield from (line for each in case.units for line in each.get("log", []))
    yield from (line for each in case.programs for line in each.get("log", []))
    yield from (line for each in case.directs for line in each["body"].splitlines())


def _said(code: str) -> Callable[[Case], bool]:
    """Whether a text is a sign of a code."""
    return lambda case: any(signature(text) == code for text in _texts(case))


def _hosts(case: Case, *speaks: str) -> list[dict[str, Any]]:
    """The hosts of the layer, as parsed, that answered in one of these ways."""
    return [each for each in case.project.get("layer_hosts") or [] if each.get("speaks", "") in speaks]


def _unreached(case: Case) -> bool:
    """Whether a connection to a Redis failed, and none answers at the address to which it was made."""
    return any(
        _CONNECT.search(text)
        and signature(text) in ("", "E501_REDIS_DOWN")
        and not answered(case, text)
        and not elsewhere(case, text)
        for text in _texts(case)
    )


def _layer_fails(case: Case, speaks: str, *schemes: str) -> bool:
    """Whether the layer fails, and a host of it with one of these schemes answers in this way."""
    known = [each for each in _hosts(case, speaks) if not schemes or each.get("scheme", "") in schemes]
    return bool(case.project.get("layer_error") and known)


def _in_memory(case: Case) -> bool:
    return str(case.project.get("layer", "")).endswith("InMemoryChannelLayer")


def _refused(case: Case) -> bool:
    return bool(refusal(case.direct or case.outside))


def _token(case: Case) -> dict[str, Any]:
    return case.evidence.get("token") or {}


def _accused(case: Case, minted: bool) -> bool:
    """Whether a token that was sent is refused, and no other Origin has opened a socket with it."""
    other = any(each["kind"] == "other_origin" and opened(each) for each in case.exchanges)
    return (
        _refused(case)
        and bool(_token(case).get("present"))
        and bool(_token(case).get("minted")) == minted
        and not other
        and reads(case, "tokens")
    )


def _claims(case: Case) -> dict[str, float]:
    return {"exp": 1e12, "nbf": 0.0, "iat": 0.0, **(_token(case).get("claims") or {})}


def _now(case: Case) -> float:
    return float(case.evidence.get("now") or 0)


def _clock(case: Case) -> bool:
    early = max(_claims(case)["nbf"], _claims(case)["iat"]) > _now(case) + 30
    return _refused(case) and (abs(case.evidence.get("skew") or 0) > 30 or early)


def _closed_late(came: dict[str, Any] | None) -> bool:
    return bool(came and came["status"] == 101 and came["close"] and cut_late(came))


def _cut_directly(case: Case) -> bool:
    return any(_closed_late(each) for each in case.directs)


def _page(code: str) -> Callable[[Case], bool]:
    return lambda case: "page" in case.project and any(found == code for found, *_ in judge(case.project["page"]))


def _logged(pattern: re.Pattern[str]) -> Callable[[Case], bool]:
    return lambda case: not opened(case.direct) and any(pattern.search(text) for text in _texts(case))


def _served(case: Case, kind: str) -> bool:
    """Whether the project says that its ASGI object does not know a type of connections."""
    return "types" in case.project and kind not in case.project["types"]


#: By code.
PROJECT_PROOFS: dict[str, Proof] = {
    # --- its import
    "E201_ASGI_MODULE": Proof(
        "The import in the project's own environment, or the server's log, says which module is not found.",
        _said("E201_ASGI_MODULE")),
    "E202_ASGI_ATTRIBUTE": Proof(
        "The import, or the server's log, says which attribute the module lacks.",
        _said("E202_ASGI_ATTRIBUTE")),
    "E203_APPS_NOT_READY": Proof(
        "The import, or the log, says so (AppRegistryNotReady).", _said("E203_APPS_NOT_READY")),
    "E127_SOCKET_FOLDER": Proof(
        "The server's log has the error of its bind(2), ENOENT or EACCES, with the socket's path.",
        _said("E127_SOCKET_FOLDER")),
    "E128_BIND_ADDRESS": Proof("The server's log has the error of its bind(2) (errno 99).", _said("E128_BIND_ADDRESS")),
    "E129_PORT_DENIED": Proof("The server's log has the error of its bind(2) (errno 13).", _said("E129_PORT_DENIED")),
    "E130_WORKER_CLASS": Proof(
        "gunicorn's own message (class uri … not found), or Python's, that a module has no such attribute, for the one "
        "that gunicorn's command names.", lambda case: any(
            meant(case, signature(text), text) == "E130_WORKER_CLASS" for text in _texts(case))),
    "E204_IMPORT_ERROR": Proof(
        "The import in the project's own environment, or the server's log, has the error.",
        lambda case: bool(case.project.get("import_error")) or _said("E201_ASGI_MODULE")(case)),
    "E206_SETTINGS_MODULE": Proof(
        "The import, or the server's log, says which module is not found, and that is DJANGO_SETTINGS_MODULE or a "
        "module of settings.", lambda case: any(lost_settings(case, text) for text in _texts(case))),
    "E207_NO_SETTINGS": Proof(
        "The log says that settings are not configured, and the ASGI module's file, read on the host, has no "
        "DJANGO_SETTINGS_MODULE.", lambda case: any(
            (each.get("setup") or {}).get("names_settings") is False for each in case.units) and any(
            "settings are not configured" in text for text in _texts(case))),
    "E251_NO_WEBSOCKET": Proof(
        "The object that is served, imported in the project's environment, knows no type websocket, and the server "
        "refuses a handshake.", lambda case: _served(case, "websocket") and not opened(case.direct)),
    "E252_NO_HTTP": Proof(
        "The object that is served knows no type http, and the server answers a plain request with 500.",
        lambda case: _served(case, "http") and any(
            each["status"] == 500 for each in (case.one("process", "page"), case.one("process", "http")) if each)),
    # --- the token
    "E401_NO_TOKEN": Proof(
        "The server refuses the handshake (401, 403 or a close), and none was sent with it.",
        lambda case: _refused(case) and not _token(case).get("present") and reads(case, "tokens")),
    "E402_TOKEN_BAD": Proof(
        "The server itself refuses a handshake with the token, and with the same token no other Origin opens one.",
        lambda case: _accused(case, minted=False)),
    "E403_TOKEN_EXPIRED": Proof(
        "The server refuses it, and its own claim exp lies in the past.",
        lambda case: _refused(case) and _claims(case)["exp"] < _now(case)),
    "E409_CLOCK": Proof(
        "The server refuses it, and the host's clock, asked at the same time, is off; or its claims begin in the "
        "future.", _clock),
    "E411_TOKEN_COMMAND": Proof(
        "The command ended with an error, which is shown.",
        lambda case: bool((case.project.get("not_minted") or {}).get("good"))),
    "E413_OTHER_SECRET": Proof(
        "The server refuses a token that the project on the disk has just created.",
        lambda case: _accused(case, minted=True)),
    # --- Origin, Host, route, pages
    "E404_NO_ROUTE": Proof(
        "The application's log says so during the try (No route found for path).", _said("E404_NO_ROUTE")),
    "E405_ORIGIN": Proof(
        "The same handshake with another Origin, one of ALLOWED_HOSTS, opens; or the project's validator, asked with "
        "its settings, does not allow this one.",
        lambda case: _refused(case) and (case.project.get("origin_allowed") is False or any(
            each["kind"] == "other_origin" and opened(each) for each in case.exchanges))),
    "E406_ALLOWED_HOSTS": Proof(
        "The server answers a plain request for this host with 400, and the project's own ALLOWED_HOSTS lacks it.",
        lambda case: "allowed_hosts" in case.project and any(
            each["status"] == 400 for each in [case.one("process", "http")] if each)),
    "E417_HTTPS_LOOP": Proof(
        "Django, asked in the project's environment with the proxy's headers, says that the request is not secure, and "
        "redirects it.", _page("E417_HTTPS_LOOP")),
    "E418_HTTPS_MISSING": Proof(
        "Django, asked in the project's environment, redirects to https, and the site's address is http.",
        _page("E418_HTTPS_MISSING")),
    "E441_ORIGIN_LIST": Proof(
        "The validator's own list, read from the project, does not allow the Origin, and the server refuses it.",
        lambda case: case.project.get("origin_allowed") is False and bool(refusal(case.direct))
        and sorted(case.project.get("origins") or []) != sorted(case.project.get("allowed_hosts") or [])),
    "E442_MIDDLEWARE_ORDER": Proof(
        "The application's log has the error of the middleware or the scope.", _logged(ORDER)),
    "E443_AS_ASGI": Proof(
        "The route's consumer, read from the project, is a class and not what as_asgi() returns.",
        lambda case: bool((case.project.get("consumer") or {}).get("bare")) and not opened(case.direct)),
    "E444_SUBPROTOCOL": Proof(
        "The handshake offers subprotocols, and the 101 names none.",
        lambda case: bool((case.evidence.get("asked") or {}).get("subprotocols")) and any(
            opened(each) and "sec-websocket-protocol" not in each["headers"]
            for each in [case.direct or case.outside] if each)),
    "E451_NEVER_ACCEPTS": Proof(
        "The consumer's own source shows it, with all that its connect() calls; and the handshake gets no answer at "
        "the server.", lambda case: never_accepts(case) is not None),
    "E452_TOKEN_UNREAD": Proof(
        "The server refuses a handshake with a token, all middleware is Channels' own, and the source of connect() "
        "asks for a user and reads no token.", token_unread),
    "E453_CONSUMER_CLOSES": Proof(
        "The server refuses the handshake, all middleware is Channels' own and allows the Origin, and the source of "
        "connect() has a close() and reads neither a token nor a user.", closes_itself),
    "E454_OTHER_PATH": Proof(
        "The project's router, imported, has routes and none for the path; and the server that was asked is another "
        "one, which takes the handshake for a plain request.", off_the_routes),
    "E455_MIDDLEWARE_CLOSES": Proof(
        "The server refuses the handshake, Channels' own validator allows the Origin, the source of connect() has no "
        "close(), and the source of the project's middleware has no word of a token.", middleware_closes),
    "E445_MIGRATIONS": Proof("The application's log says which table is missing.", _logged(TABLES)),
    "E448_CSP": Proof(
        "The page's own header, as it came, does not allow the socket's address.",
        lambda case: any("content-security-policy" in each["headers"] for each in case.exchanges)),
    "E449_NOT_LOGGED_IN": Proof(
        "The server refuses the handshake, the project's middleware takes users from the session, and neither a cookie "
        "nor a token was sent.",
        lambda case: _refused(case) and "AuthMiddleware" in (case.project.get("chain") or [])
        and not _token(case).get("present") and reads(case, "users")),
    "E450_THREAD_BUSY": Proof(
        "The consumer is synchronous; a handshake gets no answer at the server, and a plain request does.",
        lambda case: bool((case.project.get("consumer") or {}).get("sync"))
        and bool(case.direct and case.direct["stage"] == "handshake")),
    # --- the channel layer
    "E501_REDIS_DOWN": Proof(
        "A connection to the layer's address fails, in the layer's own test or in the log, and nothing that speaks "
        "Redis answers at that address.", _unreached),
    "E502_REDIS_PASSWORD": Proof("Redis's own answer (WRONGPASS, NOAUTH).", _said("E502_REDIS_PASSWORD")),
    "E503_REDIS_ACL": Proof("Redis's own answer (NOPERM).", _said("E503_REDIS_ACL")),
    "E504_REDIS_DATABASE": Proof(
        "Processes of the project, asked for their settings, use different databases; or Redis's own answer.",
        lambda case: len(case.project.get("databases") or []) > 1 or _said("E504_REDIS_DATABASE")(case)),
    "E505_REDIS_OLD": Proof(
        "Redis's version, or its answer to a command that it does not know.",
        lambda case: _said("E505_REDIS_OLD")(case)
        or version_of((case.host.get("redis") or {}).get("version") or "5") < (5,)),
    "E507_REDIS_CLIENTS": Proof("Redis's own answer (max number of clients).", _said("E507_REDIS_CLIENTS")),
    "E508_LAYER_MEMORY": Proof(
        "The project's layer is InMemoryChannelLayer, and more than one process answers.",
        lambda case: _in_memory(case) and (
            len(case.servers) > 1 or len([each for each in case.host.get("processes", []) if each["server"]]) > 1)),
    "E510_LAYER": Proof(
        "A message that the doctor sends over the project's layer, in the project's environment, ends with the error.",
        lambda case: bool(case.project.get("layer_error"))),
    "E513_DATABASE": Proof(
        "The project, asked in its environment, cannot connect to its database, and the handshake fails.",
        lambda case: bool(case.project.get("database_error")) and not opened(case.direct)),
    "E514_REDIS_TLS": Proof("The layer's own test ends with an error of TLS.", _said("E514_REDIS_TLS")),
    "E546_REDIS_CLUSTER": Proof(
        "Redis's own answer to the layer's test (MOVED, CROSSSLOT, CLUSTERDOWN).",
        lambda case: bool(CLUSTER.search(case.project.get("layer_error", "")))),
    "E547_DATABASE_FULL": Proof(
        "The database's own answer, to the project's test or in the log (too many clients already).",
        lambda case: not opened(case.direct) and any(signature(text) == "E547_DATABASE_FULL" for text in (
            *_texts(case), case.project.get("database_error", "")))),
    "E541_LAYER_BACKEND": Proof("Django's own error (Cannot import BACKEND).", _said("E541_LAYER_BACKEND")),
    "E542_REDIS_SOCKET_DENIED": Proof(
        "connect(2) to Redis's socket fails with errno 13, in the layer's own test or in the log.",
        _said("E542_REDIS_SOCKET_DENIED")),
    "E543_NO_LAYER": Proof(
        "The log says that the layer is None, or the consumer's use of it does.", _said("E543_NO_LAYER")),
    "E544_REDIS_PROTECTED": Proof(
        "Redis's own answer (-DENIED … protected mode), to the layer or to a PING of the doctor's.",
        lambda case: _said("E544_REDIS_PROTECTED")(case) or _layer_fails(case, "protected")),
    "E531_LAYER_TLS_OPTIONS": Proof(
        "The layer's address, as the project has parsed it, is redis:// and has options that begin with ssl_; the "
        "client raises the TypeError.",
        lambda case: "unexpected keyword" in case.project.get("layer_error", "") and any(
            each["scheme"] == "redis" and any(name.startswith("ssl_") for name in each.get("options") or [])
            for each in case.project.get("layer_hosts") or [])),
    "E532_LAYER_TLS": Proof(
        "The layer fails, its address is rediss://, and what listens there answers a plain PING.",
        lambda case: _layer_fails(case, "plain", "rediss")),
    "E533_REDIS_WANTS_TLS": Proof(
        "The layer fails, its address is without TLS, and what listens there answers within TLS alone.",
        lambda case: _layer_fails(case, "tls", "", "redis")),
    "E534_LAYER_HOST": Proof(
        "The host's name, as the layer has parsed it, has :// in it.",
        lambda case: any("://" in each.get("host", "") for each in case.project.get("layer_hosts") or [])),
    "E535_REDIS_NAME": Proof(
        "The layer fails, and this host cannot resolve the name.", lambda case: _layer_fails(case, "name")),
    "E536_REDIS_ELSEWHERE": Proof(
        "The layer's address refuses, and a redis-server of this host listens at another one.",
        lambda case: bool(_hosts(case, "refused") or GONE.search(case.project.get("layer_error", ""))) and any(
            each["name"] == "redis-server" and each["listens"] for each in case.host.get("processes", []))),
    "E537_LAYER_WORKERS": Proof(
        "The layer is InMemoryChannelLayer, and another process of the project, which runs or is started by the clock, "
        "has code that sends over it.",
        lambda case: _in_memory(case) and any(each["sends"] for each in case.host.get("relatives") or [])),
    "E545_OTHER_LAYER": Proof(
        "A process of the project that has code that sends over the layer runs with another address of Redis than the "
        "server, by the variable that the server's layer follows.", lambda case: bool(other_layers(case))),
    "E538_REDIS_READONLY": Proof("Redis's own answer (READONLY).", _said("E538_REDIS_READONLY")),
    "E539_REDIS_FULL": Proof("Redis's own answer (OOM).", _said("E539_REDIS_FULL")),
    "E540_REDIS_CANNOT_SAVE": Proof("Redis's own answer (MISCONF).", _said("E540_REDIS_CANNOT_SAVE")),
    # --- silence
    "E601_IDLE_PROXY": Proof(
        "A silent socket through the proxy on the host is closed, and one straight at the server stays open.",
        lambda case: _closed_late(case.proxy) and not _cut_directly(case)),
    "E602_IDLE_BALANCER": Proof(
        "A silent socket from outside is closed, and those on the host stay open.",
        lambda case: _closed_late(case.outside) and not _closed_late(case.proxy) and not _cut_directly(case)),
    "E603_REDIS_PY_8": Proof(
        "A silent socket straight at the server is closed with 1011 or 1006, the layer is channels_redis's core one, "
        "and redis-py is of version 8 or later.",
        lambda case: _cut_directly(case) and version_of(case.project.get("versions", {}).get("redis", "0")) >= (8,)),
    "E604_IDLE_SERVER": Proof("A silent socket straight at the server is closed.", _cut_directly),
    "E607_WEBSOCKET_TIMEOUT": Proof(
        "A silent socket straight at the server is closed when it is as old as the server's own option says.",
        lambda case: _cut_directly(case) and any(each.get("websocket_timeout") for each in case.processes)),
}  # fmt: skip
