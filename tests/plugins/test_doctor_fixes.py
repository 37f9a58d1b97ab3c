"""The lines that the doctor prints, written where it says: then the rule does not fire, and what is read is right.

test_doctor_mends.py does this for what nginx sends; here are its other lines, Apache, HAProxy, settings and commands.
test_doctor_every_fix.py says where each code's lines are tried.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.channels.stack.plugins.module_utils.doctor import https
from ansible_collections.channels.stack.plugins.module_utils.doctor.catalogue import CATALOGUE
from ansible_collections.channels.stack.plugins.module_utils.doctor.mends import MENDS
from ansible_collections.channels.stack.plugins.module_utils.host import apache, fronts, haproxy_config, probe, raw
from ansible_collections.channels.stack.plugins.module_utils.host import redis as host_redis
from ansible_collections.channels.stack.plugins.module_utils.host.nginx import look
from ansible_collections.channels.stack.plugins.module_utils.host.nginx.request import Config
from test_doctor import came, certificate, everywhere, judged
from test_doctor_edges import DOWN
from test_doctor_edges import judged as edge_judged
from test_doctor_follow import CASES, FRONTS, PLAIN, TCP_REFUSED, front_is
from test_doctor_mends import fixes
from test_doctor_stacks import STACKS
from test_doctor_unseen import CHDIR, DEAD, UNSEEN, unit

ROOT = Path(__file__).resolve().parents[2]
PATH = "/ws/chat/"

# --- nginx: lines whose effect its own request does not show

MAIN, SITE = "/etc/nginx/nginx.conf", "/etc/nginx/sites-enabled/app"
UP = (
    "proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $up;\n"
    "proxy_pass http://127.0.0.1:8001;"
)
WORKER = {"limit": 768, "used": 768, "line": f"{MAIN}:2", "files": 9, "files_limit": 1 << 20}
CUT = {"host__exchanges__1": came("proxy", close={"code": 1006, "reason": "", "at": 5.0})}


def at_proxy(**answer: Any) -> dict[str, Any]:
    """The same answer through nginx on the host and from outside."""
    return {"host__exchanges__1": came("proxy", **answer), "outside__0": came("outside", **answer)}


#: A code, what is before and within the location in the site's file, what was seen, and what has to be true then.
LINES: list[tuple[str, str, str, dict[str, Any], Callable[[Config, dict[str, Any]], bool]]] = [
    ("E304_HEADER_BUFFERS", "", UP, at_proxy(status=414), lambda _, way: way["buffers"] == "4 16k"),
    ("E304_HEADER_BUFFERS", "large_client_header_buffers 2 1k;", UP, at_proxy(status=414),
     lambda _, way: way["buffers"] == "4 16k"),
    ("E601_IDLE_PROXY", "", f"proxy_read_timeout 5s;\n{UP}", CUT, lambda _, way: way["read_timeout"] == 3600),
    ("E601_IDLE_PROXY", "proxy_read_timeout 5s;", UP, CUT, lambda _, way: way["read_timeout"] == 3600),
    ("W605_READ_TIMEOUT", "", f"proxy_read_timeout 10s;\n{UP}", {}, lambda _, way: way["read_timeout"] == 3600),
    ("E374_UNDERSCORES", "", UP, {**at_proxy(status=403), "asked": {"headers": ["api_key"], "subprotocols": []}},
     lambda _, way: "api_key" in dict(way["sends"])),
    ("E350_PROXY_FULL", "", UP, {**at_proxy(status=500), "host__nginx__connections": WORKER},
     lambda config, _: look.connections(config)["limit"] > 768),
    ("E355_CLIENT_CERT", "ssl_verify_client on;", UP, at_proxy(
        status=400, body="No required SSL certificate was sent"),
     lambda config, _: config.servers[0].directive.all("ssl_verify_client")[0].value == "optional"),
    ("E357_ANSWER_CHANGED", "", f"{UP}\nproxy_hide_header Sec-WebSocket-Accept;", {
        **at_proxy(headers={"upgrade": "websocket"}), "host__exchanges__0": came(
            "process", headers={"upgrade": "websocket", "sec-websocket-accept": "x"})},
     lambda _, way: way["hides"] == []),
    ("E359_AUTH_REQUEST", "", f"auth_request /auth;\n{UP}", {**at_proxy(status=500), "host__nginx__said": [
        {"kind": "subrequest", "errno": 0, "peer": "", "line": "auth request unexpected status: 404"}]},
     lambda _, way: not way["guards"]),
]  # fmt: skip


class Files:
    """The files of an nginx, and what it makes of a handshake."""

    def __init__(self, server: str, location: str) -> None:
        self.files = {
            MAIN: "events {\nworker_connections 768;\n}\nhttp {\nmap $http_upgrade $up { default upgrade; '' close; }\n"
            "include sites-enabled/*;\n}",
            SITE: f"server {{\nlisten 443 ssl;\nserver_name app.example.org;\n{server}\n"
            f"location /ws/ {{\n{location}\n}}\n}}",
        }

    @property
    def config(self) -> Config:
        """The files as nginx reads them."""
        return Config("".join(f"# configuration file {path}:\n{text}\n" for path, text in self.files.items()))

    def route(self) -> dict[str, Any]:
        """What becomes of a handshake with a header that has an underscore."""
        headers = [("Host", "app.example.org"), ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("api_key", "x")]
        found = self.config.route("app.example.org", 443, PATH, headers, exists=lambda _path: False)
        assert found
        return found

    def apply(self, fix: str) -> None:
        """Do what a fix says."""
        what = fix.partition("; or keep it off the WebSocket path, in ")[2]
        change = fixes.change_of(f"In {what}" if what else fix)
        assert change, f"nobody could do this: {fix}"
        path, line, text, remove = change
        self.files[path] = "\n".join(fixes.edited(self.files[path].split("\n"), line, text, remove))


@pytest.mark.parametrize(("code", "server", "location", "seen", "holds"), LINES, ids=[each[0] for each in LINES])
def test_lines_for_nginx(
    code: str, server: str, location: str, seen: dict[str, Any], holds: Callable[[Config, dict[str, Any]], bool]
) -> None:
    files = Files(server, location)

    def report(**more: Any) -> dict[str, Any]:
        return judged(**{"host__nginx__route": look.harmless(files.route()), **more})

    found = report(**seen)
    finding = found["finding"] or found["noticed"][0]
    assert finding["code"] == code, finding
    assert not holds(files.config, files.route())
    files.apply(finding["fix"])
    assert holds(files.config, files.route()), files.files
    whole = "".join(files.files.values())
    once = re.findall(
        r"^(proxy_read_timeout|large_client_header_buffers|auth_request|worker_connections) ", whole, re.M
    )
    assert len(once) == len(set(once)) or (code, server != "") == ("E601_IDLE_PROXY", True), (
        "nginx refuses a second one"
    )
    asked = {"asked": {"headers": ["api_key"], "subprotocols": []}} if "asked" in seen else {}
    assert report(**asked)["ok"] and report(**asked)["noticed"] == []


# --- Apache, HAProxy and Caddy, as their own configuration says

RULES = 'ProxyPass "/" "http://127.0.0.1:8001/"'
MODULES = {"proxy", "proxy_http", "proxy_wstunnel", "rewrite"}
#: A code, the rules in the virtual host, what else there is, and Apache's version and modules.
APACHE: list[tuple[str, str, dict[str, Any], str, set[str]]] = [
    ("E361_APACHE_UPGRADE", RULES, {}, "2.4.62", MODULES),
    ("E361_APACHE_UPGRADE", RULES, {}, "2.4.38", MODULES - {"proxy_wstunnel"}),
    ("E361_APACHE_UPGRADE", "<Location /ws/>\nProxyPass http://127.0.0.1:8001/ws/\n</Location>", {}, "2.4.62", MODULES),
    ("E361_APACHE_UPGRADE", "RewriteEngine on\nRewriteRule ^/(.*)$ http://127.0.0.1:8001/$1 [P]", {}, "2.4.62",
     MODULES),
    ("E362_APACHE_ORDER", f"{RULES}\nProxyPass /ws/ ws://127.0.0.1:8001/ws/", {}, "2.4.62", MODULES),
    ("E363_APACHE_MODULE", "ProxyPass /ws/ ws://127.0.0.1:8001/ws/", {"status": 500}, "2.4.62",
     MODULES - {"proxy_wstunnel"}),
    ("E365_FRONT_NO_RULE", "DocumentRoot /var/www", {}, "2.4.62", MODULES),
    ("E366_FRONT_ELSEWHERE", "ProxyPass /ws/ ws://127.0.0.1:7/ws/", {"status": 503}, "2.4.62", MODULES),
    ("E370_APACHE_PATH", "ProxyPass /ws/ ws://127.0.0.1:8001/", {"status": 500}, "2.4.62", MODULES),
    ("E370_APACHE_PATH", "RewriteEngine on\nRewriteRule ^/ws/(.*)$ ws://127.0.0.1:8001/$1 [P]", {"status": 500},
     "2.4.62", MODULES),
]  # fmt: skip


def rewritten(lines: list[str], fix: str) -> list[str]:
    """The lines of a file of Apache's, HAProxy's or Caddy's after what a fix says, in the order in which it says it."""
    if found := re.match(r"Move the line \S+:(\d+) above \S+:(\d+);", fix):
        moved, place = int(found[1]) - 1, int(found[2]) - 1
        return [*lines[:place], lines[moved], *lines[place:moved], *lines[moved + 1 :]]
    if found := re.match(r"a2enmod (\w+) &&", fix):
        return [*lines, f"LoadModule {found[1]}_module x"]
    found = re.match(r"In [^\s:]+(?::(\d+))?(?: \(.*?\))?: (.*?)(?:; then (?:a2enmod (\w+) && )?systemctl .*)?$", fix)
    assert found, f"nobody could do this: {fix}"
    at, what = int(found[1] or 1) - 1, found[2]
    module = [f"LoadModule {found[3]}_module x"] if found[3] else []
    if swap := re.match(r"(\S+) in place of (\S+)$", what):
        return [*lines[:at], lines[at].replace(swap[2], swap[1]), *lines[at + 1 :]]
    what, how = re.match(r"(.*?)(?:, (in place of it(?: or above it)?|as two lines .*))?$", what).groups()  # type: ignore[union-attr]
    kept = lines[at + 1 :] if how and how.startswith("in place") else lines[at:]
    if how is None:  # a new rule within what the place names
        return [*lines[: at + 1], f"  {what}", *lines[at + 1 :]]
    return [*lines[:at], *what.replace("[NC] Rewrite", "[NC]\nRewrite").split("\n"), *kept, *module]


