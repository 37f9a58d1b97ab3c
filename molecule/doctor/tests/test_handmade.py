"""A stack that this bundle never saw, on the same host: another user, other paths, ports, its own nginx site."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from diagnosis import Diagnosis
from lab_host import LabHost
from test_provisioned import HOME, UV

testinfra_hosts = ["ansible://doctor-1"]

FOLDER, PORT, SITE = "/opt/handmade", 8081, "/etc/nginx/sites-enabled/handmade.conf"
DAPHNE = f"{FOLDER}/venv/bin/python -m daphne -b 127.0.0.1 -p 9001 core.asgi:application"
CANARIES = ("canary-of-the-signing-secret-32-bytes", "canary-of-the-secret-key")
ENVIRONMENT = f"""SECRET_KEY={CANARIES[1]}
JWT_SECRET={CANARIES[0]}
ALLOWED_HOSTS=ADDRESS
CHANNEL_LAYER=memory
SQLITE_PATH={FOLDER}/db.sqlite3
PYTHONDONTWRITEBYTECODE=1
"""
NGINX = """map $http_upgrade $handmade { default upgrade; '' close; }
server {
    listen 8081;
    error_log /dev/null;
    location / { proxy_pass http://127.0.0.1:9001; }
    location /ws/ {
        proxy_pass http://127.0.0.1:9001;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $handmade;
    }
}
"""
WSGI = """import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""


class Handmade:
    """The stack made by hand."""

    def __init__(self, lab: LabHost) -> None:
        self.lab = lab
        self.address = lab.run("hostname --all-ip-addresses").split()[0]
        self.environment = ENVIRONMENT.replace("ADDRESS", self.address)

    @contextmanager
    def serving(self, command: str, unit: str = "handmade", port: int = 9001) -> Iterator[None]:
        """Serve the project with a command for a while."""
        self.start(command, unit)
        try:
            self.await_port(port)
            yield
        finally:
            self.lab.host.run("systemctl stop %s; systemctl reset-failed %s", unit, unit)

    def start(self, command: str, unit: str = "handmade") -> None:
        """Start a command as a unit of its own."""
        self.lab.run(
            f"systemd-run --quiet --unit={unit} --uid=handy --working-directory={FOLDER}/app "
            f"--property=EnvironmentFile={FOLDER}/env {command}"
        )

    def await_port(self, port: int) -> None:
        """Wait until something listens."""
        self.lab.run(f"for i in $(seq 100); do ss -ltn | grep -q ':{port} ' && exit 0; sleep 0.1; done; exit 1")

    def diagnose(self, **variables: Any) -> Diagnosis:
        """Run the doctor on it, as on a host that it has never seen."""
        given = {
            "doctor_hosts": self.lab.name, "doctor_app": "", "doctor_origin": "",
            "doctor_url": f"ws://{self.address}:{PORT}/ws/dashboard/?token={{token}}", **variables,
        }  # fmt: skip
        return Diagnosis(self.lab, **given)


@pytest.fixture(scope="module")
def handmade(lab: LabHost) -> Iterator[Handmade]:
    """The stack, without its server."""
    made = Handmade(lab)
    with ExitStack() as stack:
        stack.callback(lab.reload_nginx)
        stack.callback(lab.run, f"rm -rf {FOLDER} {SITE}; userdel handy")
        lab.run(
            f"useradd --system handy; mkdir -p {FOLDER}; cp -rL {HOME}/code {FOLDER}/app; "
            f"cp -a $(readlink -f {HOME}/venv) {FOLDER}/venv; chown -R handy {FOLDER}"
        )
        lab.run(f"printf %%s %s > {FOLDER}/env; chmod 640 {FOLDER}/env", made.environment)
        lab.run(f"printf %%s %s > {SITE}", NGINX)
        lab.reload_nginx()
        yield made


def test_healthy(handmade: Handmade) -> None:
    """Server, proxy, project and a token are found without a word of help, and no secret of the stranger is told."""
    with handmade.serving(DAPHNE):
        begun = handmade.lab.run("sleep 1; date +%s").strip()  # the commands that wrote the canaries are in the journal
        found = handmade.diagnose()
    assert found.report["ok"] and found.codes == [], found.told()
    assert found.evidence["host"]["servers"][0]["address"] == "tcp:127.0.0.1:9001"
    assert found.report["versions"]["daphne"] and not found.evidence["host"]["bundle"]
    texts = found.texts() + handmade.lab.run("journalctl --no-pager --since=@%s", begun)
    assert not [canary for canary in CANARIES if canary in texts]
    assert not re.search(r"eyJ[\w-]{20,}\.", found.texts())


def test_runserver(handmade: Handmade) -> None:
    """runserver without daphne is named; with it, it is a warning."""
    command = f"{FOLDER}/venv/bin/python manage.py runserver --noreload 127.0.0.1:9001"
    with handmade.serving(command):
        handmade.diagnose().notices("W115_RUNSERVER_SERVES", "daphne core.asgi:application")
    with handmade.lab.edited(f"{FOLDER}/app/core/settings.py", '/^    "daphne",/d'), handmade.serving(command):
        handmade.diagnose().blames("E101_RUNSERVER", "daphne core.asgi:application.*INSTALLED_APPS", "404")


def test_wsgi(handmade: Handmade) -> None:
    """A WSGI server in Daphne's place."""
    lab = handmade.lab
    more, python = f"{FOLDER}/more", f"{FOLDER}/venv/bin/python"
    lab.run(f"mkdir {more} && {UV} --python {FOLDER}/venv --target {more} gunicorn && chmod 755 {more}")
    lab.run(f"printf %%s %s > {FOLDER}/app/core/wsgi.py", WSGI)
    command = f"--setenv=PYTHONPATH={more} {python} -m gunicorn --bind 127.0.0.1:9001 core.wsgi:application"
    with handmade.serving(command):
        handmade.diagnose().blames("E102_WSGI", "Serve with: daphne core.asgi:application", "gunicorn")


def test_two_servers(handmade: Handmade) -> None:
    """A second server that wants the same port ends, and is named with the first."""
    with handmade.serving(DAPHNE):
        handmade.start(DAPHNE, "handmade-second")
        try:
            time.sleep(2)
            handmade.diagnose().blames("E109_TWO_SERVERS", "daphne", "Address already in use")
        finally:
            handmade.lab.host.run("systemctl stop handmade-second; systemctl reset-failed handmade-second")


def test_nothing_runs(handmade: Handmade) -> None:
    """Nobody listens where the proxy asks."""
    handmade.diagnose().blames("E104_NOT_RUNNING", "systemctl start|daphne", "tcp:127.0.0.1:9001")


def test_nginx_defaults(handmade: Handmade) -> None:
    """The proxy of a tutorial for plain HTTP."""
    lab = handmade.lab
    with handmade.serving(DAPHNE), lab.nginx_edited(SITE, "/proxy_http_version/d", "/Upgrade/d", "/Connection/d"):
        handmade.diagnose().blames("E301_UPGRADE_LOST", r"handmade\.conf:6: .*proxy_http_version 1\.1", "404")


def test_supervisor(handmade: Handmade) -> None:
    """A program of supervisor that ends at each start is named by its own log."""
    lab = handmade.lab
    program = (
        f"[program:chat]\ncommand={DAPHNE.replace('asgi:application', 'asgi:nothing')}\ndirectory={FOLDER}/app\n"
        f"user=handy\nenvironment={','.join(handmade.environment.split())}\nstartsecs=10\nstartretries=1\n"
    )
    with ExitStack() as repair:
        repair.callback(lab.host.run, "systemctl stop supervisor; apt-get -qq purge --yes supervisor")
        lab.run(
            "DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends supervisor >/dev/null"
        )
        lab.run("printf %%s %s > /etc/supervisor/conf.d/chat.conf; supervisorctl update", program)
        lab.run("for i in $(seq 100); do supervisorctl status | grep -q FATAL && exit 0; sleep 0.2; done; exit 1")
        handmade.diagnose().blames("E202_ASGI_ATTRIBUTE", "core.asgi:application", "supervisor: chat FATAL")
        lab.run("sed -i s/asgi:nothing/asgi:application/ /etc/supervisor/conf.d/chat.conf; supervisorctl update")
        handmade.await_port(9001)
        found = handmade.diagnose()
        assert found.report["ok"] and found.codes == [], found.told()
