"""The project and its channel layer, broken in one way after another."""

from __future__ import annotations

import base64
import json
import re
from contextlib import ExitStack

import pytest
from diagnosis import Diagnosis
from lab_host import LabHost
from test_provisioned import HOME, REDIS, SITE, UV

testinfra_hosts = ["ansible://doctor-1"]


# Runs on the host: waits until each process listens, be it healthy or not.
LISTENING = """
import socket, sys, time
deadline = time.monotonic() + 20
for path in sys.argv[1:]:
    while True:
        try:
            socket.socket(socket.AF_UNIX).connect(path)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"{path}: {error}")
            time.sleep(0.05)
"""


def restarted(lab: LabHost, repair: ExitStack, *edits: tuple[str, str]) -> None:
    """Edit files and have the processes run with them until the test ends."""
    repair.callback(lab.restart_processes)
    for file, script in edits:
        repair.enter_context(lab.edited(file, script))
    lab.run("systemctl restart " + " ".join(lab.units))
    lab.python(LISTENING, *lab.live["sockets"])


def test_tokens(lab: LabHost) -> None:
    """No token, a bad one, an expired one: each is told apart, and none is told."""
    token = lab.token()
    head, payload, signature = token.split(".")
    bad = ".".join([head, payload, signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]])
    found = Diagnosis(lab, doctor_token=bad)
    found.blames("E402_TOKEN_BAD", "signing secret", "403")
    assert payload[:40] not in found.texts() and signature[:10] not in found.texts()
    Diagnosis(lab, doctor_token=lab.token(seconds=-3600)).blames("E403_TOKEN_EXPIRED", "fetch a new token", "403")
    where = f"ws://localhost:{lab.port}/ws/dashboard/"
    Diagnosis(lab, doctor_url=where, doctor_hosts=lab.name).blames("E401_NO_TOKEN", r"\?token=", "403")
    fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert fields["exp"]  # a token of the example's, so that the tests above say what they seem to


def test_changed_secret(lab: LabHost) -> None:
    """A secret that was changed on the disk, and not in the processes, is named; its value is not."""
    with lab.edited(f"{HOME}/env", "s/^JWT_SECRET=.*/JWT_SECRET=another-secret-of-32-bytes-or-more/"):
        found = Diagnosis(lab)
    found.blames("E114_ENVIRONMENT_STALE", r"playbooks/deploy\.yml", "JWT_SECRET")
    assert "another-secret-of" not in found.texts()


def test_failing_token_command(lab: LabHost) -> None:
    """A command that makes no token is named with what it complains of."""
    command = ["python", "manage.py", "mint_tokken"]
    Diagnosis(lab, doctor_token_command=command).blames("E411_TOKEN_COMMAND", "doctor_token_command", "mint_tokken")


def test_origin_host_and_route(lab: LabHost) -> None:
    """An Origin and a Host that the project does not know, and a path without a consumer."""
    found = Diagnosis(lab, doctor_origin="https://shop.example.org", doctor_url=f"ws://localhost:{lab.port}/ws/dashboard/"
                      "?token={token}", doctor_hosts=lab.name)  # fmt: skip
    found.blames("E405_ORIGIN", "Add the host of https://shop.example.org to ALLOWED_HOSTS", "403")
    where = f"ws://localhost:{lab.port}/ws/chat?token={{token}}"
    found = Diagnosis(lab, doctor_url=where, doctor_hosts=lab.name)
    found.blames("E404_NO_ROUTE", r"re_path\(r\"\^ws/chat", "No route found")


def test_allowed_hosts(lab: LabHost, repair: ExitStack) -> None:
    """A Host header that Django refuses."""
    restarted(lab, repair, (f"{HOME}/env", "s/^ALLOWED_HOSTS=.*/ALLOWED_HOSTS=www.example.org/"))
    Diagnosis(lab).blames("E406_ALLOWED_HOSTS", "Add localhost to ALLOWED_HOSTS", "400")


def test_consumer_raises(lab: LabHost, repair: ExitStack) -> None:
    """An error in connect() is told by its line in the log."""
    script = "s/^        await self.join(EVERYONE)/        raise KeyError('no such team')/"
    restarted(lab, repair, (f"{HOME}/code/dashboard/consumers.py", script))
    Diagnosis(lab).blames("E408_CONSUMER_RAISES", "journalctl -u", "KeyError: 'no such team'")


def test_unchecked(lab: LabHost, repair: ExitStack) -> None:
    """No check of the Origin and none of the token are warnings: sockets do open."""
    script = 's/"websocket": HostOriginValidator(/"websocket": (lambda inner, _: inner)(/'
    restarted(lab, repair, (f"{HOME}/code/core/asgi.py", script))
    found = Diagnosis(lab)
    found.notices("W407_ORIGIN_UNCHECKED", "AllowedHostsOriginValidator")