@pytest.mark.parametrize(("code", "rules", "answer", "version", "modules"), APACHE)
def test_lines_for_apache(
    code: str, rules: str, answer: dict[str, Any], version: str, modules: set[str], tmp_path: Path
) -> None:
    loaded = "".join(f"LoadModule {each}_module x\n" for each in sorted(modules))
    file = tmp_path / "apache2.conf"
    file.write_text(f"{loaded}<VirtualHost *:80>\n{rules}\n</VirtualHost>\n")

    def way() -> dict[str, Any]:
        return apache.way(apache.read(str(file), str(tmp_path)), "app.example.org", 80, PATH, version)

    def report(came_through: dict[str, Any]) -> dict[str, Any]:
        upstream = [{"address": f"tcp:{each}", "listening": each == "127.0.0.1:8001"} for each in way()["upstream"]]
        return judged(**front_is("Apache", came_through, **way()) | {"host__upstream": upstream})

    found = report(answer or PLAIN)
    assert found["verdict"] == code, found
    file.write_text("\n".join(rewritten(file.read_text().splitlines(), found["finding"]["fix"])) + "\n")
    now = way()
    assert (now["upgrade"], now["upstream"], now["asked"]) == (True, ["127.0.0.1:8001"], PATH), file.read_text()
    assert now["scheme"] == "http" or "proxy_wstunnel" in now["modules"]
    assert not re.search(r"<Location[^>]*>\s+ProxyPass \"?/", file.read_text()), "Apache refuses a path there"
    assert report({})["ok"]


