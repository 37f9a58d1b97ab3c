#!/usr/bin/python
"""Ansible module: opens real WebSockets, talks, waits, and says in plain words what is wrong."""

from __future__ import annotations

DOCUMENTATION = r"""
module: websocket_handshake
short_description: Prove that a WebSocket works, with a real handshake
description:
  - Opens a WebSocket as a browser does, over TCP, TLS or the unix socket of one process, and checks what the server
    makes of it. With O(send), O(expect) and O(idle_seconds) it also checks that messages flow and that an idle socket
    stays open.
  - Several unix sockets are checked at the same time, and the problems of all of them are reported together, each with
    its likely cause and what to do.
  - Nothing changes on the host. The token and secret headers are masked in everything that is returned, also where
    the server echoes them.
requirements:
  - wsproto >= 1.2 on the host that runs it (Debian's package is python3-wsproto)
options:
  url:
    description:
      - The WebSocket's URL, V(ws://) or V(wss://). It gives the Host header and the path also where another option
        says where to connect to.
      - C({token}) in it stands for O(token), percent-encoded. A token that is written out here instead would be seen
        in Ansible's output and the host's log.
    type: str
    required: true
  token:
    description:
      - Fills C({token}) in O(url) (percent-encoded), and in O(headers), O(subprotocols) and O(send) (as it is).
    type: str
  token_command:
    description:
      - Command on the host whose last printed line is used as O(token), so that no token passes through the play.
    type: list
    elements: str
  token_file:
    description:
      - File in a folder that only root can change, from which the token is taken if a call with the same
        O(token_command) and with O(keep_token) left it there some seconds ago. The file is removed.
    type: path
  keep_token:
    description:
      - Whether to mint a new token, and to leave it in O(token_file) for the next call. Only its owner can read it. It
        is removed if this call fails.
    type: bool
    default: false
  unix_sockets:
    description:
      - Paths of unix sockets to connect to, each of which is checked. There is no TLS on them, so that the public
        V(wss://) URL can stay as it is.
      - Without any, the connection goes over TCP.
    type: list
    elements: path
    default: []
  connect_to:
    description:
      - C(HOST:PORT) to connect to in place of the one in O(url), as C(curl --connect-to). Host header and TLS server
        name stay those of O(url).
    type: str
  listeners:
    description:
      - Addresses that a proxy listens on, each of which is checked, in place of the one in O(url). Those of IPv6 are
        left out where the machine has no such loopback address.
    type: list
    elements: dict
    default: []
    suboptions:
      address: {description: C(HOST:PORT) to connect to., type: str, required: true}
      host: {description: Host header there. By default that of O(url)., type: str, default: ''}
      tls:
        description: Whether it uses TLS, whatever O(url) says. The certificate is not verified.
        type: bool
        default: false
      proxied:
        description: Whether it uses the PROXY protocol.
        type: bool
        default: false
  answered_by:
    description:
      - Unix sockets of processes, of which one has to be the one that answered. A proxy that knows says so in
        C(X-Channels-Upstream) of its answer to C(X-Channels-Probe); of another one it is enough that one of these
        sockets has a connection while the WebSocket is open.
    type: list
    elements: path
    default: []
  origin:
    description:
      - The Origin header. By default the one that a browser on the same site would send, C(http(s)://HOST[:PORT]) of
        O(url). The empty string sends none.
    type: str
  headers:
    description:
      - More request headers. A V(Host) replaces that of O(url).
      - Values are treated as secrets, except those of headers that are known not to hold any, such as
        V(X-Forwarded-For).
    type: dict
    default: {}
  subprotocols:
    description:
      - Subprotocols to offer, in order. The server must take one of them, as browsers demand.
    type: list
    elements: str
    default: []
  send:
    description:
      - Texts to send once the socket is open.
    type: list
    elements: str
    default: []
  expect:
    description:
      - Regular expressions, each of which has to be found in a text that the server sends within O(timeout).
    type: list
    elements: str
    default: []
  outcome:
    description:
      - The expected outcome. V(accepted) is an open socket that stays open until the check ends (see O(close_codes)).
      - V(refused) is an HTTP answer other than 101 (see O(status)), or a socket that is closed with one of
        O(close_codes).
      - V(any) is any answer to the handshake, to look without judging.
    type: str
    choices: [accepted, refused, any]
    default: accepted
  status:
    description:
      - The HTTP statuses that are expected for O(outcome=refused). Any, if empty.
    type: list
    elements: int
    default: []
  close_codes:
    description:
      - The socket has to be closed by the server with one of these codes within O(timeout), such as V(4401) from a
        consumer that accepts first and then turns bad tokens away. 1006 is a connection cut without a close frame.
    type: list
    elements: int
    default: []
  idle_seconds:
    description:
      - How long the socket must stay open after that in silence; only the server's pings are answered.
      - With V(0) it is still watched for a tenth of a second, to see a consumer that accepts and closes at once. An
        exception after the accept takes longer, since daphne looks for them once a second; V(1.5) sees those too.
    type: float
    default: 0
  timeout:
    description:
      - Seconds that the handshake may take, and again the texts of O(expect) and the close of O(close_codes).
    type: float
    default: 10
  wait_seconds:
    description:
      - How long to try again, in seconds, for a process that is starting. V(0) is one try.
      - A handshake that is refused with the same 4xx for three seconds is not tried again. A starting process answers
        like that only for a moment; after that, the answer will not change.
      - Nor is a handshake that the same process keeps answering with 500, if O(log_command) shows a reason that will
        not pass.
    type: float
    default: 0
  log_command:
    description:
      - Command on the host that prints the last log lines of what is tried, to tell an error that stays from one that
        passes, such as a database that is starting.
    type: list
    elements: str
    default: []
  unsteady_command:
    description:
      - Command on the host that prints the processes that keep dying, as a JSON list of objects with C(kind),
        C(restarts), C(what) and C(log). A unix socket that such a server should create is not waited for after its
        third restart, unless its log shows a reason that may pass.
    type: list
    elements: str
    default: []
  delay:
    description:
      - Seconds between two tries.
    type: float
    default: 0.5
  validate_certs:
    description:
      - Whether TLS certificates are verified.
    type: bool
    default: true
  ca_path:
    description:
      - A file or folder of certificate authorities to trust in place of the system's.
    type: path
  http_path:
    description:
      - A path that is also fetched with GET from the same place, such as V(/health/).
    type: str
  http_sockets:
    description:
      - Paths of unix sockets that are asked for O(http_path) and for no handshake, in place of O(unix_sockets). For
        where plain HTTP is answered by other processes.
    type: list
    elements: path
    default: []
  http_status:
    description:
      - The statuses that are expected for O(http_path). Any below 500, if empty.
    type: list
    elements: int
    default: []
attributes:
  check_mode:
    description: A handshake changes nothing, so it is made in check mode, too.
    support: full
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Open the dashboard's WebSocket and see it stay open
  channels.stack.websocket_handshake:
    url: wss://dashboard.example.org/ws/dashboard/?token={token}
    token: "{{ dashboard_token }}"
    idle_seconds: 5

- name: Wait until each process of the new generation answers HTTP and completes a handshake
  channels.stack.websocket_handshake:
    url: wss://dashboard.example.org/ws/dashboard/?token={token}
    token: "{{ dashboard_token }}"
    unix_sockets:
      - /run/dashboard/20260101T120000-1.sock
      - /run/dashboard/20260101T120000-2.sock
    http_path: /health/
    http_status: [200]
    wait_seconds: 30

- name: See a wrong token turned away
  channels.stack.websocket_handshake:
    url: ws://localhost:8000/ws/dashboard/?token={token}
    token: wrong
    outcome: refused
    status: [401, 403]
    close_codes: [4401]

- name: See an echo come back
  channels.stack.websocket_handshake:
    url: ws://localhost:8000/ws/echo/
    send: ['{"say": "hello"}']
    expect: ['"hello"']
"""

