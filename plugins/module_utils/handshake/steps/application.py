"""2: the application imports, and its channel layer carries a message."""

from __future__ import annotations

from ..host import Host
from ..results import Proof

REDIS_PY_SECONDS = 6  # its timeout of 5 s, and one for the close to arrive


def check_application(host: Host, proof: Proof) -> None:
    """2: the ASGI path imports."""
    title = f"{host.bundle['application']} imports"
    if error := host.project.get("import_error") or host.project.get("unasked"):
        proof.failed("application", title, error, guess="E204_IMPORT_ERROR", values={"error": error})
    else:
        versions = ", ".join(f"{name} {version}" for name, version in host.project.get("versions", {}).items())
        proof.passed("application", title, versions)


def check_layer(host: Host, proof: Proof) -> None:
    """The channel layer takes a message, and is not a layer that is known to lose sockets."""
    title = "Channel layer carries a message"
    if "layer" not in host.project and "layer_error" not in host.project:
        proof.skipped("channel_layer", title, "the project has no channel layer, or it did not import")
    elif error := host.project.get("layer_error"):
        proof.failed("channel_layer", title, error, guess="E510_LAYER", values={"error": error})
    elif host.project["layer"].endswith("InMemoryChannelLayer") and len(host.sockets) > 1:
        count = len(host.sockets)
        proof.failed("channel_layer", title, f"{host.project['layer']} reaches one process only, and {count} serve",
                     code="E508_LAYER_MEMORY", values={"count": count})  # fmt: skip
    else:
        proof.passed("channel_layer", title, host.project["layer"])


def check_redis_py(host: Host, proof: Proof) -> None:
    """Warn about redis-py 8 under the core layer, if no silence was tried that could show whether it is harmless."""
    redis = host.project.get("versions", {}).get("redis", "0")
    core = host.project.get("layer", "").startswith("channels_redis.core")
    tried = host.params["idle_seconds"] > REDIS_PY_SECONDS
    if core and int(redis.split(".")[0]) >= 8 and not host.project.get("patient") and not tried:
        seen = f"redis-py {redis}, and silence was not tried for long enough (handshake_idle_seconds)"
        title = "redis-py does not cut idle consumers"
        proof.add("redis_py", title, "warned", seen, code="W606_REDIS_PY_8", values={"version": redis})
