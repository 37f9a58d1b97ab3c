"""A connection that answers the probe as a host's variable says, to have machines that a test cannot have."""

DOCUMENTATION = """
name: scripted
short_description: answers every command with a variable
description: For tests.
author: tests
options:
  answer: {description: stdout, type: str, vars: [{name: scripted_answer}]}
"""
from ansible.plugins.connection import ConnectionBase  # noqa: E402 - as Ansible lays its plugins out


class Connection(ConnectionBase):
    transport = "scripted"
    has_pipelining = True

    def _connect(self):
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        answer = self.get_option("answer")
        return (0, answer.encode(), b"") if answer else (1, b"", b"sudo: command not found\\n")

    def put_file(self, in_path, out_path):
        raise AssertionError("the preflight copies nothing to a host")

    fetch_file = put_file

    def close(self):
        pass
