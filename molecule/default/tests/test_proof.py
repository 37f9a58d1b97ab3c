"""The proof of playbooks/handshake.yml notices each fault that it should, names it, and says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from lab_host import NO_SOCKET, ROOT, LabHost, Run
from packages import HOME, UV, redis_py_8

testinfra_hosts = ["ansible://default-bookworm"]

SITE = "/etc/nginx/sites-enabled/dashboard.conf"


class Verdict:
    """What one run of playbooks/handshake.yml found on a host."""

    def __init__(self, lab: LabHost, idle_seconds: float = 0) -> None:
        self.name = lab.name
        report = ROOT / "artifacts" / "handshake" / f"{lab.name}.json"
        report.unlink(missing_ok=True)
        self.run = Run(
            "playbooks/handshake.yml", "--limit", lab.name, "--extra-vars", f"handshake_idle_seconds={idle_seconds}"
        )
        assert report.exists(), f"the run wrote no report:\n{self.run.output}"
        self.report = json.loads(report.read_text())
        self.results = {entry["id"]: entry for entry in self.report["results"]}
        self.failed = {name for name, entry in self.results.items() if entry["state"] == "failed"}

    def blames(self, name: str, seen: str, code: str, fix: str = ".") -> None:
        """Check one result, and that the run fails.

        The result must be bad and show the fault. The terminal, the data and the page must show the doctor's code and
        fix beside it.
        """
        entry = self.results.get(name)
        assert entry and entry["state"] == "failed", f"{name} did not fail:\n{self.run.output}"
        assert re.search(seen, entry["seen"]), f"{name} does not name the fault: {entry}"
        assert entry["code"] == code, f"{name} is told as {entry['code']}: {entry}\n{self.run.output}"
        assert re.search(fix, entry["fix"]), f"{name} does not say what to do: {entry}"
        page = (ROOT / "artifacts" / "handshake" / f"{self.name}.html").read_text()
        assert code in self.run.output and code in page, f"{code} is not told everywhere:\n{self.run.output}"
        assert self.run.code != 0, f"the run ended well although {name} failed:\n{self.run.output}"
        assert self.report["ok"] is False
        assert entry["title"] in self.run.output, f"the run does not show what failed:\n{self.run.output}"


@pytest.fixture
def repair(lab: LabHost) -> Iterator[ExitStack]:
    """When the test ends, however it ends, this undoes everything that was entered or registered here."""
    with ExitStack() as stack:
        yield stack


def test_lost_upgrade(lab: LabHost, repair: ExitStack) -> None:
    """An nginx that drops the upgrade's headers is told apart from processes that don't speak WebSocket."""
    repair.enter_context(lab.nginx_edited(SITE, "/Upgrade/d", "/Connection /d"))
    verdict = Verdict(lab)
    verdict.blames("handshake_nginx", "404", "E301_UPGRADE_LOST", r"dashboard\.conf:\d+: .*Upgrade \$http_upgrade")
    verdict.blames("outside", "404", "E301_UPGRADE_LOST")
    assert verdict.results["outside"]["commands"] == ["ansible-playbook site.yml"]
    assert verdict.failed == {"handshake_nginx", "outside", "foreign_origin"}, "something that works is blamed too"


def test_lost_upstream(lab: LabHost, repair: ExitStack) -> None:
    """An nginx that connects to a missing socket is told apart from processes that are down."""
    repair.enter_context(lab.upstream(NO_SOCKET))
    verdict = Verdict(lab)
    verdict.blames("handshake_nginx", "502", "E307_UPSTREAM_ELSEWHERE", "its upstream to unix:/run/dashboard/")
    assert verdict.failed == {"http", "handshake_nginx", "outside", "foreign_origin"}, "something that works is blamed"


def test_wsgi_server(lab: LabHost, repair: ExitStack) -> None:
    """A WSGI server in daphne's place is named, along with the fact that it doesn't speak WebSocket."""
    target = lab.run("mktemp --directory /opt/wsgi-XXXXXX").strip()
    repair.callback(lab.run, "rm -rf %s", target)
    lab.run(f"chmod 755 {target} && {UV} --python {HOME}/venv --target {target} gunicorn")
    repair.callback(lab.restart_processes)
    command = (
        f"exec {HOME}/within env HOME=/tmp PYTHONPATH={target} DJANGO_SETTINGS_MODULE=core.settings "
        'python -m gunicorn --umask 0 --bind unix:$socket "django.core.wsgi:get_wsgi_application()"'
    )
    repair.enter_context(lab.edited(f"{HOME}/serve", rf"/^exec /,$c\{command}"))
    lab.restart_processes()
    verdict = Verdict(lab)
    verdict.blames("process", "gunicorn, which speaks no WebSocket", "E102_WSGI", "daphne")
    verdict.blames("handshake_1", "404", "E102_WSGI")
    assert verdict.results["http"]["state"] == "passed", "HTTP works under WSGI: that is why the fault is hard to see"


def test_stopped_redis(lab: LabHost, repair: ExitStack) -> None:
    """If Redis is down, it is named as the one that refuses connections, along with how to start it."""
    repair.callback(lab.await_handshakes)
    repair.callback(lab.run, "systemctl start redis-server")
    lab.run("systemctl stop redis-server")
    verdict = Verdict(lab)
    verdict.blames("channel_layer", "refused|Error 111|Connect call failed", "E501_REDIS_DOWN", "start redis-server")
    verdict.blames("handshake_1", "500", "E501_REDIS_DOWN")
    assert {"process", "environment", "application"}.isdisjoint(verdict.failed), "what works is blamed for Redis"


def test_redis_py_8(lab: LabHost, repair: ExitStack) -> None:
    """redis-py 8 under the core layer is named if it has closed silent sockets of a project that doesn't retry."""
    redis_py_8(lab, repair)
    verdict = Verdict(lab, idle_seconds=8)
    verdict.blames("idle", "1011", "E603_REDIS_PY_8", "redis<8")
    assert verdict.results["handshake_1"]["state"] == "passed", "a handshake alone does not show this fault"


