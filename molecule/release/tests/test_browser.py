"""If a project takes part in draining, the page is connected again before anybody notices."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab_host import PATIENCE, ROOT
from pair import Pair, deploy
from playwright.sync_api import Page, sync_playwright
from websockets.exceptions import ConnectionClosed

DRAINED = 4503  # the example's own close code
PAGES, SOCKETS = 3, 20
# It has the last ten seconds before the deadline: the command starts, and then spreads the clients over three of them.
DRAIN = {"release_drain_command": ["python", "manage.py", "drain", "--spread", "3"]}
# Notes when each of the page's sockets opened, and when and how it was closed.
WATCH = """
window.noted = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    const entry = {};
    window.noted.push(entry);
    this.addEventListener("open", () => { entry.opened = performance.now(); });
    this.addEventListener("close", (event) => { entry.closed = performance.now(); entry.code = event.code; });
  }
};
"""
SERVED_BY = "name => document.getElementById('process').textContent.startsWith(name)"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def pages(lab: Pair) -> Iterator[list[Page]]:
    """The dashboard, open in several tabs of a browser."""
    host = lab.hosts[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        opened = []
        for number in range(PAGES):
            page = browser.new_page(color_scheme="dark" if number else "light")
            page.add_init_script(WATCH)
            page.goto(f"http://localhost:{host.port}/#token={host.token()}")
            page.wait_for_selector("body[data-state=open]")
            opened.append(page)
        yield opened
        browser.close()


def test_pages_are_back_within_a_second_of_a_friendly_drain(lab: Pair, pages: list[Page], copy: Callable) -> None:
    """Their sockets are closed with the project's own code, each at its own moment, and open again at once."""
    before, host = lab.live(), lab.hosts[0]
    sockets = [host.connect() for _ in range(SOCKETS)]
    for page in pages:
        page.wait_for_function(SERVED_BY, arg=before)
    deploy(copy("friendly").folder, "-e", json.dumps(DRAIN), drain=18, spread=10).succeeded()
    deadline = lab.deadlines()[host.name, before]
    for page in pages:
        page.wait_for_function(SERVED_BY, arg=lab.live())
    closed = []
    for websocket in sockets:
        with pytest.raises(ConnectionClosed) as ended:
            websocket.recv(timeout=max(1.0, deadline + PATIENCE - time.time()))
        closed.append(ended.value.rcvd.code if ended.value.rcvd else 1006)
    assert closed == [DRAINED] * SOCKETS
    folder = ROOT / "artifacts" / "release"
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(pages):
        first, second = page.evaluate("window.noted")[:2]
        page.screenshot(path=folder / f"drained-{number}.png")
        assert first["code"] == DRAINED
        away = second["opened"] - first["closed"]
        print(f"page {number}: away for {away:.0f} ms")
        assert away < 1000, f"the page was away for {away:.0f} ms"
        assert page.locator("body").get_attribute("data-state") == "open"
    lab.settle()
    lab.assert_settled()