BALANCER = (
    "defaults\n  mode http\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s\nfrontend f\n"
    "  bind 127.0.0.1:443\n  default_backend app\nbackend app\n  server a 127.0.0.1:{}\n"
)
CADDYFILE = "app.example.org {\n  reverse_proxy /api/* 127.0.0.1:1\n}\n"


@pytest.mark.parametrize(("code", "port", "tunnel", "answer"), [
    ("E364_TUNNEL_TIMEOUT", 8001, "", {"close": {"code": 1006, "reason": "", "at": 10.0}}),
    ("E364_TUNNEL_TIMEOUT", 8001, "  timeout tunnel 9s\n", {"close": {"code": 1006, "reason": "", "at": 9.0}}),
    ("W364_TUNNEL_TIMEOUT", 8001, "", {}), ("E366_FRONT_ELSEWHERE", 7, "  timeout tunnel 1h\n", {"status": 503}),
])  # fmt: skip
def test_lines_for_haproxy(code: str, port: int, tunnel: str, answer: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(BALANCER.format(port) + tunnel)

    def report(came_through: dict[str, Any]) -> dict[str, Any]:
        way = haproxy_config.way(file.read_text(), str(file), "app.example.org", 443, PATH)
        upstream = [{"address": f"tcp:{each}", "listening": each == "127.0.0.1:8001"} for each in way["upstream"]]
        return judged(**front_is("HAProxy", came_through, **way) | {"host__upstream": upstream})

    found = report(answer)
    finding = found["finding"] or found["noticed"][0]
    assert finding["code"] == code, found
    fix, lines = finding["fix"], file.read_text().splitlines()
    if present := re.match(r"In \S+:(\d+) in place of the present timeout tunnel: (timeout tunnel \w+);", fix):
        lines[int(present[1]) - 1] = f"  {present[2]}"
    elif "server" in fix.partition(": ")[2] or "in place of" in fix:
        lines = [line.replace("127.0.0.1:7", "127.0.0.1:8001") for line in lines]
        assert "127.0.0.1:8001 in place of 127.0.0.1:7" in fix
    else:
        lines = rewritten(lines, fix)
    file.write_text("\n".join(lines) + "\n")
    assert report({})["ok"] and report({})["noticed"] == []
    if shutil.which("haproxy"):
        subprocess.run(["haproxy", "-c", "-f", str(file)], check=True, capture_output=True)


def test_lines_for_caddy() -> None:
    def report(came_through: dict[str, Any]) -> dict[str, Any]:
        return judged(**front_is("Caddy", came_through, **fronts.caddy(text, PATH)))

    text = CADDYFILE
    found = report(PLAIN)
    assert found["verdict"] == "E365_FRONT_NO_RULE", found
    text = "\n".join(rewritten(text.splitlines(), found["finding"]["fix"]))
    assert fronts.caddy(text, PATH)["upstream"] == ["127.0.0.1:8001"] and report({})["ok"]


# --- settings


def page_of(settings: dict[str, Any], origin: str) -> dict[str, Any]:
    """What Django makes of a page at an origin with some settings, asked as the probe asks a project."""
    program = (
        "import json, sys; from django.conf import settings; settings.configure(**json.loads(sys.argv[1]))\n"
        "import importlib.util as u; spec = u.spec_from_file_location('probe', sys.argv[2])\n"
        "probe = u.module_from_spec(spec); spec.loader.exec_module(probe)\n"
        "print(json.dumps(probe.page(sys.argv[3])))"
    )
    middleware = [f"django.middleware.{each}" for each in ("security.SecurityMiddleware", "csrf.CsrfViewMiddleware")]
    given = {"ALLOWED_HOSTS": ["*"], "SECRET_KEY": "x", **settings,
             "MIDDLEWARE": [*middleware, "django.contrib.sessions.middleware.SessionMiddleware"]}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program, json.dumps(given), probe.__file__, origin],
                          capture_output=True, text=True, check=True)  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


