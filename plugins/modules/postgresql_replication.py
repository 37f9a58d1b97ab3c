#!/usr/bin/python
"""Ansible module: PostgreSQL as a primary or a standby."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_replication
short_description: Makes PostgreSQL a primary with a standby, or the standby of another one
description:
  - A standby is made by a copy of the primary (C(pg_basebackup)) and then follows it by streaming replication. A
    cluster that holds data is not replaced, unless O(rebuild) says so; then they are put aside.
options:
  state:
    description:
      - V(primary) lets a standby follow through O(slot), or nobody if that is empty. V(standby) is made once, and is
        left alone after that.
      - V(stopped) stops a primary cleanly, and returns up to where a standby must have its data. V(promoted) makes a
        standby the primary. V(following) brings a stopped primary back as a standby.
      - V(asked) only says what the server is.
    type: str
    required: true
    choices: [primary, standby, stopped, promoted, following, asked]
  version: {description: Version of PostgreSQL., type: str, required: true}
  port: {description: 'Port of the server, by which its socket is named.', type: int, default: 5432}
  password: {description: 'Password that the standby logs in with, for V(primary).', type: str}
  slot: {description: 'Name of the slot through which the standby follows.', type: str, default: ''}
  source: {description: 'How to reach the primary, as libpq reads it, for V(standby).', type: str}
  rebuild: {description: Whether data are put aside for a copy., type: bool, default: false}
  lsn: {description: 'Up to where V(promoted) waits for data; empty if nobody can say.', type: str, default: ''}
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
    source: host=10.0.0.20 port=5432 user=channels_replication passfile=/etc/postgresql/15/main/replication.pgpass
    slot: channels_10_0_0_21
"""

RETURN = r"""
done: {description: What was done., type: list, elements: str, returned: always}
lsn: {description: Up to where the stopped primary has written., type: str, returned: for V(stopped)}
age: {description: 'Seconds since the latest change of the promoted standby.', type: int, returned: for V(promoted)}
said: {description: 'What the server is, for people.', type: str, returned: for V(asked)}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host import replication


def act(cluster: replication.Cluster, given: dict[str, Any], check: bool) -> tuple[list[str], dict[str, Any]]:
    """Do what a state takes; return what was done, and what else there is to say. May raise ReplicationError."""
    state, slot = given["state"], given["slot"]
    if state == "asked":
        return [], {"said": replication.described(cluster)}
    if state == "primary":
        return replication.serve_standby(cluster, given["password"] or "", slot, check), {}
    if state == "standby":
        return replication.become_standby(cluster, given["source"], slot, given["rebuild"], check), {}
    if check:
        return [f"{state}, if this were no check"], {}
    if state == "stopped":
        return ["the primary was stopped"], {"lsn": replication.stop_primary(cluster, slot)}
    if state == "promoted":
        return ["the standby is the primary"], {"age": replication.promote(cluster, given["lsn"])}
    replication.follow(cluster)
    return ["the former primary is a standby"], {}


def main() -> None:
    """Run the module."""
    states = ["primary", "standby", "stopped", "promoted", "following", "asked"]
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": states},
            "version": {"type": "str", "required": True},
            "port": {"type": "int", "default": 5432},
            "password": {"type": "str", "no_log": True},
            "slot": {"type": "str", "default": ""},
            "source": {"type": "str"},
            "rebuild": {"type": "bool", "default": False},
            "lsn": {"type": "str", "default": ""},
        },
        required_if=[("state", "standby", ["source", "slot"]), ("state", "stopped", ["slot"])],
        supports_check_mode=True,
    )
    cluster = replication.Cluster(module.params["version"], module.params["port"], module.run_command)
    try:
        done, more = act(cluster, module.params, module.check_mode)
    except replication.ReplicationError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(done), done=done, **more)


if __name__ == "__main__":
    main()
