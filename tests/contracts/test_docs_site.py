"""The documentation's site is built from the Markdown of the tree, and a link that leads nowhere stops it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All Markdown of the tree, and what it links to, in a folder that a test may change."""
    folder = tmp_path_factory.mktemp("source")
    patterns = ("*.md", "docs/*.svg", "scripts/bench/*", "molecule/lab/lab.py")
    files = subprocess.check_output(["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, text=True)
    for name in filter(None, files.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(source: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder beside it."""
    return subprocess.run(
        [str(ROOT / "scripts/docs/site.sh"), str(source), str(source.with_name("site"))],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(source: Path) -> Path:
    """The pages, as they are built from the tree as it is."""
    done = build(source)
    assert done.returncode == 0, done.stdout
    return source.with_name("site")


def test_every_page_is_built_and_is_in_the_sidebar(site: Path) -> None:
    sidebar = (site / "index.html").read_text().partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    pages = {path.relative_to(ROOT).with_suffix(".html") for path in (ROOT / "docs").glob("*.md")}
    pages |= {Path("CHANGELOG.html"), Path("CONTRIBUTING.html"), Path("roles/README.html")}
    assert {path for path in pages if not (site / path).is_file()} == set()
    assert {str(path) for path in pages} <= set(re.findall(r'href="([^"#]+)"', sidebar))


def test_pages_have_what_the_specs_say(site: Path) -> None:
    variables = (site / "docs" / "variables.html").read_text()
    assert '<section id="nginx">' in variables and '<span class="pre">nginx_redacted_parameters</span>' in variables


def test_names_of_pages_are_links(site: Path) -> None:
    """Those in argument specs, too, which are text there, or code."""
    variables = (site / "docs" / "variables.html").read_text()
    assert re.search(r'<a [^>]*href="managers\.html">docs/managers\.md</a>', variables)
    assert re.search(r'<code[^>]*><a [^>]*href="stores\.html"><span class="pre">docs/stores\.md</span></a>', variables)


def test_link_that_leads_nowhere_stops_it(source: Path, site: Path) -> None:
    """And so does a page that is not in the sidebar."""
    (source / "docs" / "another.md").write_text(
        "# Another\n[x](nowhere.md)\n\n![x](nowhere.svg)\n\n[x](logs.md#nowhere)\n"
    )
    done = build(source)
    assert done.returncode != 0
    lines = [line.partition("docs/another.md:")[2] for line in done.stdout.splitlines() if "WARNING" in line]
    for fault in ("2: WARNING.*nowhere.md", "4: WARNING.*nowhere.svg", "6: WARNING.*'nowhere'", ".*in any toctree"):
        assert [line for line in lines if re.match(fault, line)], done.stdout
