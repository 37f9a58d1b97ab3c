#!/usr/bin/python
"""Ansible module: a project's database and user in the PostgreSQL of this host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_app
short_description: Manages a project's database and user, and has PostgreSQL read its settings
description:
  - Asks PostgreSQL once for all that it needs to know, and does what is missing, as its own user and through its
    socket. Needs no library on the host, and no other user to become.
  - The password comes to PostgreSQL as a SCRAM verifier, which is made here, so that it stands in no argument, and in
    no log of the server. Whether it is the right one is told by the verifier that is there.
  - PostgreSQL reads its settings again when a file of O(reload_files) is newer than what it has read; one that it
    cannot read is told.
  - A project logs in as O(user), who owns the database and its tables, or as O(second), who acts as the owner from its
    first statement on. So a password is replaced by the other one's, while the old one is good. One that a release may
    log in with is not overwritten, unless O(replace) says so.
options:
  database: {description: Name of the database., type: str, required: true}
  user: {description: 'Name of its owner, who may log in.', type: str, required: true}
  second: {description: 'Name of the second user, who acts as the owner.', type: str}
  login: {description: 'Which of both has the password. By default the owner.', type: str}
  replace:
    description: Whether a different password replaces a valid one at once.
    type: bool
    default: false
  only:
    description: Whether only O(login) may log in. Otherwise, the other user, if there is one, still may.
    type: bool
    default: false
  password: {description: 'The password, in printable ASCII. Needed for C(state=present).', type: str}
  port: {description: 'Port of the server, by which its socket is named.', type: int, default: 5432}
  state:
    description:
      - Whether they exist. V(absent) drops the database with all its data, and its user.
      - V(closed) keeps both, but the user may no longer log in.
    type: str
    choices: [present, absent, closed]
    default: present
  reload_files: {description: Files that the server rereads on a reload., type: list, elements: path, default: []}
attributes:
  check_mode: {description: Tells what would change., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Create the database and its user
  channels.stack.postgresql_app:
    database: dashboard
    user: dashboard
    password: "{{ vault_postgresql_password }}"
    reload_files: [/etc/postgresql/15/main/pg_hba.conf]
"""

RETURN = r"""
done:
  description: What was done, or would be in check mode.
  type: list
  elements: str
  returned: always
pending:
  description: Settings that PostgreSQL has read and will use after a restart.
  type: list
  elements: str
  returned: always
"""

import json
import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host.scram import is_scram, verifier, verifies