SECURE = {"SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"], "SESSION_COOKIE_SECURE": True}


@pytest.mark.parametrize(("code", "settings", "origin"), [
    ("E417_HTTPS_LOOP", {"SECURE_SSL_REDIRECT": True, "SESSION_COOKIE_SECURE": True}, "https://app.example.org"),
    ("W417_HTTPS_UNKNOWN", {"SESSION_COOKIE_SECURE": True}, "https://app.example.org"),
    ("W420_SESSION_EXPOSED", {**SECURE, "SESSION_COOKIE_SECURE": False}, "https://app.example.org"),
    ("E418_HTTPS_MISSING", {"SECURE_SSL_REDIRECT": True}, "http://app.example.org"),
])  # fmt: skip
def test_lines_for_the_settings_of_pages(code: str, settings: dict[str, Any], origin: str) -> None:
    if code in ("E417_HTTPS_LOOP", "W417_HTTPS_UNKNOWN"):
        settings = {**settings}
        said = page_of(settings, origin) | {"secure": False}  # a request of a proxy's is plain HTTP
    else:
        said = page_of(settings, origin)
    found = judged(host__project__page=said)
    finding = found["finding"] or found["noticed"][0]
    assert finding["code"] == code, found
    line = next(each for each in re.split(r"; or | in the settings| until", finding["fix"]) if " = " in each)
    given: dict[str, Any] = {}
    exec(line, given)  # as Django would
    given.pop("__builtins__")
    told = page_of({**settings, **given}, origin)
    assert list(https.judge(told)) == [], (line, told)


