"""2: the application imports, and its channel layer carries a message."""

from __future__ import annotations

from ..host import Host
from ..results import Proof, tried

REDIS_PY_SECONDS = 6  # its timeout of 5 s, and one for the close to arrive


def check_application(host: Host, proof: Proof) -> None:
    """2: the ASGI path imports."""
    title = f"{host.bundle['application']} imports"
    error = host.project.get("import_error") or host.project.get("unasked")
    took = {"import": host.project.get("import_ms")}
    tries = [tried(f"import {host.bundle['application'].partition(':')[0]}", error or "imported", took)]
    if error:
        proof.failed("application", title, error, tries, guess="E204_IMPORT_ERROR", values={"error": error})
    else:
        versions = ", ".join(f"{name} {version}" for name, version in host.project.get("versions", {}).items())
        proof.passed("application", title, versions, tries)


def check_layer(host: Host, proof: Proof) -> None:
    """The channel layer takes a message, and is not a layer that is known to lose sockets."""
    title = "Channel layer carries a message"
    if "layer" not in host.project and "layer_error" not in host.project:
        proof.skipped("channel_layer", title, "the project has no channel layer, or it did not import")
        return
    layer, error = host.project.get("layer", "the layer"), host.project.get("layer_error", "")
    places = ", ".join(map(str, host.project.get("hosts") or []))
    what = f"a message sent and received over {layer}" + (f" at {places}" if places else "")
    tries = [tried(what, error or "received", {"message": host.project.get("layer_ms")})]
    if error:
        proof.failed("channel_layer", title, error, tries, guess="E510_LAYER", values={"error": error})
    elif host.project["layer"].endswith("InMemoryChannelLayer") and len(host.sockets) > 1:
        count = len(host.sockets)
        seen = f"{host.project['layer']} reaches one process only, and {count} serve"
        proof.failed("channel_layer", title, seen, tries,
                     code="E508_LAYER_MEMORY", values={"count": count})  # fmt: skip
    else:
        proof.passed("channel_layer", title, host.project["layer"], tries)


def check_redis_py(host: Host, proof: Proof) -> None:
    """Warn about redis-py 8 under the core layer, if no silence was tried that could show whether it is harmless."""
    redis = host.project.get("versions", {}).get("redis", "0")
    core = host.project.get("layer", "").startswith("channels_redis.core")
    tried = host.params["idle_seconds"] > REDIS_PY_SECONDS
    if core and int(redis.split(".")[0]) >= 8 and not host.project.get("patient") and not tried:
        seen = f"redis-py {redis}, and silence was not tried for long enough (handshake_idle_seconds)"
        title = "redis-py does not cut idle consumers"
        proof.add("redis_py", title, "warned", seen, code="W606_REDIS_PY_8", values={"version": redis})