RELOAD_SECONDS = 10
UNREACHABLE = 2  # psql's exit code if it cannot connect
# Names are passed as psql variables, and psql quotes them.
STATE = """
SELECT json_build_object(
  'role', (SELECT json_build_object('verifier', rolpassword, 'login', rolcanlogin, 'super', rolsuper)
           FROM pg_authid WHERE rolname = :'user'),
  'second', (SELECT json_build_object('verifier', rolpassword, 'login', rolcanlogin, 'super', rolsuper,
               'acts', EXISTS (
                 SELECT FROM pg_auth_members JOIN pg_authid owners ON owners.oid = roleid
                 WHERE member = pg_authid.oid AND owners.rolname = :'user')
               AND EXISTS (
                 SELECT FROM pg_db_role_setting
                 WHERE setrole = pg_authid.oid AND setdatabase = 0 AND 'role=' || :'user' = ANY (setconfig)))
             FROM pg_authid WHERE rolname = :'second'),
  'database', (SELECT json_build_object('owner', pg_get_userbyid(datdba),
                                        'open', has_database_privilege('public', oid, 'CONNECT'))
               FROM pg_database WHERE datname = :'database'),
  'read', extract(epoch FROM pg_conf_load_time()),
  'faults', (SELECT json_agg(sourcefile || ':' || sourceline || ': ' || error) FROM pg_file_settings
             WHERE error IS NOT NULL AND error <> 'setting could not be applied'),
  'hosts', (SELECT json_agg(line_number || ': ' || error) FROM pg_hba_file_rules WHERE error IS NOT NULL),
  'pending', (SELECT json_agg(name ORDER BY name) FROM pg_settings WHERE pending_restart)
);
"""
# Keeps these out of the server's log, whatever it logs.
QUIETLY = "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';\n"
CREATE_OWNER = """CREATE ROLE :"user" NOLOGIN;"""
CREATE_USER = QUIETLY + """CREATE ROLE :"login" LOGIN PASSWORD '{verifier}';"""
CHANGE_USER = QUIETLY + """ALTER ROLE :"login" LOGIN PASSWORD '{verifier}';"""
# Everything that it makes belongs to the owner, so a migration by either user can change it later.
ACT_AS_OWNER = """GRANT :"user" TO :"second"; ALTER ROLE :"second" SET role = :'user';"""
# A collation from the C library would change with the library, and break indexes that were sorted by the old one.
CREATE_DATABASE = """
CREATE DATABASE :"database" OWNER :"user" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8';
"""
CLOSE_DATABASE = """REVOKE ALL ON DATABASE :"database" FROM PUBLIC;"""
# This disconnects everybody.
DROP_DATABASE = """DROP DATABASE :"database" WITH (FORCE);"""
DROP_USER = """DROP ROLE :"{role}";"""
CLOSE_USER = """
ALTER ROLE :"{role}" NOLOGIN PASSWORD NULL;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :'{role}';
"""
RELOAD = "SELECT pg_reload_conf();"


class Server:
    """The PostgreSQL on this host, reached through its socket as its own user."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def run(self, sql: str) -> str:
        """Run statements through standard input, and return their output; end the module if one fails."""
        given = self.module.params
        code, out, err = self.module.run_command(
            [
                "runuser", "--user=postgres", "--", "psql", f"--port={given['port']}", "--dbname=postgres",
                "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1",
                f"--set=user={given['user']}", f"--set=second={given['second'] or ''}",
                f"--set=login={given['login'] or given['user']}", f"--set=database={given['database']}",
            ],
            data=sql, cwd="/",
        )  # fmt: skip
        if code == UNREACHABLE and self.module.check_mode:  # a real run would have started it, or moved it to this port
            self.module.exit_json(
                changed=True, done=["what PostgreSQL lacks cannot be told before it runs"], pending=[]
            )
        if code:
            self.module.fail_json(msg=f"PostgreSQL refused: {err.strip() or out.strip()}")
        return out

    def state(self) -> dict[str, Any]:
        """Return everything that STATE asks for."""
        return dict(json.loads(self.run(STATE)))


def needed(module: AnsibleModule, state: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what to do, each step with its statements; end the module if a name belongs to somebody else."""
    user, database = module.params["user"], module.params["database"]
    role, found = state["role"], state["database"]
    steps: list[tuple[str, str]] = []
    for name, one in ((user, role), (module.params["second"], state.get("second"))):
        if one and one["super"]:
            module.fail_json(msg=f"User {name} administers PostgreSQL: give the project another postgresql_user")
    if found and found["owner"] != user:
        module.fail_json(
            msg=f"Database {database} belongs to {found['owner']}, not to {user}: write another postgresql_database, "
            f'or hand it over there: runuser -u postgres -- psql -c \'ALTER DATABASE "{database}" OWNER TO "{user}"\''
        )
    roles = {"second": state.get("second"), "user": role}
    if module.params["state"] == "present":
        steps += joined(module, roles, found)
    else:
        steps += parted(module, roles, found)
    # In check mode, a file may not exist yet.
    there = [path for path in module.params["reload_files"] if os.path.exists(path)]
    changed = max((os.stat(path).st_ctime for path in there), default=0.0)
    if changed > state["read"]:
        steps.append(("settings were read again", RELOAD))
    return steps


