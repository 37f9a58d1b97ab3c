#!/usr/bin/python
"""Ansible module: several files, folders and links, in one step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Manages several files, folders and links at once
description:
  - Does for many paths what M(ansible.builtin.copy) with C(content) and M(ansible.builtin.file) do for one each, in one
    call, so that a role whose files rarely change costs one task. Contents come from C(lookup('template', …)).
  - Entries are handled in order, so list a folder before what is in it. Each file is replaced atomically.
options:
  entries:
    description:
      - What is to be there. Each entry has a C(path) and one of C(content) (a text), C(secret) (the name of a text in
        O(secrets)), C(link) (where it leads, which need not be there), C(directory) (true) or C(absent) (true).
      - C(owner), C(group) and C(mode) are those of M(ansible.builtin.file); C(force=false) leaves what is there, but
        for owner, group and mode where a C(mode) is given.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Its path., type: path, required: true}
      content: {description: A file's text., type: str}
      secret: {description: Name of a file's text in O(secrets)., type: str}
      link: {description: A link's target., type: str}
      directory: {description: Whether it is a folder., type: bool, default: false}
      absent: {description: Whether no file or link is there; a folder is never removed., type: bool, default: false}
      owner: {description: Its owner's name., type: str, default: root}
      group: {description: Its group's name., type: str, default: root}
      mode: {description: 'Its mode; by default 0644, and 0755 for a folder.', type: str}
      force: {description: Whether different content is replaced., type: bool, default: true}
      only_settings:
        description:
          - Whether a file stays as it is if only its comments (lines that begin with C(#) or C(;)) and empty lines
            would change. For files that restart a daemon, whose connections a better comment is not worth.
        type: bool
        default: false
      validate:
        description:
          - Command that must succeed before a file's text is replaced. C(%s) in it is the path of the new text. Not run
            in check mode.
        type: list
        elements: str
  secrets:
    description: Texts that must not be shown, by their names. Diffs leave them out.
    type: dict
    default: {}
  root:
    description: Folder that contains the relative paths. Neither they nor links on their way may lead out of it.
    type: path
  base:
    description: Folder in O(root) that relative paths start from; they may lead above it.
    type: str
    default: ""
attributes:
  check_mode: {description: Tells what would change., support: full}
  diff_mode: {description: Shows all but secrets., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Write the settings
  channels.stack.file_set:
    entries:
      - {path: /etc/dashboard, directory: true}
      - {path: /etc/dashboard/settings, content: "{{ lookup('ansible.builtin.template', 'settings.j2') }}"}
      - {path: /etc/dashboard/env, secret: env, mode: "0640"}
      - {path: /etc/dashboard/current, link: settings}
    secrets:
      env: "{{ lookup('ansible.builtin.template', 'env.j2') }}"
"""

