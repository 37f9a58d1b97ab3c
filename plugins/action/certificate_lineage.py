"""Action that keeps a project's certbot files on the controller; see `plugins/modules/certificate_lineage.py`.

In both directions the host is asked first: what it has stays.
"""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.parsing.vault import is_encrypted
from ansible.plugins.action import ActionBase

MODULE = "channels.stack.certificate_lineage"
Kept = dict[str, t.Any]


class ActionModule(ActionBase):
    """The action `certificate_lineage`."""

    _VALID_ARGS = frozenset(("app", "folder", "order", "restore", "state"))

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Bring back or keep; `changed` says whether anything was."""
        result = super().run(tmp, task_vars)
        given, variables = self._task.args, task_vars or {}
        if given.get("state") == "absent":
            args = {"app": given["app"], "state": "absent"}
            done = self._execute_module(module_name=MODULE, module_args=args, task_vars=variables)
            return {**result, **done}
        folder = Path(given["folder"]).expanduser()
        path = folder / f"{variables['inventory_hostname']}-{given['app']}.json"
        try:
            kept = self._read(path)
            act = self._restore if given["restore"] else self._keep
            return {**result, **act(path, kept, given, variables)}
        except AnsibleConnectionFailure:  # Ansible reports this better
            raise
        except (OSError, ValueError, KeyError, AnsibleError) as error:
            return {**result, "failed": True, "msg": f"What is kept in {path} cannot be read or written: {error}"}

    def _restore(self, path: Path, kept: Kept, given: Kept, variables: Kept) -> Kept:
        """Put back what is kept, or only the account if something else is ordered now."""
        if not kept:
            return {"changed": False}
        parts: Kept = {"files": kept["files"], "links": kept["links"]}
        if kept["order"] != given["order"]:
            accounts = {name: text for name, text in kept["files"].items() if name.startswith("accounts/")}
            parts = {"files": accounts, "links": {}}
        args = {"app": given["app"], "kept": parts}
        done = self._execute_module(module_name=MODULE, module_args=args, task_vars=variables)
        return {key: done[key] for key in ("changed", "failed", "msg") if key in done}

    def _keep(self, path: Path, kept: Kept, given: Kept, variables: Kept) -> Kept:
        """Write what the host has, if it differs from what is kept."""
        same = kept.get("digest", "") if kept.get("order") == given["order"] else ""
        args = {"app": given["app"], "known": same}
        found = self._execute_module(module_name=MODULE, module_args=args, task_vars=variables)
        if found.get("failed") or not found["digest"] or found["digest"] == same:
            return {"changed": False, **{key: found[key] for key in ("failed", "msg") if key in found}}
        if not self._task.check_mode:
            self._write(path, {**{key: found[key] for key in ("digest", "files", "links")}, "order": given["order"]})
        return {"changed": True}

    def _read(self, path: Path) -> Kept:
        """Return what is kept; empty if nothing is."""
        if not path.exists():
            return {}
        text = path.read_bytes()
        return json.loads(self._loader._vault.decrypt(text) if is_encrypted(text) else text)

    def _write(self, path: Path, kept: Kept) -> None:
        """Write in one step, so that nobody else can read it."""
        text = (json.dumps(kept, indent=1) + "\n").encode()
        if self._loader._vault.secrets:
            text = self._loader._vault.encrypt(text)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
