"""Action that takes the lock of a project's deploys, and decides whether the run that holds it is alive.

Only the controller that started a run knows for certain whether it is alive: its connections may outlive it (SSH
keeps them for the next run), or may not be processes on the host at all (an engine enters its containers). So the
record in the lock names the controller and the process. A run from the same controller checks that process. A run
from another one checks the SSH session; if there is none, it is refused, with the command that frees the lock.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import typing as t
import uuid

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ..module_utils.host import proc
from ..module_utils.host.locks import name_of


def controller() -> str:
    """Return a name for the place where process ids are valid: this boot of a machine, or a container on it."""
    boot, space = proc.boot_id(), proc.link(os.getpid(), "ns/pid")
    return f"{boot} {space}" if boot and space else f"{platform.node()} {uuid.getnode():x}"  # the second: not Linux


def started(pid: int) -> str:
    """Return when a process on this machine began, which tells it from others with the same id; "" if there is none."""
    if proc.boot_id():
        if fields := proc.stat(pid):
            return "" if proc.has_ended(fields) else fields[19]
        return "" if _is_gone(pid) else "hidden"  # another user's, on a machine that hides them
    ps = shutil.which("ps") or "/bin/ps"
    shown = subprocess.run(
        [ps, "-o", "stat=,lstart=", "-p", str(pid)], env={"LC_ALL": "C", "TZ": "UTC"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    state, _, since = shown.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else since.strip()


def _is_gone(pid: int) -> bool:
    """Tell whether there is no process with an id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def run_lives(held: dict[str, t.Any]) -> bool:
    """Tell whether the run of a record that this controller made is still alive."""
    now = started(int(held["run_pid"]))
    return bool(now) and now in (held["run_started"], "hidden")


def is_dead(answer: dict[str, t.Any]) -> bool:
    """Tell whether the run that holds the lock is known to be dead."""
    held = answer["held"]
    if held.get("controller") == controller():
        return not run_lives(held)
    return bool(answer["session"] == "dead")


def refusal(app: str, host: str, answer: dict[str, t.Any]) -> str:
    """Return why the lock cannot be taken, and how to free it."""
    free = f"on {host}: {app}-generations unlock --force"
    if "refused" in answer:
        return str(answer["refused"])
    if "unreadable" in answer:
        return f"the lock of {app}'s deploys is broken: {answer['unreadable']}. If no deploy is running, free it {free}"
    held = answer["held"]
    where = f" on {held['controller_name']}" if held.get("controller_name") else ""
    told = f"another deploy of {app} is running: {held.get('who')}{where} holds the lock since {held.get('since')}."
    if held.get("controller") == controller():
        why = f"Its process {held['run_pid']} lives. Wait for it to end; a lock whose run has died is broken by itself."
    elif answer["session"] == "alive":
        why = (
            "Its SSH session is open. Wait for it to end; when its run has died, the session ends within a minute or "
            "so, and the lock is broken then."
        )
    else:
        why = "Whether its run lives is not to be seen from here."
    return f"{told} {why} If it is dead for certain, free the lock {free}"


class ActionModule(ActionBase):
    """The action `deploy_lock`."""

    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Take the lock, wait, or give it back."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        host = str(self._task.delegate_to or (task_vars or {}).get("inventory_hostname"))
        app, wait = args["app"], float(args.get("wait", 300))

        def module(**more: t.Any) -> dict[str, t.Any]:
            name = "channels.stack.deploy_lock"
            answer: dict[str, t.Any] = self._execute_module(name, {**args, **more}, task_vars=task_vars)
            return answer

        if args.get("state", "taken") != "taken":
            answer = module()
            return answer | ({"failed": True, "msg": answer["busy"]} if "busy" in answer else {})
        parent = os.getppid()  # a task runs in its own process, which the run started
        record = {
            "run": str(uuid.uuid4()), "who": args.get("who", ""), "controller": controller(),
            "controller_name": platform.node(), "run_pid": parent, "run_started": started(parent),
        }  # fmt: skip
        try:
            answer = module(record=record)
        except AnsibleConnectionFailure as error:  # as unreachable, it would end the run without any advice
            return {"failed": True, "msg": str(error)}
        if "held" in answer and is_dead(answer):
            answer = module(record=record, dead=name_of(answer["held"]))
        if answer.get("failed") or answer.get("unreachable"):
            return answer
        if not answer["taken"]:
            return {"changed": False, "taken": False, "held": True, "msg": refusal(app, host, answer), "notes": []}
        notes = []
        if dead := answer.get("broken"):
            notes.append(f"the lock of a run that died was broken ({dead.get('who')}, since {dead.get('since')})")
        if answer["at_work"]:
            self._display.display(f"Waiting for what another run has left at work on {host}: {answer['at_work']}")
            waited = module(state="waited", wait=wait)
            if "busy" in waited or waited.get("failed"):
                module(state="given_back", run=record["run"])
                told = f"on {host}, {waited['busy']}" if "busy" in waited else waited.get("msg")
                return {"changed": True, "taken": False, "held": False, "msg": told, "notes": notes}
            notes.append(waited["waited"] or "it has ended meanwhile")
        return {
            "changed": True, "taken": True, "held": False, "run": record["run"], "broken": bool(dead), "notes": notes,
            "fleet": answer["fleet"],
        }  # fmt: skip
