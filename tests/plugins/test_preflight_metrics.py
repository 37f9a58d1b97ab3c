"""Metrics that nobody would reach, and alerts that would reach nobody, are reported before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import metrics
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

CHECKS = (
    metrics.metrics_way, metrics.metrics_ports, metrics.metrics_probe, metrics.monitoring_receiver,
    metrics.monitoring_rules,
)  # fmt: skip
SOUND: dict[str, Any] = {
    "group_names": ["app", "redis", "monitoring"],
    "groups": {"app": ["app1"], "redis": ["app1"], "monitoring": ["app1", "watch"]},
    "private_address": "10.0.0.1",
    "metrics_enabled": True,
    "metrics_address": "10.0.0.1",
    "metrics_node_port": 9100,
    "metrics_redis_port": 9121,
    "metrics_probe": True,
    "metrics_probe_seconds": 15,
    "monitoring_port": 9090,
    "monitoring_mail_to": ["ops@example.org"],
    "monitoring_mail_from": "alerts@example.org",
    "monitoring_mail_server": "mail.example.org:587",
    "monitoring_mail_user": "alerts",
    "monitoring_mail_password": "correct horse",
    "monitoring_webhook_url": "https://hooks.example.org/s3cret",
}


def told(**variables: Any) -> list[str]:
    """What the checks say of a host."""
    host = HostView("app1", {PROBE: {"stdout": ""}, **SOUND, **variables}, {}, Templar())
    return [f"{one.variable}: {one.fault} | {one.fix}" for look in CHECKS for one in look(host)]


def test_sound_values_have_no_problem() -> None:
    assert told() == []
    assert told(metrics_address="0.0.0.0", firewall_enabled=True) == []
    assert told(metrics_enabled=False, private_address="", metrics_address="x", metrics_node_port=9090) == []


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"private_address": ""}, "private_address: is not set, and watch cannot scrape app1"),
        ({"metrics_scrapers": ["prometheus"]}, "metrics_scrapers: has 'prometheus'"),
        ({"metrics_address": "here"}, "metrics_address: is 'here'"),
        ({"metrics_address": "::"}, "everybody may read the metrics"),
        ({"metrics_node_port": 9090}, "monitoring_port: is 9090, and so is metrics_node_port"),
        ({"metrics_redis_port": 0}, "metrics_redis_port: is 0"),
        ({"metrics_probe_send": "hello"}, "metrics_probe_send: has no {nonce}"),
        ({"metrics_probe_seconds": 1}, "metrics_probe_seconds: is 1"),
        ({"monitoring_mail_to": ["ops"]}, "monitoring_mail_to: has 'ops'"),
        ({"monitoring_mail_from": ""}, "monitoring_mail_from: is no mail address"),
        ({"monitoring_mail_server": "mail.example.org"}, "monitoring_mail_server: is 'mail.example.org'"),
        ({"monitoring_mail_password": ""}, "monitoring_mail_password: is empty"),
        ({"monitoring_webhook_url": "hooks/s3cret"}, "monitoring_webhook_url: is no URL"),
        ({"monitoring_keep_mb": 10}, "monitoring_keep_mb: is 10"),
        ({"monitoring_keep_days": 0}, "monitoring_keep_days: is 0"),
        ({"monitoring_report_hours": 49, "monitoring_keep_days": 2}, "monitoring_report_hours: is 49"),
        ({"monitoring_report_hours": 0}, "monitoring_report_hours: is 0"),
        ({"monitoring_rules": ["/none/own.yml"]}, "there is no such file"),
    ],
)
def test_problem_is_named_without_secrets(variables: dict[str, Any], fault: str) -> None:
    found = told(**variables)
    assert len(found) == 1 and fault in found[0] and "s3cret" not in found[0], found


def test_rules_of_ones_own_have_names_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.yml").write_text("groups: []\n")
    paths = [str(tmp_path / folder / "own.yml") for folder in ("a", "b")]
    assert told(monitoring_rules=paths[:1]) == []
    assert len(told(monitoring_rules=paths)) == 1
