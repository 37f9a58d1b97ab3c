"""Action that brings a certificate and its key to a host; see `plugins/modules/certificate.py`."""

from __future__ import annotations

import base64
import json
import tempfile
import typing as t
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.certificates.pairs import LIFETIME, Authority, CertificateError, Pair, files_of

FILES = ("fullchain.pem", "privkey.pem")


class ActionModule(ActionBase):
    """The action `certificate`."""

    _VALID_ARGS = frozenset(("path", "names", "authority", "chain", "key", "owner", "days", "trust", "trusted", "site"))

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Put the pair on the host; keep what is there and still good."""
        result = super().run(tmp, task_vars)
        given, variables = self._task.args, task_vars or {}
        entries: list[dict[str, t.Any]] = []
        secrets = {}
        try:
            authority = self._authority(given)
            if given.get("trust"):
                text = given.get("trusted") or ""
                if not given.get("chain"):
                    text = (authority.path.read_text() if authority else "") + text
                entries += [
                    {"path": str(Path(given["trust"]).parent), "directory": True},
                    {"path": given["trust"], "content": text.strip() + "\n"},
                ]
            if given.get("path"):
                if not (pair := self._wanted(given, authority, variables)):
                    return {**result, "changed": True}
                chain, key = (f"{given['path']}/{name}" for name in FILES)
                entries += [
                    {"path": given["path"], "directory": True},
                    {"path": key, "secret": "key", "mode": "0600", "owner": given.get("owner") or "root"},
                    {"path": chain, "content": pair.chain},
                ]
                if site := given.get("site"):
                    text = json.dumps(site, indent=1) + "\n"
                    entries.append({"path": f"{given['path']}/site.json", "content": text})
                secrets["key"] = pair.key
        except (OSError, AnsibleError, CertificateError) as error:
            where = given.get("authority")
            return {**result, "failed": True, "msg": f"The authority in {where} cannot be used: {error}"}
        module = {"entries": entries, "secrets": secrets}
        return self._execute_module(module_name="channels.stack.file_set", module_args=module, task_vars=variables)

    def _authority(self, given: dict[str, t.Any]) -> Authority | None:
        """Return the authority, and make it if needed; None if none is asked for, or if check mode would make it."""
        if given.get("chain") or not given["authority"]:
            return None
        folder = Path(given["authority"]).expanduser()
        if self._task.check_mode and not files_of(folder)[0].exists():
            return None
        return Authority(folder, lambda path: self._loader.get_text_file_contents(str(path.absolute())))

    def _wanted(self, given: dict[str, t.Any], authority: Authority | None, variables: dict[str, t.Any]) -> Pair | None:
        """Return the pair that should be on the host; None in check mode if there is no authority yet."""
        if given.get("chain"):
            return Pair(given["chain"].strip() + "\n", given["key"].strip() + "\n")
        there = self._pair(given["path"], variables)
        if not given["authority"]:
            if there:
                return there
            with tempfile.TemporaryDirectory() as folder:
                return Authority(Path(folder)).issue(given["names"])
        if not authority:
            return None
        if there and authority.has_issued(there, given["names"]):
            return there
        return authority.issue(given["names"], int(given.get("days") or LIFETIME))

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
