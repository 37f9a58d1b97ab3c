"""Stacks behind Apache, HAProxy and supervisor, and applications that say themselves what is wrong with them.

Each fault is mended as its report says, and then the doctor finds nothing. All stacks stand on one host together.
"""

from __future__ import annotations

import re
from contextlib import ExitStack

from diagnosis import Diagnosis
from lab_host import LabHost
from test_handmade import ASGI, FOLDER, Handmade, Stack, handmade  # noqa: F401 - pytest finds the fixture by its name

testinfra_hosts = ["ansible://doctor-1"]

#: Where Apache and HAProxy listen, away from nginx.
LOST, SOUND, TUNNEL = 8301, 8302, 8303
APACHE, HAPROXY = "/etc/apache2/sites-enabled/handmade.conf", "/etc/haproxy/haproxy.cfg"
SITES = f"""Listen {LOST}
<VirtualHost *:{LOST}>
ProxyPreserveHost On
ProxyPass / http://127.0.0.1:9001/
</VirtualHost>
Listen {SOUND}
<VirtualHost *:{SOUND}>
ProxyPreserveHost On
ProxyPass /ws/ ws://127.0.0.1:9002/ws/
ProxyPass / http://127.0.0.1:9002/
</VirtualHost>
"""
BALANCER = f"""defaults
  mode http
  timeout connect 5s
  timeout client 6s
  timeout server 60s
frontend all
  bind :{TUNNEL}
  default_backend sockets
backend sockets
  server one 127.0.0.1:9003
"""
PROGRAM = f"""[fcgi-program:chat]
socket=tcp://127.0.0.1:9004
command={FOLDER}/venv/bin/python -m daphne --fd 0 core.asgi:application
directory={FOLDER}/supervised/app
user=handy
environment=ENVIRONMENT
"""

FEED = """import time
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def handle(self, *args, **options):
        while True:
            async_to_sync(get_channel_layer().group_send)("everyone", {"type": "news"})
            time.sleep(600)
"""


def fronts(lab: LabHost, repair: ExitStack) -> None:
    """Install Apache, HAProxy and supervisor without starting them, and have them listen."""
    refusal = "/usr/sbin/policy-rc.d"
    lab.run(f"printf '#!/bin/sh\\nexit 101\\n' > {refusal}; chmod +x {refusal}")
    repair.callback(lab.host.run, f"systemctl disable --now --quiet apache2 haproxy supervisor; rm -f {refusal}")
    lab.run(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends apache2 haproxy supervisor "
        f">/dev/null; rm {refusal}; rm -f /etc/apache2/sites-enabled/*; echo > /etc/apache2/ports.conf; "
        "a2enmod -q proxy proxy_http proxy_wstunnel"
    )
    lab.run(f"printf %%s %s > {APACHE}; printf %%s %s > {HAPROXY}", SITES, BALANCER)
    lab.run("systemctl restart apache2 haproxy")


