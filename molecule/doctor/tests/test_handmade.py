"""Stacks that this bundle never saw, on the same host: another user, other paths and ports, their own nginx sites.

Each test breaks several stacks, each in its own way, and examines all of them in one run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from diagnosis import Diagnosis
from lab_host import LabHost
from packages import HOME, UV

testinfra_hosts = ["ansible://doctor-1"]

FOLDER, SITE = "/opt/handmade", "/etc/nginx/sites-enabled/handmade.conf"
PYTHON = f"{FOLDER}/venv/bin/python"
CONSUMERS, SETTINGS, ASGI = "dashboard/consumers.py", "core/settings.py", "core/asgi.py"
CANARIES = ("canary-of-the-signing-secret-32-bytes", "canary-of-the-secret-key")
ENVIRONMENT = f"""SECRET_KEY={CANARIES[1]}
JWT_SECRET={CANARIES[0]}
ALLOWED_HOSTS=ADDRESS
CHANNEL_LAYER=memory
SQLITE_PATH={FOLDER}/db.sqlite3
PYTHONDONTWRITEBYTECODE=1
"""
MAP = "map $http_upgrade $handmade { default upgrade; '' close; }\n"
UPGRADE = (
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $handmade; "
    "proxy_set_header Host $http_host;"
)
WSGI = """import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""


@dataclass
class Stack:
    """One stack: what serves it, and how it differs from a healthy one. PORT in a command is its server's port."""

    command: str = f"{PYTHON} -m daphne -b 127.0.0.1 -p PORT core.asgi:application"
    edits: dict[str, str] = field(default_factory=dict)
    environment: str = ""
    properties: str = ""
    headers: str = UPGRADE
    backend: str = "127.0.0.1:PORT"
    variables: dict[str, Any] = field(default_factory=dict)
    ends: bool = False


class Handmade:
    """The stacks that were set up by hand."""

    def __init__(self, lab: LabHost) -> None:
        self.lab = lab
        self.address = lab.run("hostname --all-ip-addresses").split()[0]
        self.environment = ENVIRONMENT.replace("ADDRESS", self.address)

    def stand(self, repair: ExitStack, **stacks: Stack) -> dict[str, dict[str, Any]]:
        """Set up stacks and start them, until `repair` is left; return the doctor's variables for each."""
        script, sites, cases = ["set -e"], [MAP], {}
        for number, (name, each) in enumerate(stacks.items(), 1):
            port, folder, unit = 9000 + number, f"{FOLDER}/{name}", f"handmade-{name}"
            script += [
                f"mkdir {folder}; cp -rL {HOME}/code {folder}/app; cp {FOLDER}/wsgi.py {folder}/app/core/",
                *(f"sed -i '{edit}' {folder}/app/{file}" for file, edit in each.edits.items()),
                f"{{ cat {FOLDER}/env; echo '{each.environment}'; }} > {folder}/env; chown -R handy {folder}",
            ]
            if each.command:
                script.append(
                    f"systemd-run --quiet --unit={unit} --uid=handy --working-directory={folder}/app "
                    f"--property=EnvironmentFile={folder}/env {each.properties} {each.command}".replace(
                        "PORT", f"{port}"
                    )
                )
            servers = "".join(f" server {address};" for address in each.backend.replace("PORT", f"{port}").split())
            sites.append(
                f"upstream {unit} {{{servers} }}\nserver {{ listen {8100 + number}; error_log /dev/null;\n"
                f"location / {{ proxy_pass http://{unit}; }}\n"
                f"location /ws/ {{ proxy_pass http://{unit}; {each.headers} }} }}"
            )
            url = f"ws://{self.address}:{8100 + number}/ws/dashboard/?token={{token}}"
            cases[name] = {"doctor_app": "", "doctor_origin": "", "doctor_url": url, **each.variables}
        units = " ".join(f"handmade-{name}" for name in stacks)
        repair.callback(self.lab.reload_nginx)
        gone = (
            f"systemctl stop {units}; systemctl reset-failed {units}; cd {FOLDER} && rm -rf {SITE} {' '.join(stacks)}"
        )
        repair.callback(self.lab.host.run, gone)
        self.lab.run("\n".join(script))
        self.lab.run(f"printf %%s %s > {SITE}", "\n".join(sites))
        self.lab.reload_nginx()
        ending = [f"handmade-{name}" for name, each in stacks.items() if each.ends]
        self.lab.run(f"for u in {' '.join(ending)}; do for i in $(seq 1200); do systemctl is-failed -q $u && break; "
                     "sleep 0.1; done; systemctl is-failed $u; done")  # fmt: skip
        return cases

    def await_port(self, port: int) -> None:
        """Wait until something listens on a port."""
        self.lab.run(f"for i in $(seq 1200); do ss -ltn | grep -q ':{port} ' && exit 0; sleep 0.1; done; exit 1")


