"""A collector that logs cannot be sent to is reported before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.filter.logs import log_limits
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import logs
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

CHECKS = (logs.logs_target, logs.logs_authority, logs.logs_what)
SOUND: dict[str, Any] = {
    "group_names": ["app"], "logs_target": "logs.example.org:6514", "logs_tls": True, "logs_authority": "",
    "logs_redacted_names": ["token", "api-key"], "logs_files": ["/var/log/app/*.log"], "logs_programs": ["sshd"],
    "logs_queue_mb": 512, "logs_file_mb": 256,
}  # fmt: skip


def told(answer: str = "init=systemd\n", **variables: Any) -> list[str]:
    """What the checks say of a host."""
    host = HostView("app1", {PROBE: {"stdout": answer}, **SOUND, **variables}, {}, Templar())
    return [f"{one.variable}: {one.fault} | {one.fix}" for look in CHECKS for one in look(host)]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"logs_target": "", "logs_tls": False, "logs_authority": "/nowhere", "logs_files": ["x"]},
        {"logs_target": "[fd00::1]:6514"},
        {"logs_target": "10.0.0.7:1"},
        {"logs_target": "127.0.0.1:601", "logs_tls": False},
        {"answer": "init=init\n"},
    ],
)
def test_sound_collector_has_no_problem(variables: dict[str, Any]) -> None:
    assert told(**variables) == []


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"logs_target": "logs.example.org"}, 'logs_target: is "logs.example.org", which is no HOST:PORT'),
        ({"logs_target": "logs.example.org:0"}, "no HOST:PORT"),
        ({"logs_target": "logs.example.org:65536"}, "no HOST:PORT"),
        ({"logs_target": "tls://logs.example.org:6514"}, "no HOST:PORT"),
        ({"logs_target": 'x" evil="1:5'}, "no HOST:PORT"),
        ({"logs_target": "[fd00::g]:6514"}, "no HOST:PORT"),
        ({"logs_tls": False}, "logs_tls: is false, and the logs would travel to logs.example.org unencrypted"),
        ({"logs_authority": "/nowhere.pem"}, "logs_authority: is /nowhere.pem, which is no file"),
        ({"logs_redacted_names": ['a"b']}, "logs_redacted_names: has"),
        ({"logs_files": ["relative.log"]}, "logs_files: has"),
        ({"logs_files": ["/var/*/x.log"]}, "logs_files: has"),
        ({"logs_programs": ["a b"]}, "logs_programs: has"),
        ({"logs_queue_mb": 1}, "logs_queue_mb: is 1"),
        ({"answer": "init=init\n", "group_names": ["redis"]}, "logs_target: is set, and nothing on this host can run"),
    ],
)
def test_bad_collector_is_reported(variables: dict[str, Any], fault: str) -> None:
    found = told(**variables)
    assert len(found) == 1 and fault in found[0], found


def test_authority_is_a_certificate(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("nonsense")
    (found,) = told(logs_authority=str(path))
    assert "that is no certificate" in found


def test_logs_are_looked_at_each_hour() -> None:
    """By systemd's timer or by cron; always as many entries, so that a role can name each."""
    timer = {each["path"]: each for each in log_limits(100, "systemd")}
    assert "\nmaxsize 100M\n" in timer["/etc/logrotate.d/00-channels"]["content"]
    assert "OnCalendar=hourly" in timer["/etc/systemd/system/logrotate.timer.d/channels.conf"]["content"]
    cron = {each["path"]: each for each in log_limits("100", "init")}
    assert cron["/etc/cron.hourly/channels-logrotate"]["link"] == "/etc/cron.daily/logrotate"
    assert len(timer) == len(cron) == 3
