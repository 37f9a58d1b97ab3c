"""What tasks take for a failure, by what programs say; their words are real ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import trust_as_template
from conftest import ROOT

REFUSED = (
    "error: <class 'ConnectionRefusedError'>, [Errno 111] Connection refused: file: "
    "/usr/lib/python3/dist-packages/supervisor/xmlrpc.py line: 557"
)
FORGETS = ("nginx/tasks/remove.yml", "Remove the reader of nginx's errors from supervisor")
PACKAGES = ("base/tasks/packages.yml", "Read the state of the packages")
AUTHORITIES = ("base/tasks/ca_certificates.yml", "Find the certificates that the bundle lacks")
PLACES = ("remove/tasks/redis.yml", "Find the projects that keep their messages in the same place")
TIMER = ("remove/tasks/renewal.yml", "Stop the timer")
ACLS = {"_remove_acls": ["/etc/redis/users.d/dash-board.acl"]}


@pytest.mark.parametrize(
    ("task", "said", "given", "fails"),
    [
        (FORGETS, {"rc": 0, "stdout": "x-nginx-errors: stopped\nx-nginx-errors: removed process group"}, {}, False),
        (FORGETS, {"rc": 1, "stdout": "ERROR: no such group: x-nginx-errors"}, {}, False),
        (FORGETS, {"rc": 0, "stdout": "skipped, since /run/supervisor.sock does not exist"}, {}, False),
        (FORGETS, {"rc": 1, "stdout": REFUSED}, {}, True),
        (FORGETS, {"rc": 2, "stdout": "", "msg": "No such file or directory: supervisorctl"}, {}, True),
        (PACKAGES, {"rc": 1, "stderr": "dpkg-query: no packages found matching nginx"}, {}, False),
        (PACKAGES, {"rc": 2, "stderr": "dpkg-query: error: failed to open package info file"}, {}, True),
        (AUTHORITIES, {"rc": 1, "stderr": "find: '/etc/ssl/certs/ca-certificates.crt': No such file"}, {}, False),
        (AUTHORITIES, {"rc": 2, "stderr": "", "msg": "No such file or directory: find"}, {}, True),
        (PLACES, {"rc": 1, "stdout": ""}, ACLS, False),
        (PLACES, {"rc": 2, "stdout": ""}, {"_remove_acls": []}, False),
        (PLACES, {"rc": 2, "stdout": ""}, ACLS, True),
        (TIMER, {"failed": True, "msg": "Could not find the requested service channels-x.timer: host"}, {}, False),
        (TIMER, {"failed": True, "msg": "Unable to stop service channels-x.timer"}, {}, True),
        (TIMER, {"changed": True}, {}, False),
    ],
)
def test_failure_is_told_from_an_answer(
    evaluate: Callable[..., str], task: tuple[str, str], said: dict[str, Any], given: dict[str, Any], fails: bool
) -> None:
    file, name = task
    (found,) = (one for one in yaml.safe_load((ROOT / "roles" / file).read_text()) if one["name"] == name)
    condition = trust_as_template(f"{{{{ {found['failed_when']} }}}}")
    assert evaluate("condition", condition=condition, **{found["register"]: said}, **given) == str(fails)


def test_certificates_of_others_are_found(evaluate: Callable[..., str], tmp_path: Path) -> None:
    """What renews stays where they are; a folder without a certificate is nobody's."""
    for app in ("dash-board", "shop", "blog"):
        (tmp_path / "etc" / app / "certificate").mkdir(parents=True)
    words = yaml.safe_load(evaluate("_remove_renewed"))
    words = [word.replace("/etc/", f"{tmp_path}/etc/") for word in words]

    def found() -> list[str]:
        return subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ).stdout.split()

    assert found() == []
    (tmp_path / "etc/dash-board/certificate/deploy").touch()
    assert found() == []
    (tmp_path / "etc/shop/certificate/deploy").touch()
    assert found() == [f"{tmp_path}/etc/shop/certificate/deploy"]
