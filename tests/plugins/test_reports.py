"""Reports and inventories that templates make: whatever a host or a project says in them stays a text."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor.page import page
from ansible_collections.channels.stack.plugins.module_utils.inspection import inspect, summary
from ansible_collections.channels.stack.plugins.module_utils.text.templates import render
from jinja2 import UndefinedError

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = """</pre></title></style></text><script>alert(1)</script><img src=x onerror=y>"' {{ 7*7 }} {% raw %} &lt;"""


class Seen(HTMLParser):
    """The elements of a page with their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def report(text: str) -> dict[str, Any]:
    """A report in which everything that is told is this text."""
    finding = {
        "severity": text, "code": text, "title": text, "cause": text, "seen": [text, text], "fix": text,
        "settings": {"site_name": text}, "commands": [text],
    }  # fmt: skip
    tried = [{"what": text, "came": text, "ms": {text: 1.0}, "headers": {text: text}}]
    check = {"id": text, "title": text, "state": "failed", "seen": text, "code": text, "tried": tried}
    hop = {"id": text, "title": text, "state": "broken", "ms": None, "detail": text[:40]}
    return {
        "name": text, "url": text, "at": text, "verdict": text, "finding": finding, "noticed": [finding],
        "hops": [hop, hop | {"state": text, "ms": 1500.0}], "versions": {text: text}, "evidence": {"log": text},
        "results": [check],
    }  # fmt: skip


def test_whatever_a_host_answers_is_text_on_the_page() -> None:
    """The page has the elements of one that tells nothing, and the whole text in each of them."""
    seen, harmless = Seen(page(report(HOSTILE))), Seen(page(report("x")))
    assert [tag for tag, _ in seen.elements] == [tag for tag, _ in harmless.elements]
    assert [set(given) for _, given in seen.elements] == [set(given) for _, given in harmless.elements]
    assert not {"script", "img"} & {tag for tag, _ in seen.elements}
    # Not in the finding's settings, where it is quoted as YAML, and cut in the picture's details.
    assert seen.text.count(HOSTILE) == len(re.findall(r"\bx\b", harmless.text)) - 4 and HOSTILE[:40] in seen.text
    assert {"data-hop": HOSTILE, "class": "broken"} in [given for tag, given in seen.elements if tag == "g"]


def test_page_draws_the_way_and_asks_for_nothing_from_elsewhere() -> None:
    hops = [
        {"id": name, "title": name.title(), "state": state, "ms": took, "detail": detail}
        for name, state, took, detail in (
            ("name", "ok", 0.4, "203.0.113.7"), ("tcp", "ok", 1500.0, "d" * 43), ("proxy", "broken", None, ""),
        )
    ]  # fmt: skip
    text = page({"name": "app-1", "url": "wss://x/", "at": "now", "verdict": "OK", "finding": None, "noticed": [],
                 "hops": hops})  # fmt: skip
    assert 'viewBox="0 0 360 138"' in text and "broken: Proxy" in text and 'y1="78" y2="106"' in text
    assert "0 ms" in text and "1.5 s" in text and f"{'d' * 41}…<" in text and "Nothing is broken." in text
    assert text.startswith("<!doctype html>\n") and not re.search(r"(src|href)=|url\(|https?://", text)


def test_page_of_the_doctor_shows_what_it_tried() -> None:
    """The request, its place, status, how it ended, the headers that say who answered, and times."""
    shook = {"via": "proxy", "kind": "good", "origin": "https://a.example", "to": "127.0.0.1:80", "stage": "",
             "reason": "", "status": 101, "headers": {"server": "nginx", "date": "today"}, "close": None, "idle": 12.0,
             "ms": {"tcp": 0.2, "handshake": 1500.0}}  # fmt: skip
    reset = {**shook, "via": "outside", "kind": "strange", "origin": "", "stage": "tcp", "reason": "refused", "ms": {}}
    cut = {**shook, "via": "process", "close": {"code": 1006, "at": 5.0}}
    text = Seen(page(report("x") | {"evidence": {"outside": [reset], "host": {"exchanges": [shook, cut]}}})).text
    assert "What was tried" not in text, "the checks of a proof have it"
    only = report("x") | {"evidence": {"outside": [reset], "host": {"exchanges": [shook, cut]}}}
    del only["results"]
    text = Seen(page(only)).text
    for each in ("A handshake with a good token, Origin https://a.example, on the host, through the proxy (127.",
                 "101 Switching Protocols, open for 12 s of silence", "handshake 1.5 s", "server: nginx",
                 "strange, from here (127.0.0.1:80)", "tcp: refused", "closed with 1006 after 5.0 s"):  # fmt: skip
        assert each in text, each
    assert "date: today" not in text


def test_template_without_a_value_ends_in_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.html.j2").write_text("<p>{{ given }}</p>")
    (tmp_path / "text.txt.j2").write_text("{{ given }}")
    assert render(tmp_path / "page.html.j2", {"given": "<b>"}) == "<p>&lt;b&gt;</p>"
    assert render(tmp_path / "text.txt.j2", {"given": "<b>{{ 1 }}"}) == "<b>{{ 1 }}"
    with pytest.raises(UndefinedError, match="given"):
        render(tmp_path / "text.txt.j2", {})


def test_summary_of_a_project_keeps_to_its_lines(tmp_path: Path) -> None:
    found = inspect.inspect(ROOT / "examples" / "dashboard" / "backend")
    plain = summary.summary(found, [], tmp_path)
    assert plain[0].startswith("Project      ") and plain[3].startswith("Packages     ") and plain[-1] != ""
    found.settings, found.media = "core.settings\n\x1b[31mERROR", "{{ lookup('pipe', 'id') }}"
    lines = summary.summary(found, [], tmp_path)
    assert len(lines) == len(plain) and lines[1].startswith("Settings     core.settings??[31mERROR (")
    assert "uploads: {{ lookup('pipe', 'id') }}" in "\n".join(lines)


def test_templates_are_in_the_collections_tarball(tmp_path: Path) -> None:
    command = ["ansible-galaxy", "collection", "build", "--output-path", str(tmp_path), str(ROOT)]
    subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=True, capture_output=True)
    (built,) = tmp_path.iterdir()
    with tarfile.open(built) as archive:
        packed = {name for name in archive.getnames() if "/templates/" in name and name.startswith("plugins/")}
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "plugins").rglob("templates/*")}
    assert packed == there and len(there) >= 5
