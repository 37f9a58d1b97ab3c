"""Action that replaces secrets in the vault of an inventory; see `plugins/modules/vault_rotation.py`."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase

from ..module_utils.vault.files import SecretsError, locked
from ..module_utils.vault.rotation import Outcome, Rotation, listed


class ActionModule(ActionBase):
    """The action `vault_rotation`."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the action; nothing is written in check mode."""
        super().run(tmp, task_vars)
        names = listed(self._task.args.get("rotate"))
        folders = list(dict.fromkeys(map(str, self._task.args.get("inventory") or ())))
        found = Outcome()
        try:
            for path in map(Path, folders):
                # Of several, those that have no variables of their own are lists of hosts, or programs.
                if not path.exists() or (len(folders) > 1 and not has_secrets(path)):
                    continue
                with locked(path):
                    # This run's own password; the loader has no public name for what holds it.
                    merge(found, Rotation(path, self._loader._vault).run(names, dry=self._task.check_mode))
        except SecretsError as error:
            return {"failed": True, "msg": f"Nothing was changed: {error}"}
        files = [os.path.realpath(path) for path in found.files]
        return {**vars(found), "files": files, "changed": bool(files)}


def has_secrets(inventory: Path) -> bool:
    """Tell whether there is a file of secrets beside the hosts of an inventory."""
    folder = inventory if inventory.is_dir() else inventory.parent
    return any(path.stem == "vault" for name in ("group_vars", "host_vars") for path in (folder / name).rglob("*"))


def merge(into: Outcome, other: Outcome) -> None:
    """Add the outcome for another inventory."""
    for name, values in vars(other).items():
        getattr(into, name).extend(values)