def test_each_fault_is_mended_as_its_report_says(
    handmade: Handmade,  # noqa: F811
    repair: ExitStack,
) -> None:
    lab, address = handmade.lab, handmade.address
    fronts(lab, repair)
    redis = lab.environment()["REDIS_URL"]
    cases = handmade.stand(
        repair,
        lost=Stack(variables={"doctor_url": f"ws://{address}:{LOST}/ws/dashboard/?token={{token}}"}),
        sound=Stack(variables={"doctor_url": f"ws://{address}:{SOUND}/ws/dashboard/?token={{token}}"}),
        tunnel=Stack(variables={"doctor_url": f"ws://{address}:{TUNNEL}/ws/dashboard/?token={{token}}",
                                "doctor_idle_seconds": -1}),
        supervised=Stack(""),
        pages=Stack(edits={ASGI: "s/^application = /whole = /; $a application = django_application"}),
        tls=Stack(environment=f"CHANNEL_LAYER=pubsub\nREDIS_URL={redis.replace('redis://', 'rediss://')}"),
        worker=Stack(),
        hidden=Stack(f"{FOLDER}/venv/bin/python -m daphne -u /tmp/hidden.sock core.asgi:application",
                     properties="--property=PrivateTmp=yes", backend="unix:/tmp/hidden.sock"),
    )  # fmt: skip
    program = PROGRAM.replace("ENVIRONMENT", ",".join(handmade.environment.split()))
    repair.callback(lab.host.run, "rm -f /etc/supervisor/conf.d/handmade.conf; systemctl stop handmade-feed")
    lab.run("printf %%s %s > /etc/supervisor/conf.d/handmade.conf", program)
    run = f"systemd-run --quiet --uid=handy --working-directory={FOLDER}"
    lab.run(f"printf %%s %s > {FOLDER}/worker/app/dashboard/management/commands/feed.py", FEED)
    lab.run(
        f"{run}/worker/app --unit=handmade-feed --property=EnvironmentFile={FOLDER}/worker/env "
        f"{FOLDER}/venv/bin/python manage.py feed"
    )
    for number in (1, 2, 3, 5, 6, 7):
        handmade.await_port(9000 + number)

    found = Diagnosis.each(lab, **cases)
    found["lost"].blames("E361_APACHE_UPGRADE", f"{APACHE}:4: ", "through Apache on the host")
    found["tunnel"].blames("E364_TUNNEL_TIMEOUT", f"{HAPROXY}:9 .*timeout tunnel", "timeout client 6 s")
    found["supervised"].blames(
        "E151_SUPERVISORD_DOWN", "systemctl (enable --now|start) supervisor", "fcgi-program:chat"
    )
    found["pages"].blames("E251_NO_WEBSOCKET", "daphne core.asgi:whole in place of daphne core.asgi:application")
    found["tls"].blames("E532_LAYER_TLS", "redis:// in place of rediss://", "plain")
    found["worker"].blames("E537_LAYER_WORKERS", "RedisPubSubChannelLayer", "manage.py feed")
    found["hidden"].blames("E375_SOCKET_HIDDEN", "below /run", "/tmp/hidden.sock")
    assert found["sound"].report["ok"] and found["sound"].codes == [], found["sound"].told()

    fixes = {name: each.report["finding"]["fix"] for name, each in found.items() if name != "sound"}
    line = re.search(r":(\d+): (ProxyPass .*), in place of it", fixes["lost"])
    assert line
    lab.run(f"sed -i '{line[1]}c\\{line[2]}' {APACHE}; systemctl reload apache2")
    place = re.search(r":(\d+) .*: (timeout tunnel \w+);", fixes["tunnel"])
    assert place
    lab.run(f"sed -i '{place[1]}a\\  {place[2]}' {HAPROXY}; systemctl reload haproxy")
    lab.run(fixes["supervised"])
    server = f"{FOLDER}/venv/bin/python -m daphne"
    lab.run(
        f"systemctl stop handmade-pages handmade-hidden; sed -i s,rediss://,redis://, {FOLDER}/tls/env; "
        f"printf 'CHANNEL_LAYER=pubsub\\nREDIS_URL=%%s\\n' %s >> {FOLDER}/worker/env; "
        "systemctl restart handmade-tls handmade-worker handmade-feed", redis,
    )  # fmt: skip
    lab.run(f"{run}/pages/app --unit=handmade-pages --property=EnvironmentFile={FOLDER}/pages/env "
            f"{server} -b 127.0.0.1 -p 9005 core.asgi:whole")  # fmt: skip
    lab.run(f"{run}/hidden/app --unit=handmade-hidden --property=EnvironmentFile={FOLDER}/hidden/env "
            f"--property=PrivateTmp=yes --property=RuntimeDirectory=app {server} -u /run/app/app.sock "
            "core.asgi:application")  # fmt: skip
    lab.run("sed -i s,unix:/tmp/hidden.sock,unix:/run/app/app.sock, /etc/nginx/sites-enabled/handmade.conf")
    lab.reload_nginx()
    for number in (4, 5, 6, 7):
        handmade.await_port(9000 + number)
    lab.run("for i in $(seq 1200); do test -S /run/app/app.sock && exit 0; sleep 0.1; done; exit 1")
    for name, each in Diagnosis.each(lab, **cases).items():
        assert each.report["ok"] and each.codes == [], f"{name}: {each.told()}"