def test_redis(lab: LabHost, repair: ExitStack) -> None:
    """A Redis that is away, and one that forbids a command or does not know the password."""
    repair.callback(lab.await_handshakes)
    repair.callback(lab.run, "systemctl restart redis-server")
    lab.run("systemctl stop redis-server")
    Diagnosis(lab).blames("E501_REDIS_DOWN", "systemctl start redis-server", "refused|Error 111")
    for script, code, fix in (
        ("s/#[0-9a-f]\\{64\\}/#" + "0" * 64 + "/", "E502_REDIS_PASSWORD", "users.acl"),
        ("s/~asgi/~other/;s/&asgi/\\&other/", "E503_REDIS_ACL", "redis_prefix"),
    ):
        with lab.edited("/etc/redis/users.acl", script):
            lab.run("systemctl restart redis-server")
            found = Diagnosis(lab)
            found.blames(code, fix)
            assert lab.secrets()["Redis password"] not in found.texts()


def test_redis_settings(lab: LabHost) -> None:
    """Settings that lose messages are warnings."""
    with lab.edited(REDIS, "s/^maxmemory-policy .*/maxmemory-policy allkeys-lru/", "s/^timeout .*/timeout 30/"):
        found = Diagnosis(lab)
        found.notices("W506_REDIS_EVICTS", "maxmemory-policy noeviction in /etc/redis/redis.conf")
        found.notices("W511_REDIS_TIMEOUT", "timeout 0 in /etc/redis/redis.conf")


def test_redis_clients(lab: LabHost, repair: ExitStack) -> None:
    """A Redis that takes no more clients."""
    repair.callback(lab.await_handshakes)
    repair.callback(lab.run, "systemctl restart redis-server")
    with lab.edited(REDIS, "s/^maxclients .*/maxclients 1/"):
        lab.run("systemctl restart redis-server")
        hold = "import socket, time; s = socket.create_connection(('127.0.0.1', 6379)); time.sleep(60)"
        lab.run("systemd-run --quiet --collect --unit=hold python3 -c %s", hold)
        repair.callback(lab.host.run, "systemctl stop hold")
        Diagnosis(lab).blames("E507_REDIS_CLIENTS", "maxclients 10000", "max number of clients")


def test_database(lab: LabHost, repair: ExitStack) -> None:
    """A database that Redis does not have."""
    restarted(lab, repair, (f"{HOME}/env", "/^REDIS_URL=/s|6379/0|6379/99|"))
    Diagnosis(lab).blames("E504_REDIS_DATABASE", ".", "select|index")


def test_memory_layer(lab: LabHost, repair: ExitStack) -> None:
    """Processes that do not share a channel layer."""
    restarted(lab, repair, (f"{HOME}/env", "$aCHANNEL_LAYER=memory"))
    Diagnosis(lab).blames("E508_LAYER_MEMORY", "RedisPubSubChannelLayer", "2 processes")


def test_idle(lab: LabHost, repair: ExitStack) -> None:
    """nginx that cuts silent sockets is told from a server that does, with the time that it took."""
    with lab.nginx_edited(SITE, "/^    location .ws/,/^    }/s/proxy_read_timeout .*/proxy_read_timeout 3s;/"):
        Diagnosis(lab).notices("W605_READ_TIMEOUT", "proxy_read_timeout 3600s")
        found = Diagnosis(lab, idle_seconds=5)
        found.blames("E601_IDLE_PROXY", r"dashboard.conf:\d+: proxy_read_timeout 3600s", "after [34]")


def test_redis_py_8(lab: LabHost, repair: ExitStack) -> None:
    """redis-py 8 under the core layer: a warning by its version, a verdict once it has cut silent sockets."""
    packages, kept = (
        lab.run(f"echo {HOME}/venv/lib/python3*/site-packages").strip(),
        lab.run("mktemp --directory").strip(),
    )
    repair.callback(lab.restart_processes)
    repair.enter_context(lab.edited(f"{HOME}/env", "$aCHANNEL_LAYER=core"))
    repair.enter_context(lab.edited(f"{HOME}/code/core/settings.py", "s/, \\*\\*RETRY//"))
    repair.callback(
        lab.run, f"rm -rf {packages}/redis {packages}/redis-*.dist-info && mv {kept}/* {packages} && rmdir {kept}"
    )
    lab.run(f"cp --archive {packages}/redis {packages}/redis-*.dist-info {kept}")
    lab.run(f"{UV} --python {HOME}/venv 'redis>=8'")
    lab.restart_processes()
    Diagnosis(lab).notices("W606_REDIS_PY_8", "redis<8")
    Diagnosis(lab, idle_seconds=8).blames("E603_REDIS_PY_8", "redis<8", "closed with 1011")


@pytest.mark.parametrize("code", ["E301_UPGRADE_LOST"])
def test_from_outside_alone(lab: LabHost, code: str) -> None:
    """With an address and nothing else, the same fault is named as far as it can be told; tokens in it are masked."""
    with lab.nginx_edited(SITE, "/Upgrade/d", "/Connection /d"):
        found = Diagnosis.outside(f"ws://localhost:{lab.port}/ws/dashboard/?token={lab.token()}")
    assert found["verdict"] == code, found
    found = Diagnosis.outside(f"ws://localhost:{lab.port}/ws/dashboard/?token={lab.token()}")
    assert found["verdict"] == "OK", found
    assert not re.search(r"eyJ[\w-]{20,}\.", json.dumps(found))