RETURN = r"""
handshakes:
  description: One entry for each target, in the order of O(unix_sockets), O(listeners) and O(http_sockets).
  returned: always, except for wrong options
  type: list
  elements: dict
  contains:
    target:
      description: The unix socket's path, or HOST:PORT.
      type: str
      sample: /run/dashboard/20260101T120000-1.sock
    ok:
      description: Whether everything was as expected.
      type: bool
    outcome:
      description: What happened, V(accepted), V(refused) or V(failed) (no answer).
      type: str
    status:
      description: The HTTP status of the answer, 101 for an accepted handshake, null without an answer.
      type: int
      sample: 101
    close_code:
      description: The code with which the socket was closed from outside, null if it stayed open until the check ended.
      type: int
      sample: 4401
    close_reason:
      description: The text that came with it.
      type: str
    subprotocol:
      description: The subprotocol that the server chose, or null.
      type: str
    headers:
      description: The answer's headers, names in lower case. Cookies are masked.
      type: dict
    body:
      description: The first 2 kB of a refusal's body.
      type: str
    received:
      description: The first 20 texts received, each cut at 500 characters.
      type: list
      elements: str
    timings_ms:
      description: Milliseconds for C(connect) (with the name's lookup), C(tls) (null without) and C(handshake).
      type: dict
      sample: {connect: 0.1, tls: null, handshake: 4.2}
    idle_seconds:
      description: How long the socket was watched in silence.
      type: float
    http:
      description: The answer to O(http_path), with C(status), C(body) and C(ok); null if none was asked for or came.
      type: dict
    attempts:
      description: The number of attempts.
      type: int
    problem:
      description: What is wrong, as C(what), C(likely) (the cause) and C(fix); null if nothing is.
      type: dict
      sample:
        what: "No connection to the unix socket: No such file or directory."
        likely: The process does not run.
        fix: Look at the process's state and log.
"""

