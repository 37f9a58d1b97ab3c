#!/usr/bin/python
"""Ansible module: a project's certbot files, to be kept elsewhere and brought back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_lineage
short_description: Saves and restores what certbot has for a project
description:
  - Reads what a host needs to go on with a certificate and its account at the authority, or puts it back on a host that
    has none of it, or removes it. The action of the same name keeps it on the controller; results hold keys, so tasks
    want C(no_log).
  - Only the newest certificate is saved.
options:
  app: {description: Project of this bundle., type: str, required: true}
  folder:
    description:
      - Folder of the controller that keeps it, as C(HOST-APP.json) of mode 0600, encrypted where the run has a password
        of Ansible Vault. The action reads it, and needs it unless O(state=absent).
    type: path
  order:
    description: What is ordered, as certbot's options. If something else was ordered, only the account is restored.
    type: list
    elements: str
  restore:
    description: With V(true), the action restores what was saved. With V(false), it saves what the host has.
    type: bool
  kept:
    description: What to restore, as texts of files by their paths below O(root); set by the action.
    type: dict
  known: {description: Digest of what is already known; set by the action., type: str, default: ""}
  state:
    description: With C(absent) it is removed, and so is its account if no other certificate uses it.
    type: str
    choices: [present, absent]
    default: present
  root: {description: Folder of certbot., type: path, default: /etc/letsencrypt}
attributes:
  check_mode: {description: Tells whether something would be restored., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Keep the lineage on the controller
  channels.stack.certificate_lineage:
    app: dashboard
    folder: ~/certificates
    order: [--cert-name=dashboard, --domain=www.example.org]
    restore: false
  no_log: true

- name: Remove it from the host; what is kept stays
  channels.stack.certificate_lineage:
    app: dashboard
    state: absent
"""

RETURN = r"""
digest: {description: 'Of what exists; empty if nothing does.', type: str, returned: always}
files: {description: 'Texts of files, by their paths; empty if the digest is known.', type: dict, returned: always}
links: {description: 'Targets of links, by their paths.', type: dict, returned: always}
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

NOTES = Path("/var/lib/channels-certificates")
PARTS = ("cert", "chain", "fullchain", "privkey")


class Lineage:
    """A project's certificate as certbot has it, and the account that ordered it."""

    def __init__(self, root: Path, app: str) -> None:
        self.root, self.app = root, app
        self.settings = f"renewal/{app}.conf"
        name = re.escape(app)
        self.own = re.compile(rf"renewal/{name}\.conf|archive/{name}/[a-z]+\d+\.pem|accounts/[\w.:/-]+/[a-z_]+\.json")
        self.linked = re.compile(rf"live/{name}/(?:{'|'.join(PARTS)})\.pem")

    def read(self) -> dict[str, dict[str, str]]:
        """Return its `files` and `links`, both empty if certbot has none; may raise OSError."""
        files: dict[str, str] = {}
        links: dict[str, str] = {}
        if not (self.root / self.settings).exists():
            return {"files": files, "links": links}
        for part in PARTS:
            path = f"live/{self.app}/{part}.pem"
            links[path] = os.readlink(self.root / path)
            target = os.path.normpath(f"live/{self.app}/{links[path]}")
            files[target] = (self.root / target).read_text()
        for folder in self.accounts():
            files |= {str(path.relative_to(self.root)): path.read_text() for path in sorted(folder.glob("*.json"))}
        return {"files": {**files, self.settings: (self.root / self.settings).read_text()}, "links": links}

    def accounts(self) -> list[Path]:
        """Return the folders of the account that ordered the certificate."""
        used = re.search(r"^account = ([0-9a-f]+)$", (self.root / self.settings).read_text(), re.MULTILINE)
        return sorted((self.root / "accounts").rglob(used[1])) if used else []

    def remove(self, dry: bool) -> list[str]:
        """Remove it, and its account if no other certificate uses that; return what went. The settings go last."""
        settings, going = self.root / self.settings, [self.root / "live" / self.app, self.root / "archive" / self.app]
        if settings.exists():
            others = "".join(each.read_text() for each in settings.parent.glob("*.conf") if each != settings)
            going += [each for each in self.accounts() if f"account = {each.name}\n" not in others]
        going = [path for path in (*going, settings) if os.path.lexists(path)]
        for path in () if dry else going:
            path.unlink() if path == settings else shutil.rmtree(path)
        return [str(path) for path in going]

    def put_back(self, kept: dict[str, dict[str, str]]) -> list[str]:
        """Write what is missing; return the paths. The settings come last: by them certbot knows the certificate."""
        for path in kept["files"]:
            if not self.own.fullmatch(path) or ".." in path:
                raise ValueError(f"{path} is no file of {self.app}'s certificate")
        for path, target in kept["links"].items():
            leads = os.path.normpath(os.path.join(os.path.dirname(path), target))
            if not self.linked.fullmatch(path) or not self.own.fullmatch(leads):
                raise ValueError(f"{path} is no link of {self.app}'s certificate")
        written = []
        for path, text in sorted(kept["files"].items(), key=lambda entry: entry[0] == self.settings):
            if path == self.settings:
                written += [each for each, target in kept["links"].items() if self._link(each, target)]
            place = self._place(path)
            if not place.exists():
                part = place.with_name(place.name + ".part")
                part.unlink(missing_ok=True)
                with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    file.write(text)
                part.rename(place)
                written.append(path)
        return written

    def _link(self, path: str, target: str) -> bool:
        place = self._place(path)
        if place.is_symlink():
            return False
        place.symlink_to(target)
        return True

    def _place(self, path: str) -> Path:
        """Return where a file goes, and make its folders as certbot would."""
        place = self.root / path
        for folder in reversed(place.relative_to(self.root).parents):
            (self.root / folder).mkdir(mode=0o755 if str(folder) in (".", "renewal") else 0o700, exist_ok=True)
        return place


def digest(found: dict[str, dict[str, str]]) -> str:
    """Return a name for what was found; empty if nothing was."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest() if found["files"] else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "required": True},
            "kept": {"type": "dict", "no_log": True},
            "known": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "root": {"type": "path", "default": "/etc/letsencrypt"},
        },
        supports_check_mode=True,
    )
    lineage = Lineage(Path(module.params["root"]), module.params["app"])
    kept: dict[str, Any] | None = module.params["kept"]
    try:
        if module.params["state"] == "absent":
            with contextlib.ExitStack() as stack:
                if NOTES.is_dir():  # whoever runs certbot holds this lock
                    lock = os.open(NOTES, os.O_RDONLY)
                    stack.callback(os.close, lock)
                    fcntl.flock(lock, fcntl.LOCK_EX)
                gone = lineage.remove(module.check_mode)
            module.exit_json(changed=bool(gone), digest="", files={}, links={})
        if kept is None:
            found = lineage.read()
            name = digest(found)
            known = name == module.params["known"]
            module.exit_json(changed=False, digest=name, **({"files": {}, "links": {}} if known else found))
        else:
            missing = [path for path in kept["files"] if not (lineage.root / path).exists()]
            if missing and not module.check_mode:
                lineage.put_back(kept)
            module.exit_json(changed=bool(missing), digest="", files={}, links={})
    except (OSError, ValueError, KeyError) as error:
        module.fail_json(msg=f"What certbot has of {lineage.app} cannot be read or put back: {error}")


if __name__ == "__main__":
    main()