def test_changed_secret(lab: LabHost, repair: ExitStack) -> None:
    """A secret that was changed on the disk but not in the processes is named; its value is not shown."""
    repair.enter_context(lab.edited(f"{HOME}/env", "s/^JWT_SECRET=.*/JWT_SECRET=another-secret-of-32-bytes-or-more/"))
    verdict = Verdict(lab)
    verdict.blames("environment", r"^JWT_SECRET changed on the disk", "E114_ENVIRONMENT_STALE", "deploy")
    verdict.blames("handshake_1", "403", "E413_OTHER_SECRET", "deploy")
    assert "another-secret-of" not in verdict.run.output + json.dumps(verdict.report), "the report holds the secret"


def test_wrong_application(lab: LabHost, repair: ExitStack) -> None:
    """An ASGI path with a missing attribute is named, along with the setting that contains it."""
    repair.enter_context(lab.edited(f"{HOME}/generation.json", "s/core.asgi:application/core.asgi:app/"))
    verdict = Verdict(lab)
    verdict.blames("application", "AttributeError.*core.asgi.*'app'", "E202_ASGI_ATTRIBUTE", "asgi_application")
    assert verdict.failed == {"application"}, "something that works is blamed too"


def test_pages_that_lead_to_nowhere(lab: LabHost, repair: ExitStack) -> None:
    """On a site without https, settings that redirect every page to https are named."""
    repair.enter_context(lab.edited(f"{HOME}/code/core/settings.py", r"$a SECURE_SSL_REDIRECT = True"))
    verdict = Verdict(lab)
    verdict.blames("pages", "SECURE_SSL_REDIRECT is on", "E418_HTTPS_MISSING", "certificate_source: acme")
    assert verdict.failed == {"pages"}, "something that works is blamed too"


def test_logged_token(lab: LabHost, repair: ExitStack) -> None:
    """A log that contains the token is named by its path."""
    log = "/var/log/nginx/dashboard.access.log"
    size = lab.run("stat --format=%s " + log).strip()
    repair.callback(lab.run, f"truncate --size={size} {log}")
    repair.enter_context(
        lab.nginx_edited("/etc/nginx/conf.d/dashboard-log.conf", 's/\\$dashboard_query_shown_0"/$args"/')
    )
    verdict = Verdict(lab)
    verdict.blames("logs", f"the token stands in .*{log}", "E414_TOKEN_LOGGED", r"\$uri and not \$request")
    assert verdict.failed == {"logs"}, "something that works is blamed too"
    assert not re.search(r"eyJ[\w-]{20,}\.", verdict.run.output + json.dumps(verdict.report)), (
        "the report holds the token"
    )


def test_stopped_process(lab: LabHost, repair: ExitStack) -> None:
    """A process that is down is named, although nginx passes every client to another one."""
    repair.callback(lab.await_serving)
    repair.callback(lab.run, f"systemctl start {lab.units[0]}")
    lab.run(f"systemctl stop {lab.units[0]}")
    verdict = Verdict(lab)
    seen = f"no process listens on {lab.live['instances'][0]}.sock"
    verdict.blames("process", seen, "E104_NOT_RUNNING", f"systemctl start {lab.units[0]}")
    verdict.blames("handshake_1", ".", "E104_NOT_RUNNING")
    verdict.blames("steady", f"{lab.live['instances'][0]} does not run", "E104_NOT_RUNNING")
    for name in ("handshake_2", "handshake_nginx", "outside"):
        assert verdict.results[name]["state"] == "passed", f"{name} is blamed for another process"


def test_process_that_keeps_dying(lab: LabHost, repair: ExitStack) -> None:
    """A process that was started again three times within a minute is named, although each handshake succeeds."""
    repair.callback(lab.restart_processes)
    for _ in range(3):
        lab.run(f"systemctl kill --signal=KILL {lab.units[0]}")
        lab.await_serving()
    verdict = Verdict(lab)
    seen = rf"{lab.units[0].removesuffix('.service')} was started again 3 times"
    verdict.blames("steady", seen, "E121_PROCESS_UNSTEADY", "dashboard-generations logs")
    assert verdict.failed == {"steady"}, "something that works is blamed too"


def test_healed_host_passes(lab: LabHost) -> None:
    """After all of this, the proof finds nothing, and reports every result."""
    verdict = Verdict(lab)
    assert verdict.run.changed(lab.name) == 0
    assert verdict.report["ok"] is True and not verdict.failed
    told = " ".join(verdict.run.output.split())
    assert "note Nothing watches this site." in told and "note No backup is set up." in told, verdict.run.output
    states = {name: entry["state"] for name, entry in verdict.results.items()}
    assert states.pop("steady") in ("passed", "warned"), "other tests have killed processes within the last hour"
    assert states.pop("idle") == "skipped" and set(states.values()) == {"passed"}, states
