"""Action that brings a site's certificate and its key to a host: those that are given, or some of an own authority.

    - certificate:
        path: /etc/dashboard/certificate        # gets fullchain.pem and privkey.pem
        names: [www.example.org]
        authority: .lab/authority               # folder on the controller, where the authority is kept and made;
                                                # "" makes a pair of an authority that nobody has, where there is none
        chain: "{{ … }}"                        # with key, in place of an authority
        key: "{{ … }}"

An action and not a module: an authority's key never leaves the controller.
"""

from __future__ import annotations

import base64
import tempfile
import typing as t
from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

# ansible.cfg's module_utils is searched for modules only; an action runs in the controller's own Python.
_SHARED = str(Path(__file__).resolve().parents[1] / "module_utils")
if _SHARED not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_SHARED)

from ansible.module_utils.certificates import Authority, CertificateError, Pair, files_of  # noqa: E402

FILES = ("fullchain.pem", "privkey.pem")


class ActionModule(ActionBase):
    """The action `certificate`."""

    _VALID_ARGS = frozenset(("path", "names", "authority", "chain", "key"))

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Have the pair on the host; what is there and still good stays."""
        result = super().run(tmp, task_vars)
        given, variables = self._task.args, task_vars or {}
        if given.get("chain"):
            pair = Pair(given["chain"].strip() + "\n", given["key"].strip() + "\n")
        else:
            there = self._pair(given["path"], variables)
            try:
                pair = self._of_authority(given, there)
            except (OSError, CertificateError) as error:
                return {
                    **result,
                    "failed": True,
                    "msg": f"The authority in {given['authority']} cannot be used: {error}",
                }
            if pair is None:
                return {**result, "changed": True}
        chain, key = (f"{given['path']}/{name}" for name in FILES)
        entries: list[dict[str, t.Any]] = [
            {"path": given["path"], "directory": True},
            {"path": key, "secret": "key", "mode": "0600"},
            {"path": chain, "content": pair.chain},
        ]
        module = {"entries": entries, "secrets": {"key": pair.key}}
        return self._execute_module(module_name="files", module_args=module, task_vars=variables)

    def _of_authority(self, given: dict[str, t.Any], there: Pair | None) -> Pair | None:
        """Return the pair that is to be on the host; None in check mode, where there is no authority yet."""
        if not given["authority"]:
            if there:
                return there
            with tempfile.TemporaryDirectory() as folder:
                return Authority(Path(folder)).issue(given["names"])
        folder = Path(given["authority"]).expanduser()
        if self._task.check_mode and not all(path.exists() for path in files_of(folder)):
            return None
        authority = Authority(folder)
        return there if there and authority.has_issued(there, given["names"]) else authority.issue(given["names"])

    def _pair(self, folder: str, variables: dict[str, t.Any]) -> Pair | None:
        """Return the pair that the host has."""
        texts = []
        for name in FILES:
            read = self._execute_module(
                module_name="ansible.builtin.slurp", module_args={"src": f"{folder}/{name}"}, task_vars=variables
            )
            if "content" not in read:
                return None
            texts.append(base64.b64decode(read["content"]).decode(errors="replace"))
        return Pair(*texts)
