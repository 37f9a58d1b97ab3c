"""Tokens, the project and its channel layer on a host of this bundle, broken in one way after another."""

from __future__ import annotations

import base64
import json
import re
from contextlib import ExitStack

from diagnosis import Diagnosis
from lab_host import LabHost
from packages import HOME, redis_py_8
from test_provisioned import REDIS, SITE

testinfra_hosts = ["ansible://doctor-1"]

# Runs in the project's environment: a token that only becomes valid in ten minutes.
EARLY = (
    "import jwt, os, time; now = time.time(); claims = jwt.decode('{token}', options={{'verify_signature': False}}); "
    "claims |= {{'iat': int(now) + 600, 'exp': int(now) + 1200}}; "
    "print(jwt.encode(claims, os.environ['JWT_SECRET'], 'HS256'))"
)


def test_tokens_and_ways(lab: LabHost) -> None:
    """Wrong tokens, Origins, paths and routes to the host are told apart, and no token is shown."""
    token = lab.token()
    head, payload, signature = token.split(".")
    fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert fields["exp"]  # one of the example's tokens, so what follows tests what it seems to
    bad = ".".join([head, payload, signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]])
    early = lab.as_project(f'python -c "{EARLY.format(token=token)}"').strip()
    where = f"ws://localhost:{lab.port}/ws/dashboard/"
    found = Diagnosis.each(
        lab,
        bad={"doctor_token": bad},
        expired={"doctor_token": lab.token(seconds=-3600)},
        none={"doctor_url": where},
        early={"doctor_token": early},
        command={"doctor_token_command": ["python", "manage.py", "mint_tokken"]},
        origin={"doctor_origin": "https://shop.example.org"},
        route={"doctor_url": f"ws://localhost:{lab.port}/ws/chat?token={{token}}"},
        unreached={"ansible_port": 1},
        powerless={"ansible_become": True, "ansible_become_user": "daemon"},
        bare={"ansible_python_interpreter": "/nowhere/python3"},
    )
    found["bad"].blames("E402_TOKEN_BAD", "signing secret", "403")
    found["expired"].blames("E403_TOKEN_EXPIRED", "fetch a new token", "403")
    found["none"].blames("E401_NO_TOKEN", r"\?token=", "403")
    found["early"].blames("E409_CLOCK", "timedatectl", "403")
    found["command"].blames("E411_TOKEN_COMMAND", "doctor_token_command", "mint_tokken")
    shop = "Add the host of https://shop.example.org to ALLOWED_HOSTS"
    found["origin"].blames("E405_ORIGIN", shop, "403")
    found["route"].blames("E404_NO_ROUTE", r"re_path\(r\"\^ws/chat", "No route found")
    found["unreached"].blames("E901_UNREACHABLE", "ssh unreached true", "Connection refused|could not be sent")
    found["powerless"].blames("E902_NO_RIGHTS", "--ask-become-pass", "sudo")
    found["bare"].blames("E903_NO_PYTHON", "python3-minimal")
    assert found["bare"].evidence["outside"][0]["status"] == 403, "the way from outside was not looked at"
    texts = "".join(each.texts() for each in found.values())
    for secret in (payload[:40], signature[:10], early.split(".")[1][:40]):
        assert secret not in texts


def test_changed_secret(lab: LabHost) -> None:
    """A secret that was changed on the disk but not in the processes is named; its value is not shown."""
    with lab.edited(f"{HOME}/env", "s/^JWT_SECRET=.*/JWT_SECRET=another-secret-of-32-bytes-or-more/"):
        found = Diagnosis(lab)
    found.blames("E114_ENVIRONMENT_STALE", f"systemctl restart .*{lab.units[0]}.*release_secrets", "JWT_SECRET")
    assert "another-secret-of" not in found.texts()


def test_redis(lab: LabHost, repair: ExitStack) -> None:
    """A Redis that doesn't know the password, one that forbids a command, and one that loses messages."""
    repair.callback(lab.await_handshakes)
    repair.callback(lab.run, "systemctl restart redis-server")
    lossy = ("s/^maxmemory-policy .*/maxmemory-policy allkeys-lru/", "s/^timeout .*/timeout 30/")
    with lab.edited("/etc/redis/users.acl", "s/#[0-9a-f]\\{64\\}/#" + "0" * 64 + "/"), lab.edited(REDIS, *lossy):
        lab.run("systemctl restart redis-server")
        found = Diagnosis(lab)
    found.blames("E502_REDIS_PASSWORD", "users.acl")
    assert "maxmemory-policy noeviction in /etc/redis/redis.conf" in found.finding("W506_REDIS_EVICTS")["fix"]
    assert "timeout 0 in /etc/redis/redis.conf" in found.finding("W511_REDIS_TIMEOUT")["fix"]
    assert lab.secrets()["Redis password"] not in found.texts()
    with lab.edited("/etc/redis/users.acl", "s/~asgi/~other/;s/&asgi/\\&other/"):
        lab.run("systemctl restart redis-server")
        Diagnosis(lab).blames("E503_REDIS_ACL", "redis_prefix")


def test_idle(lab: LabHost, repair: ExitStack) -> None:
    """An nginx that cuts silent sockets is told apart from a server that does, with the time that it took."""
    with lab.nginx_edited(SITE, "/^    location .ws/,/^    }/s/proxy_read_timeout .*/proxy_read_timeout 3s;/"):
        found = Diagnosis(lab, idle_seconds=4)
    found.blames("E601_IDLE_PROXY", r"dashboard.conf:\d+: proxy_read_timeout 3600s", r"after (2\.9|3)")


def test_redis_py_8(lab: LabHost, repair: ExitStack) -> None:
    """redis-py 8 under the core layer has cut silent sockets."""
    redis_py_8(lab, repair)
    Diagnosis(lab, idle_seconds=7).blames("E603_REDIS_PY_8", "redis<8", "closed with 1011")


def test_from_outside_alone(lab: LabHost) -> None:
    """With an address and nothing else, the same fault is named as far as possible; tokens in it are masked."""
    url = f"ws://localhost:{lab.port}/ws/dashboard/?token={lab.token()}"
    with lab.nginx_edited(SITE, "/Upgrade/d", "/Connection /d"):
        lost = Diagnosis.outside(url)
    assert lost["verdict"] == "E301_UPGRADE_LOST", lost
    sound = Diagnosis.outside(url)
    assert sound["verdict"] == "OK", sound
    assert not re.search(r"eyJ[\w-]{20,}\.", json.dumps([lost, sound]))
