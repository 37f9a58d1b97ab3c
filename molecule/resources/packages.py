"""Python packages that tests install into a project's environment on a host, in addition to or instead of its own."""

from __future__ import annotations

from contextlib import ExitStack

from lab_host import LabHost

HOME = "/srv/dashboard/live"
# Through the host's own uv, package cache and authorities.
UV = (
    "UV_CACHE_DIR=/var/cache/uv UV_NO_CONFIG=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "
    "/opt/uv/bin/uv pip install --quiet"
)


def redis_py_8(lab: LabHost, repair: ExitStack) -> None:
    """Make the processes run redis-py 8 under the core layer, which cuts silent sockets, until the stack is left."""
    packages = lab.run(f"echo {HOME}/venv/lib/python3*/site-packages").strip()
    kept = lab.run("mktemp --directory").strip()
    repair.callback(lab.restart_processes)
    repair.enter_context(lab.edited(f"{HOME}/env", "$aCHANNEL_LAYER=core"))
    repair.enter_context(lab.edited(f"{HOME}/code/core/settings.py", "s/_NAME, RETRY)/_NAME, {})/"))
    repair.callback(
        lab.run, f"rm -rf {packages}/redis {packages}/redis-*.dist-info && mv {kept}/* {packages} && rmdir {kept}"
    )
    lab.run(f"cp --archive {packages}/redis {packages}/redis-*.dist-info {kept}")
    lab.run(f"{UV} --python {HOME}/venv 'redis>=8'")
    lab.restart_processes()
