"""The lines that the doctor prints, written into nginx's file as an operator would: the stack is sound then.

nginx is read by its own rules and daphne answers as it does; molecule/doctor has some of these on real ones.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor.diagnosis import diagnose
from test_doctor import came
from test_doctor_stacks import CLOSED, DAPHNE, GOOD, HOST, PORT, SITE, STACKS, UP, evidence_of, on_port, ws

SOURCE = Path(__file__).resolve().parents[2] / "molecule" / "doctor" / "tests" / "lines_of_fixes.py"
_spec = importlib.util.spec_from_file_location("lines_of_fixes", SOURCE)
assert _spec and _spec.loader
fixes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fixes)

TO_DAPHNE = f"proxy_pass http://{DAPHNE};"
OTHER_NAME = f"server {{ listen {PORT}; server_name chat.example.org; {ws(GOOD)} }}"
#: What only an examination would have seen, for fixes that need it.
REPLAYED = {"host__nginx__replay": {"whole": came("replay"), "trials": [], "causes": [], "mended": False}}
#: A code, the body of the site, what else is in its file, and more that was seen.
BROKEN: list[tuple[str, str, str, dict[str, Any]]] = [
    ("E340_PATH_CHANGED", ws(f"proxy_pass http://{DAPHNE}/; {UP}"), "", {}),
    ("E340_PATH_CHANGED", ws(f"rewrite ^/ws/(.*)$ /$1 break; {GOOD}"), "", {}),
    ("E340_PATH_CHANGED", f"location /ws {{ proxy_pass http://{DAPHNE}/ws/; {UP} }}", "", {}),
    ("E341_TLS_TO_PLAIN", ws(f"proxy_pass https://{DAPHNE}; {UP}"), "", {}),
    ("E342_PLAIN_TO_TLS", ws(GOOD), "", {"tls": True}),
    ("E343_OTHER_PROTOCOL", ws(f"uwsgi_pass {DAPHNE};"), "", {}),
    ("E343_OTHER_PROTOCOL", ws(f"fastcgi_pass {DAPHNE}; {UP}"), "", {}),
    ("E346_HEADERS_NOT_INHERITED",
     f"location / {{ {GOOD} location /ws/ {{ proxy_set_header Host $host; {TO_DAPHNE} }} }}", "", {}),
    ("E301_UPGRADE_LOST", ws(TO_DAPHNE), "", {}),
    ("E301_UPGRADE_LOST", ws(GOOD.replace("proxy_set_header Upgrade $http_upgrade; ", "")), "", {}),
    ("E302_CONNECTION_LOST", ws(GOOD.replace("proxy_set_header Connection $up; ", "")), "", {}),
    ("E303_HTTP10", ws(GOOD.replace("proxy_http_version 1.1; ", "")), "", {}),
    ("E347_HEADER_CHANGED", ws(f'{GOOD} proxy_set_header Origin "";'), "", {}),
    ("E347_HEADER_CHANGED", ws(f"{GOOD} proxy_pass_request_headers off;"), "", {}),
    ("E348_OTHER_SERVER_BLOCK", "return 404;", OTHER_NAME, {"host__nginx__other_name": came("proxy")}),
    ("E348_OTHER_SERVER_BLOCK", f"server_name {HOST}; return 404;", OTHER_NAME.replace("chat.example.org", HOST),
     {"host__nginx__warnings": [f'conflicting server name "{HOST}" on 0.0.0.0:{PORT}, ignored']}),
    ("E310_PROXY_REFUSES", f"deny all; {ws(GOOD)}", "", on_port(status=403) | REPLAYED),
    ("E310_PROXY_REFUSES", f'auth_basic "x"; {ws(GOOD)}', "", on_port(status=401)),
    ("E313_PATH_NOT_PROXIED", f"location ~ chat {{ try_files $uri =404; }} {ws(GOOD)}", "", {}),
    ("E313_PATH_NOT_PROXIED", f"location = /ws/chat/ {{ root /var/www; }} {ws(GOOD)}", "", {}),
    ("E313_PATH_NOT_PROXIED", f"location ~ ^/ws {{ internal; {GOOD} }}", "", {}),
    ("E354_RULE_ANSWERS", f"location = /ws/chat/ {{ return 404; }} {ws(GOOD)}", "", {}),
    ("E354_RULE_ANSWERS", f"if ($http_origin !~ ^https://www) {{ return 403; }} {ws(GOOD)}", "", {}),
    ("E354_RULE_ANSWERS", f"if ($invalid_referer) {{ return 403; }} {ws(GOOD)}", "", on_port(status=403) | REPLAYED),
    ("E354_RULE_ANSWERS", f"return 444; {ws(GOOD)}", "", on_port(**CLOSED)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "body", "more", "seen"), BROKEN, ids=[f"{n}-{each[0]}" for n, each in enumerate(BROKEN)]
)
def test_the_printed_lines_mend_the_stack(code: str, body: str, more: str, seen: dict[str, Any]) -> None:
    """With what the fix says at the line that it names, nothing is broken, and no other error is told."""
    # A directive on each line, as people write them.
    text = re.sub(r"(?<=[;{}])\s+", "\n", f"server {{ listen {PORT};\n{body}\n}}\n{more}\n")
    report = diagnose(evidence_of(text, **seen))
    assert report["verdict"] == code, report
    change = fixes.change_of(report["finding"]["fix"])
    assert change, f"nobody could do this: {report['finding']['fix']}"
    file, at, what, remove = change
    assert file == SITE
    mended = "\n".join(fixes.edited(text.split("\n"), at, what, remove))
    assert mended != text
    after = diagnose(evidence_of(mended, seen.get("tls", False)))
    assert after["ok"] and not [each for each in after["noticed"] if each["severity"] == "error"], (mended, after)


#: Codes with lines for nginx that this file does not try, and why not.
UNTRIED = {
    "E344_LISTEN_HTTP2": "molecule/doctor/tests/test_effective.py mends a real one",
    "E345_LISTEN_PROXY_PROTOCOL": "molecule/doctor/tests/test_effective.py mends a real one",
    "E350_PROXY_FULL": "a limit shows under load only",
    "E352_UPSTREAM_NAME": "the address to write is not known",
    "E355_CLIENT_CERT": "TLS is not in these stacks",
    "E356_PROXY_LOOP": "the server behind answers for every address here",
    "E357_ANSWER_CHANGED": "answers do not go through these stacks",
}


def test_every_code_with_lines_for_nginx_is_tried() -> None:
    printed = {code for evidence, code, _ in STACKS.values()
               if re.match("(In|Remove) .*/", diagnose(evidence)["finding"]["fix"])}  # fmt: skip
    assert printed - {each[0] for each in BROKEN} == set(UNTRIED)
    real = (SOURCE.parent / "test_effective.py").read_text()
    assert all(code in real for code, why in UNTRIED.items() if "test_effective" in why)
