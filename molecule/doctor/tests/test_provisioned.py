"""A host of this bundle, broken in one way after another: the doctor names each, and what to do."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack

from diagnosis import Diagnosis
from lab_host import NO_SOCKET, LabHost

testinfra_hosts = ["ansible://doctor-1"]

HOME = "/srv/dashboard/live"
SITE = "/etc/nginx/sites-enabled/dashboard.conf"
REDIS = "/etc/redis/redis.conf"
# For what is installed on top of the project's environment, or beside it.
UV = (
    "UV_CACHE_DIR=/var/cache/uv UV_NO_CONFIG=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "
    "/opt/uv/bin/uv pip install --quiet"
)


def test_healthy_host(lab: LabHost) -> None:
    """Nothing is found where nothing is broken, nothing is changed, and no secret is told or logged."""
    since = lab.run("touch /tmp/before && sleep 1 && date +%s").strip()
    logged = lab.run("cat /var/log/nginx/*.log | grep --count --extended-regexp 'eyJ[A-Za-z0-9_-]{20,}[.]' || true")
    begun = time.monotonic()
    healthy = Diagnosis(lab)
    seconds = time.monotonic() - begun
    print(f"a run takes {seconds:.1f} s, of which the host {healthy.evidence['host']['seconds']} s")
    assert healthy.report["ok"] and healthy.codes == [], healthy.told()
    states = {hop["id"]: hop["state"] for hop in healthy.report["hops"]}
    assert {name for name, state in states.items() if state != "ok"} == {"tls", "idle"}, states
    # What the services themselves write is not the doctor's: logs, and the example's own records of its processes.
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


def test_unexamined(lab: LabHost) -> None:
    """A host that SSH does not reach, and one without Python: a clear line, and what can be told from outside."""
    Diagnosis(lab, ansible_port=1).blames(
        "E901_UNREACHABLE", "ssh doctor-1 true", "Connection refused|could not be sent"
    )
    found = Diagnosis(lab, ansible_python_interpreter="/nowhere/python3")
    found.blames("E903_NO_PYTHON", "python3-minimal")
    assert found.evidence["outside"][0]["status"] == 403, "the way from outside was not looked at"


def test_lost_headers(lab: LabHost, repair: ExitStack) -> None:
    """What nginx does not pass on is read from its configuration, with the line where it belongs."""
    with lab.nginx_edited(SITE, "/Upgrade/d", "/Connection /d"):
        Diagnosis(lab).blames("E301_UPGRADE_LOST", r"dashboard\.conf:\d+: .*proxy_set_header Upgrade \$http_upgrade")
    with lab.nginx_edited(SITE, "/Connection /d"):
        Diagnosis(lab).blames("E302_CONNECTION_LOST", r"proxy_set_header Connection \$connection_upgrade")


def test_proxy(lab: LabHost, repair: ExitStack) -> None:
    """Each way in which nginx itself is at fault has its own code."""
    with lab.upstream(NO_SOCKET):
        Diagnosis(lab).blames("E307_UPSTREAM_ELSEWHERE", r"lead to unix:/run/dashboard/.*\.sock.*reload nginx", "502")
    with lab.nginx_edited(SITE, "s|^    client_max_body_size|    return 301 https://$host$request_uri;\\n&|"):
        Diagnosis(lab).blames("E305_REDIRECT_HTTPS", "wss://localhost/ws/dashboard/", "301")
    with lab.nginx_edited(
        SITE, "s|^    location /ws/ {|&\\n        rewrite ^/ws/dashboard/$ /ws/dashboard permanent;|"
    ):
        Diagnosis(lab).blames("E306_REDIRECT_PATH", "ws://.*/ws/dashboard ", "301")
    with lab.nginx_edited(SITE, "s|large_client_header_buffers .*;|large_client_header_buffers 4 1k;|",
                          "s|client_header_buffer_size .*;|client_header_buffer_size 1k;|"):  # fmt: skip
        token = lab.token(user="u" * 1200)
        Diagnosis(lab, doctor_token=token).blames("E304_HEADER_BUFFERS", "large_client_header_buffers 4 16k", "414")
    with lab.nginx_edited(SITE, "s|^    location /ws/ {|&\\n        deny all;|"):
        Diagnosis(lab).blames("E310_PROXY_REFUSES", "deny", "403")
    repair.callback(lab.run, "systemctl start nginx")
    lab.run("systemctl stop nginx")
    Diagnosis(lab).blames("E308_PROXY_DOWN", "systemctl start nginx")


def test_limit_and_faulty_configuration(lab: LabHost) -> None:
    """A limit that is reached, and a file that nginx would not start with."""
    with lab.nginx_edited(SITE, "s|^    location /ws/ {|&\\n        return 429;|"):
        Diagnosis(lab).blames("E311_LIMIT", "limit_req and limit_conn", "429")
    with lab.edited(SITE, "s|large_client_header_buffers|large_client_header_bufers|"):
        Diagnosis(lab).blames("E309_PROXY_CONFIG", "nginx -t", "unknown directive")


def test_process(lab: LabHost, repair: ExitStack) -> None:
    """A process that is down, one that leaves its socket behind, one that crashes, one without files left."""
    unit, socket = lab.units[0], lab.live["sockets"][0]
    repair.callback(lab.restart_processes)
    lab.run(f"systemctl stop {unit}")
    Diagnosis(lab).blames("E104_NOT_RUNNING", f"systemctl start .*{unit}", "nobody listens on unix:")
    lab.python("import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", socket)
    Diagnosis(lab).blames("E107_STALE_SOCKET", f"systemctl start .*{unit}", "nobody listens")
    lab.restart_processes()
    pid = lab.pids()[unit]
    lab.run(f"runuser --user dashboard -- prlimit --nofile=$(ls /proc/{pid}/fd | wc -l) --pid {pid}")
    Diagnosis(lab).blames("E110_OPEN_FILES", "LimitNOFILE=65536", f"process {pid}")


def test_crashes(lab: LabHost, repair: ExitStack) -> None:
    """A process that ends at each start is named by its last words."""
    repair.callback(lab.restart_processes)
    repair.callback(lab.run, "systemctl reset-failed 'dashboard-daphne@*'")
    faults = {
        "E202_ASGI_ATTRIBUTE": (f"{HOME}/serve", "s/core.asgi:application/core.asgi:app/", "core.asgi:application"),
        "E201_ASGI_MODULE": (f"{HOME}/serve", "s/core.asgi:application/core.azgi:application/", "asgi_application"),
        "E205_ASGI_PATH": (f"{HOME}/serve", "s/core.asgi:application/core.asgi.application/", "core.asgi:application"),
        "E103_SERVER_MISSING": (f"{HOME}/serve", "s|/venv[^ ]*/bin/daphne|/nowhere/bin/daphne|", "daphne"),
        "E105_CRASH_LOOP": (f"{HOME}/serve", "s|^exec .*|exec sh -c 'echo no luck; exit 3' \\\\|", "journalctl -u"),
        "E204_IMPORT_ERROR": (f"{HOME}/code/core/asgi.py", "s/^import os/import no_such_package/", "python -c 'import"),
        "E203_APPS_NOT_READY": (
            f"{HOME}/code/core/asgi.py",
            "s/^django_application = .*/from django.contrib.auth.models import User\\n&/",
            "get_asgi_application\\(\\) first",
        ),
    }
    for code, (file, script, fix) in faults.items():
        with lab.edited(file, script):
            lab.run("systemctl restart --no-block " + " ".join(lab.units))
            lab.run(
                "for i in $(seq 150); do [ $(systemctl show --value --property=NRestarts %s) -gt 0 ] && exit 0; "
                "sleep 0.2; done; exit 1",
                lab.units[0],
            )
            Diagnosis(lab).blames(code, fix)
