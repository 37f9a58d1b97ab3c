"""What nginx serves by itself, and what it leaves to the project."""

from __future__ import annotations

import re

import pytest
from lab_host import LabHost


def test_unknown_host_is_refused_by_the_project(lab: LabHost) -> None:
    """The Host header is passed on unchanged, so Django's ALLOWED_HOSTS decides: 400 for a foreign one."""
    status, _, _ = lab.get("/", Host="foreign.invalid")
    assert status == 400
    assert lab.get("/")[0] == 200, "the host's own name is refused too, so nothing is proven"


def test_page_and_its_files_are_served(lab: LabHost) -> None:
    """The page is there, its style sheet has a hash in its name, and a browser may keep that for a year."""
    status, _, page = lab.get("/")
    assert status == 200
    found = re.search(r'href="(/static/dashboard/style\.[0-9a-f]{8,}\.css)"', page)
    assert found, f"the page names no style sheet with a hash in its name:\n{page[:800]}"
    status, headers, style = lab.get(found[1])
    assert status == 200 and headers["content-type"] == "text/css" and "{" in style
    assert headers["server"] == "nginx", f"nginx tells its version: {headers['server']}"
    assert headers["cache-control"] == "public, max-age=31536000, immutable", (
        f"{found[1]} has Cache-Control {headers.get('cache-control')}"
    )


def test_every_file_of_the_page_is_served(lab: LabHost) -> None:
    """Scripts and icons that the page refers to are there, and so are the modules that those import."""
    wanted, seen = re.findall(r'(?:href|src)="(/static/[^"]+)"', lab.get("/")[2]), set()
    while wanted:
        if (path := wanted.pop()) in seen:
            continue
        seen.add(path)
        status, headers, body = lab.get(path)
        assert status == 200, f"{path} got {status}"
        if path.endswith(".js"):
            assert "javascript" in headers["content-type"]
            wanted += [f"/static/dashboard/{name}" for name in re.findall(r'from "\./([^"]+)"', body)]
    assert len(seen) >= 3, f"the page names only {seen}"


def test_page_holds_no_token(lab: LabHost) -> None:
    """A token in the page's address doesn't come back in the page, where a cache could keep it."""
    status, _, page = lab.get(f"/?token={lab.token()}")
    assert status == 200
    assert lab.token() not in page and lab.token().split(".")[2] not in page, "the page holds the token"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/static/../env", 404),
        # What a location without its trailing slash would serve.
        ("/static../{release}/staticfiles.json", 404),
        ("/static../env", 404),
        ("/static/..%2fenv", 404),
        ("/static/%2e%2e/env", 404),
        ("/static/dashboard/..%2f..%2flive%2fenv", 404),
        ("/static/dashboard/....//....//env", 404),
        # These lead above the root, and nginx doesn't even look there.
        ("/static/..%2f..%2fgenerations", 400),
        ("/static/../../../../etc/passwd", 400),
    ],
)
def test_nothing_outside_static_is_served(lab: LabHost, path: str, expected: int) -> None:
    """No way of writing a path leads out of the folder of static files."""
    status, _, body = lab.get(path.replace("{release}", lab.live["release"]))
    assert status == expected, f"{path} got {status}: {body[:200]}"
    assert "SECRET" not in body and "root:" not in body


def test_style_sheet_is_compressed_for_who_can_read_that(lab: LabHost) -> None:
    """Clients that accept compression get it, and caches on the way are told to keep both versions."""
    found = re.search(r'href="(/static/dashboard/style[^"]+)"', lab.get("/")[2])
    assert found
    plain, compressed = (lab.get(found[1], Accept_Encoding=coding)[1] for coding in ("identity", "gzip"))
    assert compressed["content-encoding"] == "gzip" and "content-encoding" not in plain
    assert compressed["vary"] == plain["vary"] == "Accept-Encoding"


def test_no_link_among_static_files_is_followed(lab: LabHost) -> None:
    """Whoever put the link there, and wherever it leads: nginx's workers may read more than anybody should see."""
    folder = lab.run("readlink -f /srv/dashboard/live/static").strip()
    links = {"leak.txt": "/etc/nginx/nginx.conf", "inner.css": "dashboard/style.css", "etc": "/etc"}
    try:
        for name, target in links.items():
            lab.run("ln -s %s %s", target, f"{folder}/{name}")
        got = {name: lab.get(f"/static/{name}")[0] for name in ("leak.txt", "inner.css", "etc/hostname")}
        assert set(got.values()) <= {403, 404}, f"links are followed: {got}"
    finally:
        lab.run("rm -f " + " ".join(f"{folder}/{name}" for name in links))
