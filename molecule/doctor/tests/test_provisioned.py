"""A host of this bundle, broken in one way after another: the doctor names each fault, and what to do."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack

from diagnosis import Diagnosis
from lab_host import NO_SOCKET, LabHost
from packages import HOME

testinfra_hosts = ["ansible://doctor-1"]

SITE = "/etc/nginx/sites-enabled/dashboard.conf"
REDIS = "/etc/redis/redis.conf"


def test_healthy_host(lab: LabHost) -> None:
    """If nothing is broken, nothing is found, nothing is changed, and no secret is shown or logged."""
    since = lab.run("touch /tmp/before && sleep 1 && date +%s").strip()
    logged = lab.run("cat /var/log/nginx/*.log | grep --count --extended-regexp 'eyJ[A-Za-z0-9_-]{20,}[.]' || true")
    begun = time.monotonic()
    healthy = Diagnosis(lab)
    seconds = time.monotonic() - begun
    print(f"a run takes {seconds:.1f} s, of which the host {healthy.evidence['host']['seconds']} s")
    assert healthy.report["ok"] and healthy.codes == [], healthy.told()
    assert "note Nothing watches this site." in healthy.run.output and "note No backup is set up." in healthy.run.output
    states = {hop["id"]: hop["state"] for hop in healthy.report["hops"]}
    assert {name for name, state in states.items() if state != "ok"} == {"tls", "idle"}, states
    # The doctor doesn't write what the services do: logs, and the example's own records of its processes.
    changed = lab.run(
        "find /etc /srv /opt /usr /root /home /run/dashboard /var -xdev -newer /tmp/before -not -path '/var/log/*' "
        "-not -path '/var/lib/systemd/*' -not -path '/srv/dashboard/shared*'"
    )
    assert changed == "", f"the run changed the host:\n{changed}"
    told = healthy.texts() + lab.run("journalctl --no-pager --since=@%s", since)
    again = lab.run("cat /var/log/nginx/*.log | grep --count --extended-regexp 'eyJ[A-Za-z0-9_-]{20,}[.]' || true")
    assert logged == again, "nginx logged a token"
    for name, secret in lab.secrets().items():
        assert secret not in told, f"the {name} is told"
    assert not re.search(r"eyJ[\w-]{20,}\.", told), "a token is told"


def test_proxy(lab: LabHost, repair: ExitStack) -> None:
    """Each fault of nginx itself has its own code; findings about its configuration show the line."""
    site = lab.run(f"cat {SITE}")
    site = re.sub(r"^    listen .*\n", "", site[site.index("\nserver {") :], flags=re.MULTILINE)
    websocket = re.compile(r"^    location /ws/ \{", re.MULTILINE)
    faults = {
        "upgrade": lambda text: re.sub(r".*(Upgrade|Connection) .*\n", "", text),
        "connection": lambda text: re.sub(r".*Connection .*\n", "", text),
        "https": lambda text: text.replace("    client_max", "return 301 https://$host$request_uri; client_max"),
        "slash": lambda text: websocket.sub(r"\g<0> rewrite ^/ws/dashboard/$ /ws/dashboard permanent;", text),
        "buffers": lambda text: re.sub(
            r"(?m)^(    (?:client_header_buffer_size|large_client_header_buffers \d+)) .*;", r"\1 1k;", text
        ),
        "refused": lambda text: websocket.sub(r"\g<0> deny all;", text),
        "limit": lambda text: websocket.sub(r"\g<0> return 429;", text),
        "elsewhere": lambda text: text.replace("http://dashboard;", f"http://unix:{NO_SOCKET};"),
        "unproxied": lambda text: re.sub(r"(location /ws/ \{\s+)proxy_pass .*;", r"\1return 404;", text),
    }  # fmt: skip
    address, file = lab.run("hostname --all-ip-addresses").split()[0], "/etc/nginx/sites-enabled/faults.conf"
    texts, cases = [], {}
    for port, (name, fault) in enumerate(faults.items(), 8201):
        broken = fault(site)
        assert broken != site, f"{name} changed nothing"
        texts.append(broken.replace("\nserver {", f"\nserver {{\n    listen {port};", 1))
        url = f"ws://{address}:{port}/ws/dashboard/?token={{token}}"
        cases[name] = {"doctor_url": url, "doctor_origin": "http://localhost"}
    cases["buffers"]["doctor_token"] = lab.token(user="u" * 1200)
    repair.callback(lab.reload_nginx)
    repair.callback(lab.run, f"rm {file}")
    lab.run(f"printf %%s %s > {file}", "".join(texts))
    lab.reload_nginx()
    found = Diagnosis.each(lab, **cases)
    found["upgrade"].blames(
        "E301_UPGRADE_LOST", r"faults\.conf:\d+: .*proxy_set_header Upgrade \$http_upgrade", "HTTP 40[04]"
    )
    found["connection"].blames("E302_CONNECTION_LOST", r"proxy_set_header Connection \$connection_upgrade")
    found["https"].blames("E305_REDIRECT_HTTPS", f"wss://{address}/ws/dashboard/", "301")
    found["slash"].blames("E306_REDIRECT_PATH", "ws://.*/ws/dashboard ", "301")
    found["buffers"].blames("E304_HEADER_BUFFERS", "large_client_header_buffers 4 16k", "414")
    found["refused"].blames("E310_PROXY_REFUSES", "deny", "403")
    found["limit"].blames("E311_LIMIT", "limit_req and limit_conn", "429")
    found["elsewhere"].blames(
        "E307_UPSTREAM_ELSEWHERE",
        r"Point proxy_pass or its upstream to unix:/run/dashboard/.*\.sock.*reload nginx",
        "502",
    )
    found["unproxied"].blames("E313_PATH_NOT_PROXIED", r"location \^~ /ws/dashboard/ \{ proxy_pass http://unix:", "404")


def test_faulty_configuration(lab: LabHost) -> None:
    """nginx would not start with this file, but still runs with the previous one."""
    with lab.edited(SITE, "s|large_client_header_buffers|large_client_header_bufers|"):
        Diagnosis(lab).blames("E309_PROXY_CONFIG", "nginx -t", "unknown directive")


def test_crash(lab: LabHost, repair: ExitStack) -> None:
    """If a generation's processes end at each start, their last words name the cause."""
    repair.callback(lab.restart_processes)
    repair.callback(lab.run, "systemctl reset-failed 'dashboard-daphne@*'")
    with lab.edited(f"{HOME}/serve", "s/core.asgi:application/core.asgi:app/"):
        lab.run("systemctl restart --no-block " + " ".join(lab.units))
        lab.run(
            "for i in $(seq 1200); do [ $(systemctl show --value --property=NRestarts %s) -gt 0 ] && exit 0; "
            "sleep 0.2; done; exit 1",
            lab.units[0],
        )
        Diagnosis(lab).blames("E202_ASGI_ATTRIBUTE", "core.asgi:application")
