"""What the Markdown of the tree refers to is there: files, headings, targets of make. No network is needed."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
# What is rendered into docs/ has links as seen from there.
RENDERED = {"scripts/bench/capacity.md": "docs", "scripts/bench/page.md": "docs"}
HREF = re.compile(r"\b(?:href|src)=\"([^\"]+)\"")
PLAYBOOK = re.compile(r"(?<![\w./-])playbooks/[\w-]+\.yml")
# What is named as code and is a file here; one with <…>, * or … in its name is a pattern, and some are yet to be made.
MADE = {"inventories/mine"}
FILE = re.compile(r"(?:docs|playbooks|scripts|templates|inventories|molecule|examples|roles|plugins|tests)/[\w./-]+")
MAKE = re.compile(r"(?:^|`|\$ |run |&& )make ([a-z][a-z-]*)", re.MULTILINE)


def tracked(pattern: str) -> list[str]:
    """Return the names of files that git has, or that are to be added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern]
    return sorted(subprocess.check_output(command, cwd=ROOT, text=True).split())


PAGES = [name for name in tracked("*.md") if (ROOT / name).is_file()]


def flat(text: str) -> list[Token]:
    """Return the tokens of Markdown, those inside of lines too."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    return [each for token in tokens for each in (token, *(token.children or []))]


def slug(heading: str) -> str:
    """Return the name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Return all that a link into a page may name: its headings, with a number where they are repeated, and its ids."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    found: set[str] = set()
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            words = "".join(child.content for child in inline.children or [] if child.type in ("text", "code_inline"))
            name, number = slug(words), 0
            while (each := f"{name}-{number}" if number else name) in found:
                number += 1
            found.add(each)
    return found | set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", text))


def links(text: str) -> list[str]:
    """Return where the links and pictures of a page lead to."""
    found = [token.attrs.get("href") or token.attrs.get("src") for token in flat(text)]
    written = [each for token in flat(text) if token.type.startswith("html_") for each in HREF.findall(token.content)]
    return [str(target) for target in (*found, *written) if target]


def faults(page: str, text: str) -> list[str]:
    """Return the links of a page that lead nowhere; those to other sites are not followed."""
    folder, found = ROOT / RENDERED.get(page, str(Path(page).parent)), []
    for target in links(text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve()
        if not file.is_relative_to(ROOT) or not file.exists():
            found.append(f"{target}: there is no such file")
        elif anchor and anchor not in anchors(file.read_text() if path else text):
            found.append(f"{target}: there is no such heading")
    return found


def test_pages_are_found() -> None:
    assert {
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/tls.md",
        "roles/README.md",
        "examples/ci/README.md",
    } <= {*PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert not faults(page, (ROOT / page).read_text())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[x](tls.md)", ""),
        ("[x](tls.md#what-you-get)", "there is no such heading"),
        ("[x](nowhere.md)", "there is no such file"),
        ("![x](nowhere.svg)", "there is no such file"),
        ("[x][y]\n\n[y]: nowhere.md", "there is no such file"),
        ('<a href="#nowhere">x</a>', "there is no such heading"),
        ("[x](../../other/README.md)", "there is no such file"),
        ("# A `b`, c\n[x](#a-b-c)", ""),
        ("# A\n# A\n[x](#a-1)", ""),
        ("# A\n[x](#a-1)", "there is no such heading"),
        ("```\n[x](nowhere.md)\n```\n`[x](nowhere.md)` [x](https://example.org/nowhere)", ""),
    ],
)
def test_what_is_a_fault(text: str, fault: str) -> None:
    found = faults("docs/a-page.md", text)
    assert [each.partition(": ")[2] for each in found] == ([fault] if fault else [])


# The changelog names files as they were called in its releases.
@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_files_that_are_named_as_code_are_there(page: str) -> None:
    text = (ROOT / page).read_text()
    code = [token.content for token in flat(text) if token.type == "code_inline"]
    code += re.findall(r"<code>([^<]*)</code>", text.replace("\\", ""))
    named = {each.rstrip("/") for each in code if FILE.fullmatch(each)}
    named |= set(PLAYBOOK.findall(" ".join(token.content for token in flat(text) if token.type == "fence")))
    places = (ROOT, (ROOT / page).parent, ROOT / "examples/dashboard/backend")
    assert not {name for name in named - MADE if not any((place / name).exists() for place in places)}


@pytest.mark.parametrize("page", PAGES)
def test_targets_of_make_are_there(page: str) -> None:
    text = (ROOT / page).read_text().replace("\\", "")
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert "docs" in targets and set(MAKE.findall(text)) <= targets
