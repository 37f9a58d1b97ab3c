"""Reports that are shared: no name and no address of the case is left, and what tells nothing stays."""

from __future__ import annotations

import copy
import json
import re
import string
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.channels.stack.plugins.action import doctor_report
from ansible_collections.channels.stack.plugins.module_utils.doctor import controller, sharing
from ansible_collections.channels.stack.plugins.module_utils.doctor.diagnosis import diagnose
from ansible_collections.channels.stack.plugins.module_utils.doctor.page import lines, page, plain
from ansible_collections.channels.stack.plugins.module_utils.text.common_names import COMMON
from ansible_collections.channels.stack.plugins.module_utils.text.masks import Masks
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_doctor import BUNDLE, NOTICED, RECORDED, at, healthy

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{1,10}[a-z0-9])", fullmatch=True).filter(
    lambda name: "--" not in name and not any(part in COMMON for part in re.split("-", name))
)
ENDS = st.sampled_from(["com", "org", "co.uk", "de", "internal", "example", "dev", "io", "local"])
DOMAIN = st.builds(lambda name, end: f"{name}.{end}", LABEL, ENDS)
V4 = st.ip_addresses(v=4).filter(lambda each: not (each.is_loopback or each.is_unspecified)).map(str)
V6: st.SearchStrategy[str] = st.ip_addresses(v=6).map(str).filter(lambda each: not each.startswith("::"))
AROUND = st.text(st.sampled_from(string.punctuation.replace("%", "") + " \n\t»“…"), max_size=3).filter(
    lambda each: "::" not in each
)


def left(name: str, text: str) -> bool:
    """Whether a name stands somewhere by itself, in whatever case."""
    return re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text, re.IGNORECASE) is not None


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(LABEL, LABEL, LABEL, DOMAIN, V4, V6, AROUND, AROUND)
def test_no_punctuation_hides_a_name(
    host: str, project: str, user: str, domain: str, v4: str, v6: str, before: str, after: str
) -> None:
    """Each name has one mask, wherever it stands, written in capitals too, and after an escape."""
    site = f"{host}.{domain}"
    words = (host, project, user, domain)
    # Names that are a part of one another cannot be told apart.
    assume(len(set(words)) == 4 and not any(
        one in re.split(r"[-.]", two) or f"-{one}-" in f"-{two}-" for one in words for two in words if one is not two
    ))  # fmt: skip
    masks = Masks()
    for kind, name in (("host", host), ("project", project), ("user", user), ("place", site)):
        masks.learn(kind, name)
    for name in (host, project, user, site, domain, v4):
        assume(not (name == v4 and (re.search(r"[\d.]$", before) or re.match(r"\.\d", after))))
        alone = masks.mask(name)
        assert alone != name and not left(name, alone), (name, alone)
        for text in (before + name + after, before + name.upper() + after, f"%2F{name}%3A", f"\\n{name}\\n"):
            shown = masks.mask(text)
            assert not left(name, shown), (text, shown)
            assert alone in shown, (text, shown, alone)
    assume(not re.search(r"[:.]$", before) and not re.match(r"[:.%]", after))
    assert masks.mask(f"{before}{v6}{after}") == f"{before}{masks.mask(v6)}{after}"
    assert masks.mask(f"[{v6.upper()}]:443") == f"[{masks.mask(v6)}]:443"


@pytest.mark.parametrize("text", [
    "The app proxy of the app: HTTP 101 (server: daphne), 127.0.0.1:8000, [::1], 0.0.0.0, localhost:8001",
    "E301_UPGRADE_LOST at 12:30:45, core.asgi:application, channels_redis.core.RedisChannelLayer, logger.info",
    "nginx/1.22.1, daphne 4.2.3, OpenSSL 3.0.15, https://foreign.invalid, systemctl restart nginx, /etc/nginx/a.conf:5",
    "proxy_set_header Upgrade $http_upgrade; proxy_pass http://127.0.0.1:9001; map $http_upgrade $up { '' close; }",
    "/srv/app/live/env, /run/app/app.sock, app-daphne@1.service, ModuleNotFoundError: No module named 'core.azgi'",
    "redis://channels:***@127.0.0.1:6379/0, O=Let's Encrypt, a user without a token, threading.local, self.id",
    "from outside (localhost:80): HTTP 502 (server: cloudflare), /var/log/nginx/error.log, consumers.py:88, pid: 1234",
])  # fmt: skip
def test_words_that_tell_nothing_stay(text: str) -> None:
    masks = Masks()
    for kind, name in (("project", "app"), ("user", "root"), ("host", "web"), ("user", "www-data"), ("host", "db")):
        masks.learn(kind, name)
    masks.learn_all([text])
    assert masks.mask(text) == text


