"""Action that makes an inventory's secrets and encrypts them; see `plugins/modules/vault_secrets.py`."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
from pathlib import Path

from ansible import constants
from ansible.parsing.vault import VaultLib
from ansible.plugins.action import ActionBase

from ..module_utils.text.commands import playbook_command
from ..module_utils.vault.files import PasswordError, SecretsError, locked
from ..module_utils.vault.secrets import (
    NAME_ANOTHER,
    Outcome,
    Password,
    default_password_file,
    encrypted_files,
    loaded,
    plan,
    ready_password_file,
    shown,
    told,
    with_secrets,
    write,
)


class ActionModule(ActionBase):
    """The action `vault_secrets`."""

    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset(("inventory",))

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the action; nothing is written in check mode."""
        super().run(tmp, task_vars)
        inventories = with_secrets(map(str, self._task.args.get("inventory") or ()))
        if not inventories:
            return failed("There is no inventory with secrets. Name its folder: -i inventories/mine")
        try:
            with contextlib.ExitStack() as stack:
                for path in inventories:
                    stack.enter_context(locked(path))
                return self._made(inventories)
        except PasswordError as error:
            return failed(f"Nothing was changed: {error}. {NAME_ANOTHER}")
        except SecretsError as error:
            return failed(f"Nothing was changed: {error}")

    def _made(self, inventories: list[Path]) -> dict[str, t.Any]:
        """Make all secrets, or find out which would be made; no value is in the result."""
        dry = self._task.check_mode
        vault, password = self._vault(inventories, dry=dry)
        plans = [plan(path, vault) for path in inventories]  # plan all of them before writing any
        outcome = Outcome([file for one in plans for file in one.written], [left for one in plans for left in one.left])
        if not dry:
            write(outcome, vault)
        then = playbook_command("site", " -i ".join(shown(path) for path in inventories))
        return {
            "changed": bool(outcome.written) or bool(password and password.is_new),
            "lines": told(outcome, password, then, dry=dry),
            "files": [str(file.path) for file in outcome.written],
            "left": [dataclasses.asdict(left) | {"path": str(left.path)} for left in outcome.left],
        }

    def _vault(self, inventories: list[Path], *, dry: bool) -> tuple[VaultLib, Password | None]:
        """Return the vault that encrypts, and the password's file if Ansible does not know it by itself.

        The password is the run's own; a run without one gets the inventory's default.
        """
        default = default_password_file(inventories[0])
        vault = self._loader._vault  # the loader has no public name for it
        if vault.secrets:
            files = [getattr(secret, "filename", None) for _, secret in vault.secrets]
            configured = constants.DEFAULT_VAULT_PASSWORD_FILE or constants.DEFAULT_VAULT_IDENTITY_LIST
            return vault, Password(default) if str(default) in files and not configured else None
        encrypted = [file for path in inventories for file in encrypted_files(path)]
        password = ready_password_file(default, encrypted, dry=dry)
        secrets = loaded(default, self._loader) if default.exists() else []
        return VaultLib(secrets), password


def failed(message: str) -> dict[str, t.Any]:
    """Return a result that ends the run."""
    return {"failed": True, "msg": message}
