"""Action that logs in to the host over a new connection; see `plugins/modules/new_connection.py`."""

from __future__ import annotations

import time
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader

TRIES = 3  # a daemon may refuse for a moment while it rereads its configuration
SSH = "ansible.builtin.ssh"  # Mitogen replaces the plugin that is called just ssh
KINDS = ("ssh", "smart", "paramiko", "paramiko_ssh", "mitogen_ssh")


def names_read() -> set[str]:
    """The names of the variables that Ansible's ssh plugin reads."""
    plugin = connection_loader.get(SSH, class_only=True)
    return set(C.config.get_plugin_vars("connection", plugin._load_name))


def connect(play: PlayContext, variables: dict[str, t.Any], seconds: int) -> str:
    """Open a separate connection to the host and run a command; return why that failed, or nothing.

    Ansible's own plugin reads the inventory: address, port, user, key or password, jump hosts and any arguments.
    `-S none` follows them, so that ssh shares no connection, whatever they say. It waits for `seconds`.
    """
    extra = str(variables.get("ansible_ssh_extra_args") or "")
    connection = connection_loader.get(SSH, play, None)
    own = {"ansible_ssh_extra_args": f"{extra} -S none".strip(), "ansible_ssh_timeout": seconds}
    connection.set_options(var_options={**variables, **own})
    try:
        code, out, err = connection.exec_command("exit 0", in_data=None, sudoable=False)
    except AnsibleError as error:
        return str(error)
    finally:
        connection.close()
    return "" if code == 0 else (err or out).decode(errors="replace").strip() or f"it ended with {code}"


class ActionModule(ActionBase):
    """Fails if no new connection can be made, with the task's own message."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"fail_msg", "seconds"})

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Log in again, and report the result."""
        result: dict[str, t.Any] = {"changed": False, **super().run(tmp, task_vars)}
        given = task_vars or {}
        names = {"ansible_connection", *names_read()} & given.keys()
        variables = {name: self._templar.template(given[name]) for name in names}
        kind = str(variables.get("ansible_connection") or self._play_context.connection or "ssh")
        kind = kind.rpartition(".")[2]
        if kind not in KINDS:
            return result | {"msg": f"connection {kind} does not go through SSH"}
        # All attempts together end before the host puts everything back; a login after that would prove nothing.
        fault, seconds = "", max(int(self._task.args.get("seconds") or 60) // (TRIES + 1), 1)
        for attempt in range(TRIES):
            time.sleep(attempt)
            fault = connect(self._play_context, variables, seconds)
            if not fault:
                return result | {"msg": "a new connection works"}
        message = str(self._task.args.get("fail_msg") or "No new connection to the host can be made.")
        return result | {"failed": True, "msg": f"{message.strip()}\nSSH says: {fault}"}