import contextlib
import urllib.parse
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.handshake.gate.plan import url_secrets
from ..module_utils.handshake.gate.run import failure_text, run
from ..module_utils.handshake.gate.token import keep, take
from ..module_utils.text.secrets import header_secrets, redact
from ..module_utils.websocket.dependency import HAS_WSPROTO, WSPROTO_IMPORT_ERROR

ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "token": {"type": "str", "no_log": True},
    "token_command": {"type": "list", "elements": "str", "no_log": False},
    "token_file": {"type": "path", "no_log": False},
    "keep_token": {"type": "bool", "default": False, "no_log": False},
    "unix_sockets": {"type": "list", "elements": "path", "default": []},
    "connect_to": {"type": "str"},
    "listeners": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "address": {"type": "str", "required": True},
            "host": {"type": "str", "default": ""},
            "tls": {"type": "bool", "default": False},
            "proxied": {"type": "bool", "default": False},
        },
    },
    "answered_by": {"type": "list", "elements": "path", "default": []},
    "origin": {"type": "str"},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "subprotocols": {"type": "list", "elements": "str", "default": []},
    "send": {"type": "list", "elements": "str", "default": []},
    "expect": {"type": "list", "elements": "str", "default": []},
    "outcome": {"type": "str", "choices": ["accepted", "refused", "any"], "default": "accepted"},
    "status": {"type": "list", "elements": "int", "default": []},
    "close_codes": {"type": "list", "elements": "int", "default": []},
    "idle_seconds": {"type": "float", "default": 0},
    "timeout": {"type": "float", "default": 10},
    "wait_seconds": {"type": "float", "default": 0},
    "log_command": {"type": "list", "elements": "str", "default": []},
    "unsteady_command": {"type": "list", "elements": "str", "default": []},
    "delay": {"type": "float", "default": 0.5},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "http_path": {"type": "str"},
    "http_sockets": {"type": "list", "elements": "path", "default": []},
    "http_status": {"type": "list", "elements": "int", "default": []},
}


def minted(module: AnsibleModule, command: list[str], path: str | None = None, keeps: bool = False) -> str:
    """Return the token that the last call kept, or the command's last line; if it fails, end with its complaint."""
    if path and not keeps and (kept := take(path, command)):
        return kept
    code, out, err = module.run_command(command)
    lines = out.strip().splitlines()
    if code or not lines:
        said = "\n".join(err.strip().splitlines()[-8:]) or "it printed nothing"
        module.fail_json(
            msg=f"token_command failed with {code}, so no handshake was tried: {' '.join(command)}\n{said}"
        )
    if path and keeps:
        with contextlib.suppress(OSError):  # then the next call mints its own
            keep(path, command, lines[-1])
    return str(lines[-1])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, mutually_exclusive=[("token", "token_command")], supports_check_mode=True
    )
    options = module.params
    if options["token_command"]:
        options["token"] = minted(module, options["token_command"], options["token_file"], options["keep_token"])
    from_headers, from_url = header_secrets(options["headers"]), url_secrets(options["url"])
    token = options["token"] or ""
    secrets = {token, *from_headers, *from_url} - {""}
    # Ansible masks every value of a no_log dict wherever it occurs, even within numbers: "10" from a harmless header
    # would make status 101 unreadable. And it masks only plain values, so the encoded token is added.
    module.no_log_values.difference_update({str(value) for value in options["headers"].values()} - secrets)
    module.no_log_values.update(secrets | {urllib.parse.quote(token, safe="")} - {""})
    if from_url:
        module.warn("The url holds what looks like a secret, which Ansible logs: pass it as token, and {token} in url.")
    if not HAS_WSPROTO:
        module.fail_json(
            msg=missing_required_lib("wsproto", reason="for WebSocket handshakes; on Debian: python3-wsproto"),
            exception=WSPROTO_IMPORT_ERROR,
        )
    handshakes, wrong_options = run(options, secrets)
    if wrong_options:
        module.fail_json(msg=wrong_options)
    safe_options = redact(options, secrets)
    if all(entry["ok"] for entry in handshakes):
        module.exit_json(changed=False, handshakes=handshakes)
    if options["token_file"] and options["keep_token"]:
        Path(options["token_file"]).unlink(missing_ok=True)  # nobody comes for it
    module.fail_json(msg=failure_text(safe_options, handshakes), changed=False, handshakes=handshakes)


if __name__ == "__main__":
    main()