def test_a_line_for_trusted_origins() -> None:
    said = {"origin": "https://app.example.org", "secure": True, "host": "inner", "csrf": True, "redirects": False,
            "trusted": [], "cookies": {}}  # fmt: skip
    (noticed,) = judged(host__project__page=said)["noticed"]
    given: dict[str, Any] = {}
    exec(noticed["fix"].removesuffix(" in the settings"), given)
    assert noticed["code"] == "W419_CSRF_ORIGIN"
    assert list(https.judge({**said, "trusted": given["CSRF_TRUSTED_ORIGINS"]})) == []


def case_of(code: str) -> dict[str, Any]:
    """The finding of the first case that the neighbours have for a code."""
    known = [(each, changes) for each, changes, _ in (*CASES, *FRONTS, *UNSEEN)]
    return judged(**next(changes for each, changes in known if each == code))["finding"]  # type: ignore[no-any-return]


def test_lines_for_the_channel_layer() -> None:
    """Each leads to an address as the layer parses it, or to a class that is there."""
    given: dict[str, Any] = {}
    exec(case_of("E543_NO_LAYER")["fix"].partition(": ")[2], given)
    layer = given["CHANNEL_LAYERS"]["default"]
    module, _, name = layer["BACKEND"].rpartition(".")
    assert hasattr(importlib.import_module(module), name)
    assert probe.parsed(layer["CONFIG"]["hosts"][0])["host"] == "127.0.0.1"
    backend = re.search(r'"BACKEND": "([\w.]+)\.(\w+)"', case_of("E541_LAYER_BACKEND")["fix"])
    assert backend and hasattr(importlib.import_module(backend[1]), backend[2])
    (host,) = json.loads(case_of("E534_LAYER_HOST")["fix"].partition('"hosts": ')[2])
    assert (probe.parsed(host)["host"], probe.parsed(host)["port"]) == ("127.0.0.1", 6379)
    config = {"address": "redis://127.0.0.1:6379", "ssl_cert_reqs": None}
    option = re.search(r"remove (\w+);", case_of("E531_LAYER_TLS_OPTIONS")["fix"])
    assert option and config.pop(option[1], "") is None and probe.parsed(config)["options"] == []
    for code, address, scheme in (
        ("E532_LAYER_TLS", "rediss://h:1", "redis"), ("E533_REDIS_WANTS_TLS", "redis://h:1", "rediss"),
        ("E536_REDIS_ELSEWHERE", "redis://127.0.0.1:6380", "redis"),
    ):  # fmt: skip
        right = re.search(r": (\S+) in place of ([^\s;]+)", case_of(code)["fix"])
        assert right
        parsed = probe.parsed(address.replace(right[2], right[1]))
        assert parsed["scheme"] == scheme and parsed["port"] == (6379 if "6380" in address else 1)


