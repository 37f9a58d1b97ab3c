#!/usr/bin/python
"""Ansible module: a project's part of the files of this host's PgBouncer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_project
short_description: Lets a project's users into PgBouncer
description:
  - PgBouncer reads one file each of databases, of clients and of users. This writes all three, with what each project
    has declared.
  - It recognises users by the SCRAM verifiers that PostgreSQL has at the time, which are read as PostgreSQL's own user
    through its socket. So no password is on the disk, PgBouncer has no user in PostgreSQL, and both users of a project
    are let in while its password is rotated. Users that may not log in to PostgreSQL are left out.
options:
  project: {description: Name of the project., type: str, required: true}
  database: {description: Name of its database. Needed for C(state=present)., type: str}
  users: {description: Names of its users., type: list, elements: str, default: []}
  settings: {description: 'Where the database is, in the notation of PgBouncer.', type: str, default: ''}
  clients: {description: 'Lines of the project for the file of clients.', type: list, elements: str, default: []}
  port: {description: 'Port of PostgreSQL, by which its socket is named.', type: int, default: 5432}
  folder: {description: Folder of PgBouncer., type: path, default: /etc/pgbouncer}
  group: {description: Group that reads the files., type: str, default: pgbouncer}
  state: {description: Whether the project is let in., type: str, choices: [present, absent], default: present}
attributes:
  check_mode: {description: Tells what would change., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Let the project's users in
  channels.stack.pgbouncer_project:
    project: dashboard
    database: dashboard
    users: [dashboard, dashboard__b]
    settings: host=127.0.0.1 port=5432 pool_mode=transaction pool_size=40
    clients: ["hostssl dashboard dashboard,dashboard__b 10.0.0.1/32 scram-sha-256"]
"""

RETURN = r"""
files:
  description: Files that were changed, or would be in check mode.
  type: list
  elements: str
  returned: always
projects:
  description: Names of the projects that are let in.
  type: list
  elements: str
  returned: always
"""

import grp
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

UNREACHABLE = 2  # psql's exit code if it cannot connect
VERIFIERS = """
SELECT coalesce(json_object_agg(rolname, rolpassword), '{}') FROM pg_authid
WHERE rolcanlogin AND NOT rolsuper AND rolpassword LIKE 'SCRAM-SHA-256$%';
"""
HEAD = "of all projects on this host. Written by ansible-channels-stack; what is added here is lost."

Projects = dict[str, dict[str, Any]]


def files_of(projects: Projects, verifiers: dict[str, str]) -> dict[str, str]:
    """Return the text of each file by its name."""
    databases, clients, users = [f"; Databases {HEAD}", "[databases]"], [f"# Clients {HEAD}"], [f"; Users {HEAD}"]
    for _, one in sorted(projects.items()):
        databases.append(f"{one['database']} = dbname={one['database']} {one['settings']}")
        clients += one["clients"]
        users += [f'"{name}" "{verifiers[name]}"' for name in one["users"] if name in verifiers]
    # Who looks into PgBouncer is recognised by the owner of the process at the other end of the socket.
    clients.append("local pgbouncer pgbouncer peer")
    return {
        "databases.ini": "\n".join(databases) + "\n",
        "hba.conf": "\n".join(clients) + "\n",
        "users.txt": "\n".join(users) + "\n",
    }


def declared(folder: Path) -> Projects:
    """Return what each project has declared, by its name."""
    return {path.stem: dict(json.loads(path.read_text())) for path in sorted((folder / "projects").glob("*.json"))}


def verifiers_of(module: AnsibleModule) -> dict[str, str]:
    """Return the verifiers that PostgreSQL has, by their users; end the module if it does not answer."""
    code, out, err = module.run_command(
        [
            "runuser", "--user=postgres", "--", "psql", f"--port={module.params['port']}", "--dbname=postgres",
            "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1",
        ],
        data=VERIFIERS, cwd="/",
    )  # fmt: skip
    if code == UNREACHABLE and module.check_mode:
        module.exit_json(changed=True, files=[], projects=[])
    if code:
        module.fail_json(msg=f"PostgreSQL does not say who may log in: {err.strip()}")
    found = dict(json.loads(out))
    module.no_log_values.update(found.values())
    return found


def put(path: Path, text: str, group: int) -> None:
    """Put a file in place in one step, readable for root and a group."""
    path.parent.mkdir(mode=0o750, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        os.fchmod(handle, 0o640)
        os.fchown(handle, 0, group)
    os.replace(name, path)


def is_right(path: Path, text: str, group: int) -> bool:
    """Tell whether a file has a text and can be read by those who should, and by nobody else."""
    if not path.is_file():
        return False
    found = path.stat()
    return path.read_text() == text and found.st_mode & 0o777 == 0o640 and (found.st_uid, found.st_gid) == (0, group)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "database": {"type": "str"},
            "users": {"type": "list", "elements": "str", "default": []},
            "settings": {"type": "str", "default": ""},
            "clients": {"type": "list", "elements": "str", "default": []},
            "port": {"type": "int", "default": 5432},
            "folder": {"type": "path", "default": "/etc/pgbouncer"},
            "group": {"type": "str", "default": "pgbouncer"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["database"])],
        supports_check_mode=True,
    )
    given, folder = module.params, Path(module.params["folder"])
    projects = declared(folder)
    mine = folder / "projects" / f"{given['project']}.json"
    if given["state"] == "present":
        projects[given["project"]] = {name: given[name] for name in ("database", "users", "settings", "clients")}
    else:
        projects.pop(given["project"], None)
    texts = {folder / name: text for name, text in files_of(projects, verifiers_of(module)).items()}
    if given["state"] == "present":
        texts[mine] = json.dumps(projects[given["project"]], sort_keys=True) + "\n"
    try:
        group = grp.getgrnam(given["group"]).gr_gid
    except KeyError:  # in check mode, the user may not exist yet
        group = -1
    wrong = [path for path, text in texts.items() if not is_right(path, text, group)]
    gone = [mine] if given["state"] == "absent" and mine.exists() else []
    if not module.check_mode:
        for path in wrong:
            put(path, texts[path], group)
        for path in gone:
            path.unlink()
    changed = sorted(str(path) for path in wrong + gone)
    module.exit_json(changed=bool(changed), files=changed, projects=sorted(projects))


if __name__ == "__main__":
    main()
