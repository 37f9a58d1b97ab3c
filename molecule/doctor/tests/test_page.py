"""The report as a person opens it: in a real browser, on a phone and on a desktop, in light and dark mode."""

from __future__ import annotations

import shutil

from diagnosis import Diagnosis
from lab_host import NO_SOCKET, ROOT, LabHost
from playwright.sync_api import sync_playwright

testinfra_hosts = ["ansible://doctor-1"]

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
COLOUR = "node => getComputedStyle(node).fill"


def test_page(lab: LabHost) -> None:
    """The broken hop is red, the hops show times, the page fits the screen, and nothing comes from elsewhere."""
    with lab.upstream(NO_SOCKET):
        found = Diagnosis(lab)
    found.blames("E307_UPSTREAM_ELSEWHERE", "proxy_pass")
    folder = ROOT / "artifacts" / "doctor"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        backs = set()
        for name, width, scheme in (("phone", 360, "dark"), ("desk", 1280, "light")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(found.page.as_uri())
            assert asked == [found.page.as_uri()], "the page asks for something from elsewhere"
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            broken = page.locator("svg g.broken")
            assert broken.count() == 1 and broken.get_attribute("data-hop") == "proxy"
            red, green, blue = map(int, broken.locator("circle").evaluate(COLOUR)[4:-1].split(","))
            assert red > 180 and green < 140 and blue < 150, (red, green, blue)
            assert page.locator("svg g[data-hop=tcp]").text_content().endswith("ms")
            assert "E307_UPSTREAM_ELSEWHERE" in page.locator("#findings h2").first.inner_text()
            backs.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            page.screenshot(path=folder / f"page-{name}.png", full_page=True)
        assert len(backs) == 2, "day and night look the same"
        browser.close()
