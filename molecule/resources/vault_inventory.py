"""An inventory whose secrets are in a vault, as `make secrets` leaves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from lab_host import ROOT


class Vault:
    """An inventory beside the scenario's, with its secrets in a vault, and the vault's password."""

    def __init__(self, folder: Path, values: dict[str, str], hosts: dict[str, dict[str, Any]]) -> None:
        self.folder, self.password = folder / "secrets", folder / "password"
        self.file = self.folder / "group_vars" / "all" / "vault.yml"
        self.file.parent.mkdir(parents=True)
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
        self.file.write_text("# Secrets of the test.\n" + yaml.safe_dump(values))
        self.password.touch(mode=0o600)
        self.password.write_text("the-password-of-the-vault-itself\n")
        command = [sys.executable, "scripts/vault_secrets.py", str(self.folder), f"--password-file={self.password}"]
        subprocess.run(command, cwd=ROOT, check=True)
        self.options = ("--inventory", str(self.folder), "--vault-password-file", str(self.password))

    def values(self) -> dict[str, str]:
        """Return what is in the vault now."""
        program = str(Path(sys.executable).with_name("ansible-vault"))
        view = [program, "view", "--vault-password-file", str(self.password), str(self.file)]
        return yaml.safe_load(subprocess.run(view, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
