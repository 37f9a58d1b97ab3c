"""Action that replaces secrets in an inventory's vault; see `plugins/modules/vault_rotation.py`."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase

from ..module_utils.vault.files import PasswordError, SecretsError, locked
from ..module_utils.vault.rotation import Outcome, Rotation, listed
from ..module_utils.vault.secrets import NAME_ANOTHER, with_secrets


class ActionModule(ActionBase):
    """The action `vault_rotation`."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the action; nothing is written in check mode."""
        super().run(tmp, task_vars)
        names = listed(self._task.args.get("rotate"))
        found = Outcome()
        try:
            for path in with_secrets(map(str, self._task.args.get("inventory") or ())):
                with locked(path):
                    # This run's own password; the loader has no public name for its holder.
                    merge(found, Rotation(path, self._loader._vault).run(names, dry=self._task.check_mode))
        except PasswordError as error:
            return {"failed": True, "msg": f"Nothing was changed: {error}. {NAME_ANOTHER}"}
        except SecretsError as error:
            return {"failed": True, "msg": f"Nothing was changed: {error}"}
        files = [os.path.realpath(path) for path in found.files]
        return {**vars(found), "files": files, "changed": bool(files)}


def merge(into: Outcome, other: Outcome) -> None:
    """Add the outcome for another inventory."""
    for name, values in vars(other).items():
        getattr(into, name).extend(values)
