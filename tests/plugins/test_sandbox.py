"""Lines of sandboxes: what ours and an inventory's come to, and which values stop a run."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.host import sandbox
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import sandbox as preflight_sandbox
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import HostView

OURS = {
    "ProtectSystem": "strict",
    "ReadWritePaths": ["/srv/a/shared", "/run/a"],
    "MemoryDenyWriteExecute": True,
    "CapabilityBoundingSet": [],
    "SystemCallFilter": ["@system-service", "~@resources"],
    "RestrictNamespaces": True,
}


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({}, {"ProtectSystem=strict", "ReadWritePaths=/srv/a/shared", "ReadWritePaths=/run/a",
              "MemoryDenyWriteExecute=yes", "CapabilityBoundingSet=", "SystemCallFilter=@system-service",
              "SystemCallFilter=~@resources", "RestrictNamespaces=yes"}),
        ({"MemoryDenyWriteExecute": False}, {"MemoryDenyWriteExecute=no"}),
        ({"MemoryDenyWriteExecute": "false"}, {"MemoryDenyWriteExecute=no"}),
        ({"ReadWritePaths": ["/opt/a", "-/opt/b"]}, {"ReadWritePaths=/run/a", "ReadWritePaths=-/opt/b"}),
        ({"ReadWritePaths": "/opt/a"}, {"ReadWritePaths=/run/a", "ReadWritePaths=/opt/a"}),
        ({"SystemCallFilter": ["@system-service"]}, {"SystemCallFilter=@system-service"}),
        # What switches a line off is not always an empty one: of capabilities, that leaves none.
        ({"CapabilityBoundingSet": False}, {"CapabilityBoundingSet=~"}),
        ({"SystemCallFilter": False}, {"SystemCallFilter="}),
        ({"ProtectSystem": False}, {"ProtectSystem=no"}),
        ({"ProtectSystem": True}, {"ProtectSystem=strict"}),
        ({"ProcSubset": True}, {"ProcSubset=pid"}),
        ({"ProtectProc": False}, {"ProtectProc=default"}),
        ({"RestrictNamespaces": False}, {"RestrictNamespaces=no"}),
        ({"IPAddressDeny": "any", "IPAddressAllow": ["localhost", "10.0.0.0/8"]},
         {"IPAddressDeny=any", "IPAddressAllow=localhost", "IPAddressAllow=10.0.0.0/8"}),
    ],
)  # fmt: skip
def test_what_is_given_has_the_place_of_ours(given: dict[str, Any], lines: set[str]) -> None:
    found = sandbox.lines(OURS, given).splitlines()
    assert lines <= set(found)
    ours = set(sandbox.lines(OURS).splitlines())
    assert {line for line in ours if line.partition("=")[0] not in given} <= set(found), "others stay"
    name = next(iter(given), "ReadWritePaths")
    if name not in sandbox.PATHS:
        assert {line for line in found if line.startswith(f"{name}=")} == {
            line for line in lines if line.startswith(f"{name}=")
        }


def test_the_last_who_gives_something_is_right() -> None:
    """A worker's lines come after those of all."""
    assert sandbox.lines({}, {"PrivateTmp": False}, {"PrivateTmp": True}) == "PrivateTmp=yes\n"


