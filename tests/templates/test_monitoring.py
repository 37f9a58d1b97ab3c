"""What exporters, Prometheus and Alertmanager read; the rules and the dashboard, judged by promtool where it is."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted((ROOT / "tests/templates").glob("rules*_test.yml"))
Render = Callable[..., str]
FLEET: dict[str, Any] = {
    "inventory_hostname": "app-1",
    "private_address": "10.0.0.1",
    "group_names": ["app", "redis"],
    "groups": {
        "app": ["app-1", "app-2"], "redis": ["app-1"], "database": ["db"], "proxy": ["edge"], "monitoring": ["watch"],
    },
    "hostvars": {
        "app-1": {"private_address": "10.0.0.1", "redis_password": "p"}, "app-2": {"private_address": "10.0.0.2"},
        "db": {"private_address": "fd00::3"}, "edge": {"private_address": "10.0.0.4", "metrics_haproxy_port": 8500},
        "watch": {"private_address": "10.0.0.9"},
    },
}  # fmt: skip
MADE = re.compile(r"\bchannels_[a-z_]+")


def arguments(text: str) -> list[str]:
    """What a file in /etc/default starts a daemon with."""
    (found,) = re.findall(r'^ARGS="((?:[^"\\]|\\.|\\\n)*)"$', text, re.MULTILINE)
    return shlex.split(found.replace("\\\n", " "))


def rules(render: Render, **variables: Any) -> list[dict[str, Any]]:
    """All rules that the bundle brings."""
    groups = yaml.safe_load(render("monitoring/rules.yml.j2", **variables))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_nothing_of_day_two_is_installed_where_nobody_asks_for_it(evaluate: Render) -> None:
    """Each part comes with its own switch, and alone."""

    def installed(**variables: Any) -> set[str]:
        given: dict[str, Any] = {"group_names": ["app", "redis", "database", "proxy"], "groups": {"app": ["h"]}}
        given |= {"preflight_host": {"init": "systemd"}, **variables}
        found = ast.literal_eval(evaluate("_base_packages", **given))
        assert "nginx" in found
        return {one for one in found if re.search("prometheus|restic|rsyslog|pgbackrest|fluent|vector", one)}

    assert installed() == set()
    assert installed(backup_repository="/mnt/backups") == {"restic"}
    assert installed(pgbackrest_enabled=True) == {"pgbackrest"}
    assert installed(logs_target="logs.example.org:6514") == {"rsyslog", "rsyslog-gnutls"}
    assert installed(metrics_enabled=True, redis_password="p") == {
        f"prometheus-{one}-exporter" for one in ("node", "redis", "postgres")
    }
    assert installed(groups={"app": ["h"], "monitoring": ["w"]}) >= {"prometheus-node-exporter"}


@pytest.mark.parametrize("exporter", ["node", "redis", "postgres"])
def test_exporters_listen_where_they_are_asked(render: Render, exporter: str) -> None:
    port = {"node": 9100, "redis": 9121, "postgres": 9187}[exporter]
    path = f"metrics/{exporter}_exporter.j2"
    assert f"--web.listen-address=10.0.0.1:{port}" in arguments(render(path, **FLEET))
    single = {**FLEET, "groups": {**FLEET["groups"], "monitoring": ["app-1"]}}
    assert f"--web.listen-address=127.0.0.1:{port}" in arguments(render(path, **single))
    own = {**FLEET, "groups": {"app": ["app-1"]}, "metrics_scrapers": ["10.0.0.99"], "private_address": "fd00::1"}
    assert f"--web.listen-address=[fd00::1]:{port}" in arguments(render(path, **own))


def test_redis_exporter_has_its_own_user_and_no_password_in_its_arguments(render: Render, evaluate: Render) -> None:
    secret = evaluate("metrics_redis_password", **FLEET)
    text = render("metrics/redis_exporter.j2", **FLEET)
    assert "--redis.user=channels-metrics" in arguments(text) and secret not in text
    assert len(secret) == 64 and secret in evaluate("_metrics_redis_passwords", **FLEET)
    acl = render("redis/project.acl.j2", **FLEET, metrics_redis_password=secret)
    (line,) = [line for line in acl.splitlines() if line.startswith("user channels-metrics ")]
    assert "-@all" in line and not re.search(r"[+](@|config|get|publish|subscribe|acl|monitor)\b(?![|]get)", line)
    assert secret not in acl and "metrics" not in render("redis/project.acl.j2")
    # Slow commands stand in their log with all arguments, which are the messages.
    (line,) = [line for line in acl.splitlines() if "-metrics on" in line]
    assert "slowlog|get" not in line and "~" not in line and "&" not in line, line


def test_only_the_watching_hosts_pass_the_firewall(render: Render) -> None:
    told = render("firewall/project.nft.j2", **FLEET, metrics_scrapers=["10.1.0.0/16"])
    for port in (9100, 9121):
        assert f"ip saddr 10.0.0.9 tcp dport {port} accept" in told
        assert f"ip saddr 10.1.0.0/16 tcp dport {port} accept" in told
    assert not re.search(r"^\s*tcp dport (9100|9121|9187)", told, re.MULTILINE) and "9187" not in told
    assert "9100" not in render("firewall/project.nft.j2")


def test_targets_are_what_each_host_has(render: Render) -> None:
    found = json.loads(render("monitoring/targets.json.j2", **FLEET))
    assert {(one["labels"]["instance"], one["labels"]["exporter"]): one["targets"] for one in found} == {
        ("app-1", "node"): ["10.0.0.1:9100"],
        ("app-1", "redis"): ["10.0.0.1:9121"],
        ("app-2", "node"): ["10.0.0.2:9100"],
        ("db", "node"): ["[fd00::3]:9100"],
        ("db", "postgresql"): ["[fd00::3]:9187"],
        ("edge", "node"): ["10.0.0.4:9100"],
        ("edge", "haproxy"): ["10.0.0.4:8500"],
        ("watch", "node"): ["127.0.0.1:9100"],
    }


def test_prometheus_listens_to_itself(render: Render) -> None:
    assert "--web.listen-address=127.0.0.1:9090" in arguments(render("monitoring/prometheus.default.j2", **FLEET))
    told = arguments(render("monitoring/alertmanager.default.j2", **FLEET))
    assert told == ["--web.listen-address=127.0.0.1:9093", "--cluster.listen-address="]
    config = yaml.safe_load(render("monitoring/prometheus.yml.j2", **FLEET))
    assert config["scrape_configs"][0]["honor_labels"] is True


def test_alerts_go_where_they_should(render: Render, tmp_path: Path) -> None:
    text = render(
        "monitoring/alertmanager.yml.j2", **FLEET, monitoring_mail_to=["a@example.org", "b@example.org"],
        monitoring_mail_from="alerts@example.org", monitoring_mail_server="mail.example.org:587",
        monitoring_mail_user="alerts", monitoring_mail_password='p"\\: #', monitoring_webhook_url="https://hook.test/x",
        monitoring_webhook_token="t: #",
    )  # fmt: skip
    config = yaml.safe_load(text)
    (people,) = config["receivers"]
    assert [one["to"] for one in people["email_configs"]] == ["a@example.org", "b@example.org"]
    assert config["global"]["smtp_auth_password"] == 'p"\\: #'
    (hook,) = people["webhook_configs"]
    assert hook["http_config"]["authorization"]["credentials"] == "t: #" and hook["url"] == "https://hook.test/x"
    nobody = yaml.safe_load(render("monitoring/alertmanager.yml.j2", **FLEET))
    assert nobody["receivers"] == [{"name": "people"}]
    if shutil.which("amtool"):
        (tmp_path / "a.yml").write_text(text)
        subprocess.run(["amtool", "check-config", tmp_path / "a.yml"], check=True)


def test_each_alert_has_a_runbook_and_a_test(render: Render) -> None:
    found = rules(render, monitoring_runbooks="https://pages.test/runbooks")
    names = [rule["alert"] for rule in found]
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert sections == names, "in the same order"
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    assert {name for test in tests for name in (test["name"].removesuffix(" not"),) if name in names} == set(names)
    assert [test["name"] for test in tests].count("A deploy raises nothing") == 1
    for rule in found:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["runbook_url"] == f"https://pages.test/runbooks#{rule['alert'].lower()}"
        assert "$labels.instance" in rule["annotations"]["summary"]


def test_rules_and_dashboard_read_what_is_written(render: Render) -> None:
    """By roles backup and pgbackrest, too: their metrics are the only ones that the daemon does not write."""
    source = (ROOT / "roles/metrics/files/channels_metrics/samples.py").read_text()
    known = set(re.findall(r'^    "(channels_\w+)": ', source, re.MULTILINE))
    read = {name for rule in rules(render) for name in MADE.findall(rule["expr"])}
    assert read - known == {
        "channels_backup_last_exit_code", "channels_backup_last_success_timestamp_seconds",
        "channels_pgbackrest_last_exit_code", "channels_pgbackrest_last_success_timestamp_seconds",
    }  # fmt: skip
    board = json.loads((ROOT / "roles/monitoring/files/dashboard.json").read_text())
    shown = {name for panel in board["panels"] for each in panel["targets"] for name in MADE.findall(each["expr"])}
    assert shown and shown <= known
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert {variable["name"] for variable in board["templating"]["list"]} == {"source", "app", "instance"}


@pytest.mark.skipif(not shutil.which("promtool"), reason="scenario day-two does it on a host that has promtool")
def test_rules_do_what_their_tests_say(render: Render, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(render("monitoring/rules.yml.j2"))
    names = [shutil.copy(path, tmp_path) for path in TESTS]
    subprocess.run(["promtool", "test", "rules", *names], cwd=tmp_path, check=True)


def test_edge_shows_its_metrics_to_nobody_else(render: Render) -> None:
    """And only if somebody asks."""
    edge = {**FLEET, "inventory_hostname": "edge", "group_names": ["proxy"], "private_address": "10.0.0.4"}
    assert re.search(r"frontend metrics\n +bind 10\.0\.0\.4:8405\n", render("haproxy/haproxy.cfg.j2", **edge))
    quiet = {**edge, "metrics_enabled": False}
    assert "prometheus-exporter" not in render("haproxy/haproxy.cfg.j2", **quiet)