def parted(module: AnsibleModule, roles: dict[str, Any], found: Any) -> list[tuple[str, str]]:
    """Return the steps that take the users' rights away, and the data too if it is to go."""
    steps, database = [], module.params["database"]
    if module.params["state"] == "absent":
        if found:
            steps.append((f"database {database} was dropped", DROP_DATABASE))
        for kind in (kind for kind, role in roles.items() if role):
            steps.append((f"user {module.params[kind]} was dropped", DROP_USER.format(role=kind)))
        return steps
    return [closed(module, kind) for kind, role in roles.items() if role and role["login"]]


def closed(module: AnsibleModule, kind: str) -> tuple[str, str]:
    """Return the step that stops one of the two users from logging in."""
    return f"user {module.params[kind]} may no longer log in", CLOSE_USER.format(role=kind)


def joined(module: AnsibleModule, roles: dict[str, Any], found: Any) -> list[tuple[str, str]]:
    """Return the steps that give the user a password and its own database."""
    steps, database, password = [], module.params["database"], module.params["password"]
    login = "second" if module.params["login"] and module.params["login"] == module.params["second"] else "user"
    if login == "second" and not roles["user"]:
        steps.append((f"user {module.params['user']} was made", CREATE_OWNER))
    role, name = roles[login], module.params[login]
    if not role or not role["login"] or not verifies(password, role["verifier"]):
        if role and role["login"] and is_scram(role["verifier"]) and not module.params["replace"]:
            module.fail_json(
                msg=f"User {name} has another password than postgresql_password, and what serves logs in with that: it "
                "would be cut from the database before the new release serves. Write the old one again, and rotate it: "
                "playbooks/rotate_secrets.yml -e rotate_secrets=database. Or, if nothing serves that you would miss: "
                "-e postgresql_replace_password=true"
            )
        made = verifier(password)
        module.no_log_values.add(made)
        what = "given its password" if role else "made"
        steps.append((f"user {name} was {what}", (CHANGE_USER if role else CREATE_USER).format(verifier=made)))
    if login == "second" and not (role and role["acts"]):
        steps.append((f"user {name} acts as {module.params['user']}", ACT_AS_OWNER))
    if not found:
        steps.append((f"database {database} was made", CREATE_DATABASE))
    if not found or found["open"]:
        steps.append((f"database {database} was closed to all but its owner", CLOSE_DATABASE))
    other = "user" if login == "second" else "second"
    if module.params["only"] and roles[other] and roles[other]["login"]:
        steps.append(closed(module, other))
    return steps


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "second": {"type": "str"},
            "login": {"type": "str"},
            "replace": {"type": "bool", "default": False},
            "only": {"type": "bool", "default": False},
            "password": {"type": "str", "no_log": True},
            "port": {"type": "int", "default": 5432},
            "state": {"type": "str", "choices": ["present", "absent", "closed"], "default": "present"},
            "reload_files": {"type": "list", "elements": "path", "default": []},
        },
        required_if=[("state", "present", ["password"])],
        supports_check_mode=True,
    )
    server = Server(module)
    state = server.state()
    steps = needed(module, state)
    if not module.check_mode:
        for _, sql in steps:
            server.run(sql)
            if sql == RELOAD:  # the server reloads in its own time
                deadline = time.monotonic() + RELOAD_SECONDS
                before, state = state, server.state()
                while state["read"] <= before["read"] and time.monotonic() < deadline:
                    time.sleep(0.1)
                    state = server.state()
    faults = (state["faults"] or []) + [f"pg_hba.conf:{fault}" for fault in state["hosts"] or []]
    if faults:
        module.fail_json(msg="PostgreSQL goes on with its old settings, because it cannot read: " + "; ".join(faults))
    module.exit_json(changed=bool(steps), done=[what for what, _ in steps], pending=state["pending"] or [])


if __name__ == "__main__":
    main()