@pytest.mark.parametrize(("code", "line"), [
    ("W506_REDIS_EVICTS", "maxmemory 1mb\nmaxmemory-policy allkeys-lru\n"), ("W511_REDIS_TIMEOUT", "timeout 30\n"),
])  # fmt: skip
def test_lines_for_redis(code: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "redis.conf"
    file.write_text(line)
    monkeypatch.setattr(host_redis.os.path, "exists", lambda _path: True)
    monkeypatch.setattr(raw, "read", lambda *_given: file.read_text())
    monkeypatch.setattr(raw, "output", lambda *_words: "")

    def noticed() -> list[dict[str, Any]]:
        return judged(host__redis=host_redis.redis() | {"running": True})["noticed"]  # type: ignore[no-any-return]

    (found,) = noticed()
    right = re.match(r"((\S+) \S+) in /etc/redis/redis\.conf, then systemctl", found["fix"])
    assert found["code"] == code and right
    file.write_text(re.sub(rf"^{right[2]} .*", right[1], file.read_text(), flags=re.M))
    assert noticed() == []


# --- commands

#: A code, what was seen, and what the commands of its fix do: the programs that they start, in their order.
CHANGED = {"host__exchanges": [came("proxy", status=502)], "outside__0": came("outside", status=502)}
SUPERVISED = {"host__units": [], "host__programs": [{"program": "chat", "state": "STOPPED", "text": "", "pid": 0}]}
COMMANDS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("E032_CERT_NOT_SERVED", {"host__certificate": certificate(served=False)},
     ["nginx -t", "systemctl reload nginx"]),
    ("E033_RENEWAL_OFF", {"host__certificate": certificate(active=False), "host__manager": "systemd"},
     ["systemctl enable --now channels-certificates.timer"]),
    ("E308_PROXY_DOWN", {"host__nginx__running": False, "host__exchanges__1": came("proxy", stage="tcp", status=0),
                         **TCP_REFUSED}, ["nginx -t", "systemctl start nginx"]),
    ("E349_NOT_RELOADED", STACKS["no reload"][0], ["nginx -t", "systemctl reload nginx"]),
    ("E104_NOT_RUNNING", {**DEAD, "host__units": [unit("0", "", "success")["host__units"][0] | {
        "state": "inactive", "restarts": 0, "setup": {}}]}, ["systemctl start chat.service"]),
    ("E104_NOT_RUNNING", {**DEAD, **SUPERVISED}, ["supervisorctl start chat"]),
    ("E107_STALE_SOCKET", {**DEAD, **SUPERVISED, "host__leftovers": ["/run/a.sock"]}, ["supervisorctl start chat"]),
    ("E369_FRONT_DOWN", next(changes for code, changes, _ in FRONTS if code == "E369_FRONT_DOWN"),
     ["apache2ctl configtest", "systemctl start apache2"]),
    ("E125_UNIT_NOT_RELOADED", next(changes for code, changes, _ in UNSEEN if code == "E125_UNIT_NOT_RELOADED"),
     ["systemctl daemon-reload", "systemctl restart app.service"]),
    ("E151_SUPERVISORD_DOWN", next(changes for code, changes, _ in FRONTS if code == "E151_SUPERVISORD_DOWN"),
     ["systemctl start supervisor"]),
    ("E501_REDIS_DOWN", {**everywhere(status=500), "host__project__layer_error":
                         "ConnectionError: Error 111 connecting to 127.0.0.1:6379"}, ["systemctl start redis-server"]),
    ("E358_SITE_NOT_ENABLED", STACKS["a site without its link"][0],
     ["ln -s /etc/nginx/sites-available/chat /etc/nginx/sites-enabled/", "nginx -t", "systemctl reload nginx"]),
    ("E445_MIGRATIONS", next(changes for code, changes, _ in CASES if code == "E445_MIGRATIONS"),
     ["python manage.py migrate"]),
    ("E124_UNIT_CANNOT_START", unit("200", CHDIR, closed="/home/deploy"), ["chmod o+x /home/deploy"]),
    ("E906_NO_LIBRARY", {}, ["apt-get install python3-wsproto"]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "seen", "expected"), COMMANDS, ids=[each[0] for each in COMMANDS])