@pytest.mark.parametrize("word", [True, False])
def test_systemd_knows_every_line(tmp_path: Path, word: bool) -> None:
    """Each name, switched on and off, as systemd of this machine reads it: what it does not know, it ignores."""
    words = {name: choice for name, (_, choice, _) in sandbox.CHOICES.items()}
    values = {name: such for name, (_, such) in sandbox.VALUES.items()}
    some = {name: "/opt" for name in sandbox.PATHS} | {"BindPaths": "/opt:/mnt", "TemporaryFileSystem": "/mnt:ro"}
    some |= {"AmbientCapabilities": "CAP_CHOWN", "CapabilityBoundingSet": "CAP_CHOWN", "DeviceAllow": "/dev/null"}
    some |= {"IPAddressAllow": "localhost", "IPAddressDeny": "any", "RestrictAddressFamilies": "AF_UNIX"}
    some |= {"RestrictFileSystems": "ext4", "RestrictNamespaces": "yes", "SocketBindAllow": "ipv4:tcp:80"}
    some |= {"SocketBindDeny": "any", "SystemCallArchitectures": "native", "SystemCallFilter": "@system-service"}
    assert set(some) == sandbox.LISTS
    switches: dict[str, Any] = dict.fromkeys([*sandbox.SWITCHES, *words], word)
    text = sandbox.lines({}, switches | values | (some if word else dict.fromkeys(sandbox.LISTS, False)))
    unit = tmp_path / "attempt.service"
    unit.write_text(f"[Service]\nExecStart=/bin/true\n{text}")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert not [line for line in done.stderr.splitlines() if "attempt.service" in line], done.stderr
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectEverything=yes\n")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert "ProtectEverything" in done.stderr, "systemd says nothing of lines that it does not know"


@pytest.mark.parametrize(
    ("given", "fault", "fix"),
    [
        (
            {"MemoryDenyWriteExec": False},
            'has "MemoryDenyWriteExec", which is no line',
            "Write MemoryDenyWriteExecute.",
        ),
        ({"User": "root"}, 'has "User", which is no line of a sandbox', ""),
        ({"ExecStart": "/bin/sh"}, 'has "ExecStart"', ""),
        ({"PrivateTmp": "disconnected"}, 'has PrivateTmp, which is "disconnected"', "{PrivateTmp: false}"),
        ({"ProtectSystem": "stric"}, 'has ProtectSystem, which is "stric"', "{ProtectSystem: strict, or another of"),
        ({"UMask": 27}, "has UMask, which is 27", '{UMask: "0027"}'),
        ({"UMask": "0999"}, "has UMask", '{UMask: "0027"}'),
        ({"CapabilityBoundingSet": True}, "is true, and is a list", "CapabilityBoundingSet: false"),
        ({"ReadWritePaths": ["logs"]}, 'has "logs", which is no whole path', "ReadWritePaths: [/srv/APP/…]"),
        ({"ReadWritePaths": {"a": 1}}, "is no text and no list of texts", "ReadWritePaths: false"),
        ({"SystemCallFilter": "a\nUser=root"}, "is no text and no list of texts", ""),
    ],
)
def test_bad_lines_stop_before_anything_changes(given: dict[str, Any], fault: str, fix: str) -> None:
    checks = {
        "asgi_sandbox": preflight_sandbox.asgi_sandbox, "nginx_sandbox": preflight_sandbox.nginx_sandbox,
        "redis_sandbox": preflight_sandbox.redis_sandbox,
        "certificate_sandbox": preflight_sandbox.certificate_sandbox,
    }  # fmt: skip
    for variable, check in checks.items():
        (problem,) = check(HostView("app1", {variable: given}, {}, Templar()))
        assert problem.variable == variable and fault in problem.fault and fix in problem.fix
    workers = [{"name": "queue", "command": "x", "sandbox": given}, {"name": "other", "command": "x"}]
    (problem,) = preflight_sandbox.asgi_sandbox(HostView("app1", {"asgi_workers": workers}, {}, Templar()))
    assert problem.variable == "asgi_workers" and problem.fault.startswith("queue has ")


def test_good_lines_stop_nothing() -> None:
    good = {
        "MemoryDenyWriteExecute": False, "PrivateTmp": "no", "ProtectHome": "tmpfs", "UMask": "0077",
        "SystemCallFilter": ["@system-service", "@mount"], "ReadWritePaths": ["/opt/a", "-/opt/b", "+/opt/c"],
        "CapabilityBoundingSet": False, "RestrictNamespaces": True, "LimitCORE": "infinity", "IPAddressDeny": "any",
    }  # fmt: skip
    assert not list(preflight_sandbox.asgi_sandbox(HostView("app1", {"asgi_sandbox": good}, {}, Templar())))
    assert not list(preflight_sandbox.asgi_sandbox(HostView("app1", {}, {}, Templar())))
