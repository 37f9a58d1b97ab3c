#!/usr/bin/python
"""Make sure that a daemon is enabled and running, with the configuration that is on the disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_state
short_description: A daemon runs the configuration that is on the disk
description:
  - Enables and starts a service, and reloads or restarts it when it has not read its files as they are.
  - It asks the host and not the tasks before it, as a handler does. So a run that was killed between writing a file and
    notifying a handler, or a file that somebody edited by hand, is mended by the next run.
  - What a daemon has read is noted on the host, below C(/run), once it was seen to read it. A file that is not noted is
    compared with the age of the daemon's main process.
  - A restart supersedes a reload. A reload has failed when the main process keeps the children that it had.
  - Where systemd is not running, the service is that of its script in C(/etc/init.d).
options:
  name:
    description: Name of the service.
    type: str
    required: true
  reload_files:
    description: Files, or folders with all that is in them, that a reload makes the daemon read again.
    type: list
    elements: path
    default: []
  restart_files:
    description: Files or folders that only a restart makes the daemon read again.
    type: list
    elements: path
    default: []
  unit_files:
    description:
      - Files of the service's unit, such as drop-ins, that systemd has to have read. They restart nothing; one that
        must, belongs in O(restart_files) as well.
    type: list
    elements: path
    default: []
  next_start_files:
    description:
      - Files of the service's unit that systemd has to have read, and that take effect when the service starts next.
        They restart nothing. As long as the service runs without what they say, each run warns of it.
    type: list
    elements: path
    default: []
  old_workers_stay:
    description:
      - Whether the workers from before a reload look like the new ones while their connections end, as HAProxy's do. A
        reload has then worked once there is a new worker.
    type: bool
    default: false
  validate:
    description: Command that must succeed before the service is started, reloaded or restarted.
    type: list
    elements: str
    default: []
  same_workers:
    description:
      - Whether a reload gives the daemon no other workers, because it has none, as PgBouncer, or because they read the
        files again themselves, as keepalived's. Then a reload has worked when the daemon was asked for it. What it
        rejects is in its log, and shows in O(validate), which comes before it.
    type: bool
    default: false
  pid_file:
    description:
      - File that holds the id of the daemon's main process. Needed where systemd is not running, and read only there.
      - An id whose command line does not hold the service's name is another process's, left from before a restart.
    type: path
  log_file:
    description:
      - File whose newest lines say why the daemon did not start (read only where systemd is not running) or reload. The
        file that its main process has as standard error is read instead where there is one.
    type: path
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Run nginx with its configuration
  channels.stack.service_state:
    name: nginx
    reload_files: [/etc/nginx]
    restart_files: [/etc/systemd/system/nginx.service.d/limits.conf]
    unit_files: [/etc/systemd/system/nginx.service.d/restart.conf]
    pid_file: /run/nginx.pid
    log_file: /var/log/nginx/error.log
    validate: [nginx, -t]
"""

RETURN = r"""
action:
  description: What was done (or would be, in check mode), one of none, start, reload, restart.
  type: str
  returned: always
reason:
  description: The file that the daemon had not read, or the state that was found.
  type: str
  returned: when changed
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host.service.manage import manage
from ..module_utils.host.service.service import ServiceError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "reload_files": {"type": "list", "elements": "path", "default": []},
            "restart_files": {"type": "list", "elements": "path", "default": []},
            "unit_files": {"type": "list", "elements": "path", "default": []},
            "next_start_files": {"type": "list", "elements": "path", "default": []},
            "old_workers_stay": {"type": "bool", "default": False},
            "validate": {"type": "list", "elements": "str", "default": []},
            "same_workers": {"type": "bool", "default": False},
            "pid_file": {"type": "path"},
            "log_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**manage(module.params, module.check_mode, module.run_command, module.warn))
    except ServiceError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