RETURN = r"""
paths:
  description: What was changed, or would be in check mode.
  type: list
  elements: str
  returned: always
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ENTRY: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "secret": {"type": "str", "no_log": False},
    "link": {"type": "str"},
    "directory": {"type": "bool", "default": False},
    "absent": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str"},
    "force": {"type": "bool", "default": True},
    "only_settings": {"type": "bool", "default": False},
    "validate": {"type": "list", "elements": "str"},
}
KINDS = ("content", "secret", "link", "directory", "absent")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "entries": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": ENTRY,
                "mutually_exclusive": [("content", "secret", "link")],
            },
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "root": {"type": "path"},
            "base": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
        no_log=True,  # nobody needs whole files in the journal at each run
    )
    changed: list[str] = []
    diffs: list[dict[str, Any]] = []
    for entry in module.params["entries"]:
        given = [entry[kind] not in (None, False) for kind in KINDS]  # a text may be empty
        if given.count(True) != 1:
            module.fail_json(msg=f"{entry['path']}: give one of {', '.join(KINDS)}")
        if root := module.params["root"]:
            parent, name = os.path.split(os.path.join(root, module.params["base"], entry["path"]))
            # Resolve ".." as the system does: the parent of a link is the parent of its target.
            real = os.path.realpath(parent)
            if name in ("", ".", "..") or os.path.commonpath([os.path.realpath(root), real]) != os.path.realpath(root):
                module.fail_json(
                    msg=f"{entry['path']} is not below {root}: its way, or a link on it, leads to {real}", paths=changed
                )
            entry["path"] = os.path.join(real, name)
        try:
            differs, diff = settle(module, entry)
        except OSError as error:
            module.fail_json(msg=f"{entry['path']} was not changed: {error.strerror or error}", paths=changed)
        if differs:
            changed.append(entry["path"])
            diffs.append({"before_header": entry["path"], "after_header": entry["path"], **diff})
    module.exit_json(changed=bool(changed), paths=changed, diff=diffs)


def settle(module: AnsibleModule, entry: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Make one path match its entry; return whether that is a change, and the difference. May raise OSError."""
    path = Path(entry["path"])
    there = os.path.lexists(path)
    if entry["absent"]:
        if there and not module.check_mode:
            path.unlink()
        return there, {"before": "a file or link\n", "after": ""}
    diff: dict[str, Any] = {}
    if there and not entry["force"]:
        if entry["mode"] is None:
            return False, {}
        differs = False
    elif entry["link"] is not None:
        differs, diff = settle_link(module, path, entry["link"])
    elif entry["directory"]:
        differs, diff = not path.is_dir(), {"before": "", "after": "a folder\n"}
        if differs and not module.check_mode:
            path.mkdir(parents=True)
    else:
        text = module.params["secrets"][entry["secret"]] if entry["content"] is None else entry["content"]
        differs, diff = settle_file(module, path, str(text).encode(), entry["validate"], entry["only_settings"])
        if entry["secret"] is not None and differs:
            diff = {"before": "(not shown)\n", "after": "(not shown, it is secret)\n"}
    if module.check_mode and not there:
        return differs, diff
    given = {**entry, "mode": entry["mode"] or ("0755" if entry["directory"] else "0644"), "follow": False}
    if entry["link"] is not None:
        given["mode"] = None
    attributes: dict[str, Any] = {"before": {}, "after": {}}
    if module.set_fs_attributes_if_different(module.load_file_common_arguments(given), False, diff=attributes):
        before, after = ("".join(f"{key}: {value}\n" for key, value in sorted(attributes[side].items()))
                         for side in ("before", "after"))  # fmt: skip
        diff = {"before": str(diff.get("before", "")) + before, "after": str(diff.get("after", "")) + after}
        differs = True
    return differs, diff


def settle_link(module: AnsibleModule, path: Path, target: str) -> tuple[bool, dict[str, Any]]:
    """Make a link lead to a target, in one step for whoever follows it meanwhile."""
    before = os.readlink(path) if path.is_symlink() else ""
    if before == target:
        return False, {}
    if not module.check_mode:
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        part.symlink_to(target)
        part.replace(path)
    return True, {"before": f"-> {before}\n" if before else "", "after": f"-> {target}\n"}


def settle_file(
    module: AnsibleModule, path: Path, content: bytes, validate: list[str] | None = None, only_settings: bool = False
) -> tuple[bool, dict[str, Any]]:
    """Give a file its content, in one step, after a command has approved it."""
    before = path.read_bytes() if path.is_file() else b""
    same = before == content or (only_settings and settings(before) == settings(content))
    if path.is_file() and not path.is_symlink() and same:
        return False, {}
    if not module.check_mode:
        handle, part = tempfile.mkstemp(dir=module.tmpdir)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        if validate:
            code, out, err = module.run_command([word.replace("%s", part) for word in validate])
            if code:
                os.unlink(part)
                module.fail_json(msg=f"{path} was not changed, because its trial failed:\n{(err or out).strip()}")
        mask = os.umask(0o077)  # a new file may be secret, and gets its mode a moment later
        try:
            module.atomic_move(part, str(path))
        finally:
            os.umask(mask)
    return True, {"before": before.decode(errors="replace"), "after": content.decode(errors="replace")}


def settings(content: bytes) -> list[bytes]:
    """Return the lines of a file that are neither empty nor comments."""
    return [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith((b"#", b";"))]


if __name__ == "__main__":
    main()
