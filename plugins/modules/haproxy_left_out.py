#!/usr/bin/python
"""Ansible module: the servers to which an edge's HAProxy sends nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_left_out
short_description: Has HAProxy leave out servers
description:
  - Marks servers as C(disabled) in HAProxy's configuration, and no others of their backend, and has HAProxy read it. So
    they stay out over reloads and restarts. Sockets that they have stay open.
  - Where there is no configuration yet, nothing is done. A HAProxy that does not run is not started.
options:
  servers:
    description:
      - Names of the servers to leave out. Names that HAProxy does not have do not matter. Without it, only reads.
    type: list
    elements: str
  backend: {description: Name of their backend., type: str, default: app}
  path: {description: HAProxy's configuration., type: path, default: /etc/haproxy/haproxy.cfg}
attributes:
  check_mode: {description: Tells what would change., support: full}
  diff_mode: {description: Shows the lines that change., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Send nothing to a host that has missed a deploy
  channels.stack.haproxy_left_out:
    servers: [app-2]
"""

RETURN = r"""
left_out:
  description: Servers that are left out.
  type: list
  elements: str
  returned: always
known:
  description: Whether the configuration has servers of that backend at all. It has none before the host is an edge.
  type: bool
  returned: always
"""

import os
import shutil
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host.haproxy import CONFIG, configured, leaving_out, left_out
from ..module_utils.host.service.manage import find, manage
from ..module_utils.host.service.service import ServiceError


def write(module: AnsibleModule, path: Path, text: str) -> None:
    """Replace a configuration as a whole, once HAProxy has accepted the new one."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        code, out, err = module.run_command(["haproxy", "-c", "-f", part])
        if code:
            module.fail_json(msg=f"HAProxy does not accept its configuration:\n{err or out}")
        shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "servers": {"type": "list", "elements": "str"},
            "backend": {"type": "str", "default": "app"},
            "path": {"type": "path", "default": CONFIG},
        },
        supports_check_mode=True,
    )
    given, path = module.params, Path(module.params["path"])
    before = path.read_text() if path.exists() else ""
    if given["servers"] is None or not before:
        known = bool(configured(before, given["backend"]))
        module.exit_json(changed=False, left_out=left_out(before, given["backend"]), known=known)
    after = leaving_out(before, given["backend"], given["servers"])
    changed = after != before
    if changed and not module.check_mode:
        write(module, path, after)
    service = {
        "name": "haproxy", "reload_files": [str(path)], "restart_files": [], "unit_files": [], "next_start_files": [],
        "old_workers_stay": True, "same_workers": False, "validate": ["haproxy", "-c", "-f", str(path)],
        "pid_file": None, "log_file": None,
    }  # fmt: skip
    try:
        # Also where nothing has changed now: a run that was killed may have written it, and told nobody.
        if find(service, module.run_command).running:
            changed = manage(service, module.check_mode, module.run_command, module.warn)["changed"] or changed
    except ServiceError as error:
        module.fail_json(msg=str(error))
    backend = given["backend"]
    told = {"changed": changed, "left_out": left_out(after, backend), "known": bool(configured(after, backend))}
    module.exit_json(**told, diff={"before": before, "after": after, "before_header": str(path)})


if __name__ == "__main__":
    main()