@pytest.fixture(scope="module")
def handmade(lab: LabHost) -> Iterator[Handmade]:
    """What all stacks share: a user, an environment, and Python packages."""
    made = Handmade(lab)
    with ExitStack() as stack:
        stack.callback(lab.run, f"rm -rf {FOLDER}; userdel handy")
        lab.run(
            f"useradd --system handy; mkdir -p {FOLDER}; cp -a $(readlink -f {HOME}/venv) {FOLDER}/venv; "
            f"{UV} --python {FOLDER}/venv gunicorn uvicorn; chown -R handy {FOLDER}"
        )
        lab.run(f"printf %%s %s > {FOLDER}/env; chmod 640 {FOLDER}/env", made.environment)
        lab.run(f"printf %%s %s > {FOLDER}/wsgi.py", WSGI)
        yield made


def test_servers(handmade: Handmade, repair: ExitStack) -> None:
    """Each server is told apart from the others, a healthy stack has no finding, and no stranger's secret is shown."""
    runserver = f"{PYTHON} manage.py runserver --noreload 127.0.0.1:PORT"
    cases = handmade.stand(
        repair,
        healthy=Stack(),
        runserver=Stack(runserver),
        plain=Stack(runserver, {SETTINGS: '/^    "daphne",/d'}),
        wsgi=Stack(f"{PYTHON} -m gunicorn --bind 127.0.0.1:PORT core.wsgi:application"),
        library=Stack(f"{PYTHON} -m uvicorn --port PORT --ws none core.asgi:application"),
        nothing=Stack(""),
        defaults=Stack(headers=""),
        slow=Stack(
            edits={CONSUMERS: "s/^        await self.join(EVERYONE)/        await asyncio.sleep(30)/"},
            variables={"doctor_timeout": 2},
        ),
        starting=Stack(edits={ASGI: "s/^import os/import os, time; time.sleep(200)/"}),
        late=Stack(edits={ASGI: "s/^import os/import os, time; time.sleep(4)/"}),
    )
    found = Diagnosis.each(handmade.lab, **cases)
    healthy = found["healthy"]
    assert healthy.report["ok"] and healthy.codes == [], healthy.told()
    assert healthy.evidence["host"]["servers"][0]["address"] == "tcp:127.0.0.1:9001"
    assert healthy.report["versions"]["daphne"] and not healthy.evidence["host"]["bundle"]
    found["runserver"].notices("W115_RUNSERVER_SERVES", "daphne core.asgi:application")
    found["plain"].blames("E101_RUNSERVER", "daphne core.asgi:application.*INSTALLED_APPS", "404")
    found["wsgi"].blames("E102_WSGI", "Serve with: daphne core.asgi:application", "gunicorn")
    found["library"].blames("E112_NO_WEBSOCKET_LIBRARY", r"uvicorn\[standard\]", "uvicorn")
    found["nothing"].blames("E104_NOT_RUNNING", "systemctl start|daphne", "tcp:127.0.0.1:9006")
    found["defaults"].blames("E301_UPGRADE_LOST", r"handmade\.conf:\d+: .*proxy_http_version 1\.1", "HTTP 40[04]")
    found["slow"].blames("E410_CONNECT_SLOW", "--websocket_connect_timeout", "no answer within 2 s")
    found["starting"].blames("E118_STARTING", "Ask again in a minute", "runs, and does not listen")
    assert found["late"].report["ok"], found["late"].told()
    texts = "".join(each.texts() for each in found.values())
    assert not [canary for canary in CANARIES if canary in texts]
    assert not re.search(r"eyJ[\w-]{20,}\.", texts)


def test_applications(handmade: Handmade, repair: ExitStack) -> None:
    """Faults in a project, its settings or its layer, behind a proxy and a server that are healthy."""
    url = handmade.lab.environment()["REDIS_URL"].replace("6379/0", "6379/99")
    raising = 's/^        await self.join(EVERYONE)/        raise KeyError("no such team")/'
    cases = handmade.stand(
        repair,
        raises=Stack(edits={CONSUMERS: raising}),
        hosts=Stack(environment="ALLOWED_HOSTS=www.example.org"),
        unchecked=Stack(edits={ASGI: 's/"websocket": HostOriginValidator(/"websocket": (lambda inner, _: inner)(/'}),
        database=Stack(environment=f"CHANNEL_LAYER=pubsub\nREDIS_URL={url}"),
        memory=Stack(backend="127.0.0.1:PORT 127.0.0.1:9003"),
        blocked=Stack(variables={"doctor_timeout": 2}),
    )
    handmade.await_port(9006)
    handmade.lab.run("systemctl kill --signal=STOP handmade-blocked")
    repair.callback(handmade.lab.run, "systemctl kill --signal=CONT handmade-blocked")
    found = Diagnosis.each(handmade.lab, **cases)
    found["raises"].blames("E408_CONSUMER_RAISES", "journalctl -u", "KeyError: 'no such team'")
    found["hosts"].blames("E406_ALLOWED_HOSTS", f"Add {re.escape(handmade.address)} to ALLOWED_HOSTS", "400")
    found["unchecked"].notices("W407_ORIGIN_UNCHECKED", "AllowedHostsOriginValidator")
    found["database"].blames("E504_REDIS_DATABASE", ".", "select|index")
    found["memory"].blames("E508_LAYER_MEMORY", "RedisPubSubChannelLayer", "2 processes")
    found["blocked"].blames("E111_SERVER_SILENT", "py-spy dump --pid", "no answer within 2 s")
    assert handmade.lab.secrets()["Redis password"] not in "".join(each.texts() for each in found.values())