def test_commands_are_such_as_a_shell_runs(code: str, seen: Any, expected: list[str], tmp_path: Path) -> None:
    """The printed text up to its first word for people, in a shell whose programs note that they were called."""
    if "url" in seen:
        from ansible_collections.channels.stack.plugins.module_utils.doctor.diagnosis import diagnose

        report = diagnose(seen)
    else:
        report = judged(**seen)
    finding = report["finding"] if not code.startswith("E906") else {"code": code, "fix": CATALOGUE[code].fix}
    assert finding and finding["code"] == code, finding
    told = re.sub(r"^(Start the process, which replaces the file|In the project's folder and environment): ", "",
                  finding["fix"])  # fmt: skip
    command = re.split(r"; (?:then|on an edge|or)\b", told)[0]
    notes = tmp_path / "called"
    for name in {each.split()[0] for each in expected}:
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {notes}\n')
        (tmp_path / name).chmod(0o755)
    subprocess.run(["/bin/sh", "-e", "-c", command], check=True, env={"PATH": str(tmp_path)})
    assert notes.read_text().splitlines() == expected


# --- a host of this bundle, and its edges


@pytest.mark.parametrize("code", MENDS)
def test_what_a_code_has_for_a_host_of_the_bundle_is_there(code: str) -> None:
    """The playbook, and each variable; a role that installs what is missing."""
    mend = MENDS[code]
    program, name, *rest = shlex.split(mend.command)
    assert program == "ansible-playbook" and (ROOT / name).is_file() and not rest
    told = [judged(**seen) for each, seen, _ in COMMANDS if each == code and "url" not in seen and seen]
    assert all(each["finding"]["commands"] == [] for each in told), "a stranger's host has no inventory"


def test_a_bundle_without_a_release_is_deployed_by_the_printed_playbook() -> None:
    missing = {"host__missing": "/srv/app", "host__servers": [], "host__exchanges": []}
    finding = judged(**missing)["finding"]
    assert finding["code"] == "E117_NOT_DEPLOYED" and finding["fix"] == finding["commands"][0]
    plays = yaml.safe_load((ROOT / finding["fix"].split()[1]).read_text())
    assert any("deploy" in str(each) for each in plays)
    assert "python3-wsproto" in "".join(path.read_text() for path in (ROOT / "roles").glob("*/vars/*.yml")) + "".join(
        path.read_text() for path in (ROOT / "roles").glob("*/defaults/*.yml")
    ), "E906 is mended by a run"


def test_an_edge_that_is_down_is_started_by_what_is_printed(tmp_path: Path) -> None:
    finding = edge_judged(**DOWN)["finding"]
    assert finding["code"] == "E321_EDGE_DOWN"
    command = finding["fix"].partition(": ")[2].partition(";")[0]
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho $* > $0.called\n")
    (tmp_path / "systemctl").chmod(0o755)
    subprocess.run(["/bin/sh", "-c", command], check=True, env={"PATH": str(tmp_path) + os.pathsep + "/bin"})
    assert (tmp_path / "systemctl.called").read_text() == "start haproxy\n" and edge_judged()["ok"]