@pytest.mark.parametrize(("text", "shown"), [
    ('*5 connect() failed, client: 203.0.113.9, server: chat.acme.dev, upstream: "http://10.0.0.7:9001/", '
     'host: "chat.acme.dev"',
     '*5 connect() failed, client: address-2, server: host-1.domain-1, upstream: "http://address-1:9001/", '
     'host: "host-1.domain-1"'),
    ("Error -2 connecting to redis-eu:6379. redis-eu", "Error -2 connecting to host-1:6379. host-1"),
    ('connection to server at "pg-7" (10.1.2.3), port 5432 failed: FATAL: authentication failed for user "zoe"',
     'connection to server at "host-1" (address-1), port 5432 failed: FATAL: authentication failed for user '
     '"user-1"'),
    ("/home/zoe/shopzilla/venv/bin/daphne -u /run/shopzilla/1.sock; class ShopzillaConsumer, shopzilla_ws",
     "/home/user-1/project-1/venv/bin/daphne -u /run/project-1/1.sock; class project-1Consumer, project-1_ws"),
    ("zoe@mail.acme.org of *.acme.org and ACME.ORG; CN=Acme Root CA,O=Acme Ltd",
     "user-1@host-1.domain-1 of *.domain-1 and domain-1; CN=party-1,O=party-2"),
    ("[::ffff:10.0.0.5]:80 is 10.0.0.5, ip-10-0-0-5; FE80::1 is fe80::0:1",
     "[address-1]:80 is address-1, ip-address-1; address-2 is address-2"),
    ("a long excerpt that was cut after many characters, http://10.0.0.7/, at zoeticbird.example.org, zoeticbird.exa",
     "a long excerpt that was cut after many characters, http://address-1/, at host-1.domain-1, host-1.domain-1"),
    ("\x1b[31mzoeticbird.example.org\x1b[0m", "host-1.domain-1"),
    ("/etc/nginx/sites-enabled/www.acme.com.conf:12, www.acme.com.access.log",
     "/etc/nginx/sites-enabled/host-1.domain-1.conf:12, host-1.domain-1.access.log"),
])  # fmt: skip
def test_what_a_text_itself_names_is_masked(text: str, shown: str) -> None:
    masks = Masks()
    masks.learn_all([text])
    assert masks.mask(text) == shown


# --- whole reports

NAMES = ("cassowary", "quokka.dev", "bandicoot", "numbat", "203.0.113.77", "2001:db8::77", "potoroo", "wombat-7")


def telling(evidence: dict[str, Any]) -> dict[str, Any]:
    """The evidence of a case, whose hosts, addresses, user and project have names of their own."""
    text = json.dumps(evidence)
    for old, new in (("app.example.org", "chat.quokka.dev"), ('"app-1"', '"wombat-7"'), ("/opt/app", "/opt/bandicoot"),
                     ('"user": "app"', '"user": "numbat"'), ("/run/app", "/run/bandicoot"),
                     ("app.service", "bandicoot.service"),
                     ("sites-enabled/app", "sites-enabled/bandicoot"), ("core.asgi", "bandicoot.asgi"),
                     ('"127.0.0.1:6379/0"', '"potoroo:6379/0"'), ("10.0.0.10", "203.0.113.77")):  # fmt: skip
        text = text.replace(old, new)
    made: dict[str, Any] = json.loads(text)
    if made.get("host"):
        made["host"].setdefault("log", []).extend([
            "Error 111 connecting to potoroo:6379. Connection refused.", "client: [2001:db8::77]:4711",
            "File /home/numbat/cassowary/chat.py: BandicootConsumer of chat.quokka.dev, www.quokka.dev (203.0.113.77)",
        ])  # fmt: skip
    return made


def cases() -> dict[str, dict[str, Any]]:
    """The recorded cases."""
    made = {}
    for code, changes in {**{code: changes for code, (changes, _) in RECORDED.items()}, **NOTICED}.items():
        made[code] = copy.deepcopy(healthy())
        for path, value in changes.items():
            at(made[code], path.replace("__", "."), value)
    return made


@pytest.mark.parametrize("code", cases())
def test_no_report_of_a_case_has_a_name_of_it(code: str) -> None:
    """Neither the data, nor the page, nor the text; the verdict and its fix are the same but for the names."""
    evidence = telling(cases()[code])
    report = {"schema": 1, "name": "wombat-7", "url": evidence["url"], "at": "now", **diagnose(evidence),
              "versions": {}, "evidence": evidence}  # fmt: skip
    whole = controller.masked(report, [])
    masks = sharing.masks_of(whole, [("host", "wombat-7"), ("project", "bandicoot")])
    shared = masks.mask(whole)
    for text in (json.dumps(shared), page(shared), "\n".join(lines(shared, plain))):
        assert [name for name in NAMES if name in text.lower()] == []
    assert shared["verdict"] == report["verdict"] and shared["hops"][0]["state"] == report["hops"][0]["state"]
    assert shared["name"] == "host-1" and page(shared).count("<section") == page(whole).count("<section")
    assert [set(each) for each in shared["noticed"]] == [set(each) for each in whole["noticed"]]
    assert [each["title"] for each in shared["noticed"]] == [each["title"] for each in whole["noticed"]]


def test_a_shared_report_is_written_under_the_mask(tmp_path: Path) -> None:
    """Numbers follow the inventory, so that two hosts' reports agree; the usual report is left as it is."""
    evidence = telling(healthy())["host"]
    variables = {
        "groups": {"all": ["numbat", "wombat-7"]}, "hostvars": {
            "numbat": {"ansible_host": "203.0.113.1"},
            "wombat-7": {"ansible_host": "203.0.113.77", "release_app": "bandicoot"},
        },
    }  # fmt: skip
    task = SimpleNamespace(check_mode=False, async_val=0, args={
        "name": "wombat-7", "url": "ws://127.0.0.1:1/ws/bandicoot/", "report": str(tmp_path / "wombat-7.json"),
        "share": True,
        "collected": {"evidence": {**evidence, "bundle": {**BUNDLE, "app": "bandicoot"}}, "token": ""}, "timeout": 1,
        "idle_seconds": 0, "connect_to": "",
    })  # fmt: skip
    made = doctor_report.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    made._connection = MagicMock()
    returned = made.run(task_vars=variables)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["host-2.html", "host-2.json", "host-2.txt"]
    for each in tmp_path.iterdir():
        assert [name for name in NAMES if name in each.read_text().lower()] == [], each.name
    assert (
        "address-2" in (tmp_path / "host-2.json").read_text()
        and "/ws/project-1/" in (tmp_path / "host-2.txt").read_text()
    )
    assert (tmp_path / "host-2.txt").read_text().splitlines() == returned["lines"]
