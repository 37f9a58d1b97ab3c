#!/usr/bin/python
"""Ansible module: PostgreSQL as a primary or a standby."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_replication
short_description: Makes PostgreSQL a primary with standbys, or the standby of another one
description:
  - A standby is made by a copy of the primary (C(pg_basebackup)) and then follows it by streaming replication. A
    cluster that holds data is not replaced, unless O(rebuild) says so; then they are put aside.
options:
  state:
    description:
      - V(primary) lets O(slots) follow. V(standby) is made once, and is left alone after that.
      - V(stopped) stops a primary cleanly, and returns up to where a standby must have its data. V(promoted) makes a
        standby the primary. V(following) brings a stopped primary back as a standby.
    type: str
    required: true
    choices: [primary, standby, stopped, promoted, following]
  version: {description: Version of PostgreSQL., type: str, required: true}
  port: {description: 'Port of the server, by which its socket is named.', type: int, default: 5432}
  user: {description: User that standbys log in with., type: str, required: true}
  password: {description: 'Its password, for V(primary).', type: str}
  slots: {description: 'Names of the slots of all standbys, for V(primary).', type: list, elements: str, default: []}
  prefix: {description: 'Beginning of the names of slots that may be dropped, for V(primary).', type: str}
  source: {description: 'How to reach the primary, for V(standby).', type: str}
  slot: {description: 'The slot of this host, for V(standby).', type: str}
  rebuild: {description: Whether data are put aside for a copy., type: bool, default: false}
  until: {description: 'Up to where V(promoted) waits for data; empty if nobody can say.', type: str, default: ''}
attributes:
  check_mode: {description: Tells what would change., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Copy the primary
  channels.stack.postgresql_replication:
    state: standby
    version: "15"
    user: replicator
    source: host=10.0.0.20 port=5432 user=replicator passfile=/etc/postgresql/15/main/replication.pgpass
    slot: channels_dashboard_database_2
"""

RETURN = r"""
done: {description: What was done., type: list, elements: str, returned: always}
until: {description: Up to where the stopped primary has written., type: str, returned: for V(stopped)}
had: {description: What the promoted standby had received., type: dict, returned: for V(promoted)}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host import replication


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "required": True,
                "choices": ["primary", "standby", "stopped", "promoted", "following"],
            },
            "version": {"type": "str", "required": True},
            "port": {"type": "int", "default": 5432},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "slots": {"type": "list", "elements": "str", "default": []},
            "prefix": {"type": "str"},
            "source": {"type": "str"},
            "slot": {"type": "str"},
            "rebuild": {"type": "bool", "default": False},
            "until": {"type": "str", "default": ""},
        },
        required_if=[("state", "primary", ["prefix"]), ("state", "standby", ["source", "slot"])],
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    cluster = replication.Cluster(given["version"], given["port"], given["user"], module.run_command)
    answer: dict[str, Any] = {}
    done: list[str] = []
    try:
        if given["state"] == "primary":
            password, prefix = given["password"] or "", given["prefix"]
            done = replication.serve_standbys(cluster, password, given["slots"], prefix, check)
        elif given["state"] == "standby":
            done = replication.become_standby(cluster, given["source"], given["slot"], given["rebuild"], check)
        elif check:
            done = [given["state"]]
        elif given["state"] == "stopped":
            answer["until"] = replication.stop_primary(cluster)
            done = ["the primary was stopped"]
        elif given["state"] == "promoted" and cluster.is_standby:
            answer["had"] = replication.promote(cluster, given["until"])
            done = ["the standby is the primary"]
        elif given["state"] == "following" and not cluster.is_standby:
            replication.follow(cluster)
            done = ["the earlier primary follows"]
    except replication.ReplicationError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(done), done=done, **answer)


if __name__ == "__main__":
    main()