def test_crashes(handmade: Handmade, repair: ExitStack) -> None:
    """If a process ends soon after its start, its last words name the cause, each stack's its own."""
    lab, path, daphne = handmade.lab, f"{FOLDER}/none.sock", Stack().command
    # A lock is stale if its number belongs to another process.
    lab.run("systemd-run --quiet --collect --unit=handmade-other --uid=handy sleep 300")
    repair.callback(lab.host.run, f"systemctl stop handmade-other; rm -f {path}.lock")
    lab.run(f"ln -s $(systemctl show --value --property=MainPID handmade-other) {path}.lock")
    early = "s/^django_application = .*/from django.contrib.auth.models import User\\n&/"
    stacks = {
        "first": Stack(variables={"doctor_timeout": 6}),
        "second": Stack(daphne.replace("PORT", "9001"), backend="127.0.0.1:9001", ends=True),
        "attribute": Stack(daphne.replace(":application", ":nothing"), ends=True),
        "module": Stack(daphne.replace("core.asgi", "core.azgi"), ends=True),
        "form": Stack(daphne.replace(":application", ".application"), ends=True),
        "missing": Stack(daphne.replace(PYTHON, "/usr/bin/python3"), ends=True),
        "luckless": Stack(daphne.replace("-p PORT", "-p PORT --fd nonsense"), ends=True),
        "dependency": Stack(edits={ASGI: "s/^import os/import no_such_package/"}, ends=True),
        "early": Stack(edits={ASGI: early}, ends=True),
        "lock": Stack(f"{PYTHON} -m daphne -u {path} core.asgi:application", backend=f"unix:{path}", ends=True),
        "memory": Stack(properties="--property=MemoryMax=20M", ends=True),
    }
    found = Diagnosis.each(lab, **handmade.stand(repair, **stacks))
    for name, code, fix in (
        ("second", "E109_TWO_SERVERS", "daphne"), ("attribute", "E202_ASGI_ATTRIBUTE", "core.asgi:application"),
        ("module", "E201_ASGI_MODULE", "asgi_application"), ("form", "E205_ASGI_PATH", "core.asgi:application"),
        ("missing", "E103_SERVER_MISSING", "daphne"), ("luckless", "E105_CRASH_LOOP", "journalctl -u handmade"),
        ("dependency", "E204_IMPORT_ERROR", "python -c 'import"), ("lock", "E108_STALE_LOCK", f"{path} {path}.lock"),
        ("early", "E203_APPS_NOT_READY", r"get_asgi_application\(\) first"),
        ("memory", "E106_OUT_OF_MEMORY", "MemoryMax"),
    ):  # fmt: skip
        found[name].blames(code, fix)


def test_supervisor(handmade: Handmade, repair: ExitStack) -> None:
    """If supervisor's program ends at each start, its own log names the cause."""
    lab = handmade.lab
    program = (
        f"[program:chat]\ncommand={Stack().command.replace('PORT', '9001').replace(':application', ':nothing')}\n"
        f"directory={FOLDER}/chat/app\nuser=handy\nenvironment={','.join(handmade.environment.split())}\n"
        "startsecs=10\nstartretries=0\n"
    )
    repair.callback(lab.host.run, "systemctl disable --now --quiet supervisor")
    lab.run(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends supervisor >/dev/null "
        "&& systemctl start supervisor; for i in $(seq 1200); do supervisorctl pid && exit 0; sleep 0.1; done; exit 1"
    )
    lab.run(f"mkdir {FOLDER}/chat; cp -rL {HOME}/code {FOLDER}/chat/app; chown -R handy {FOLDER}/chat")
    lab.run("printf %%s %s > /etc/supervisor/conf.d/chat.conf; supervisorctl update", program)
    lab.run("for i in $(seq 1200); do supervisorctl status | grep -q FATAL && exit 0; sleep 0.2; done; exit 1")
    cases = handmade.stand(repair, program=Stack(""))
    Diagnosis.each(lab, **cases)["program"].blames(
        "E202_ASGI_ATTRIBUTE", "core.asgi:application", "supervisor: chat FATAL"
    )
    lab.run("sed -i s/asgi:nothing/asgi:application/ /etc/supervisor/conf.d/chat.conf; supervisorctl update")
    handmade.await_port(9001)
    healthy = Diagnosis.each(lab, **cases)["program"]
    assert healthy.report["ok"] and healthy.codes == [], healthy.told()
