"""What Prometheus has seen: it is asked, its answers become figures and pictures, and nothing of it can fail a run."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import action_loader
from ansible_collections.channels.stack.plugins.module_utils.monitoring import charts, page, queries, ranges, series
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reports import HOSTILE, Seen

START, STEP, COUNT = 1_800_000_000.0, 300, 12
VALUES = st.lists(st.none() | st.integers(0, 10**6).map(float), min_size=1, max_size=40)
ROWS = st.integers(1, 30).flatmap(
    lambda length: st.lists(
        st.lists(st.none() | st.integers(0, 999).map(float), min_size=length, max_size=length), min_size=1, max_size=5
    )
)


def numbers(path: str) -> list[tuple[float, float]]:
    """The points of a path."""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]


# --- counters


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(0, 999), min_size=1, max_size=40))
def test_counter_that_never_begins_again_grows_by_what_it_has_grown(growth: list[int | None]) -> None:
    """Whatever gaps there are."""
    values: list[float | None] = []
    count = 0
    for each in growth:
        count += each or 0
        values.append(None if each is None else float(count))
    grown = series.increments(values)
    assert len(grown) == len(values) - 1
    known = [value for value in values if value is not None]
    whole = known[-1] - known[0] if known else 0
    assert math.isclose(series.total(grown), whole, abs_tol=1e-6)
    assert all(each is None or each >= 0 for each in grown)


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_counter_never_shrinks(values: list[float | None], from_zero: bool) -> None:
    grown = series.increments(values, from_zero)
    assert all(each is None or (each >= 0 and math.isfinite(each)) for each in grown)
    known = [place for place, value in enumerate(values) if value is not None]
    # Known from the first value to the last one: what lies between was spread.
    if known and not from_zero:
        assert [place for place, each in enumerate(grown) if each is not None] == list(range(known[0], known[-1]))


@pytest.mark.parametrize(
    ("values", "from_zero", "grown"),
    [
        ([5, 7, 7, 12], False, [2, 0, 5]),
        ([5, 7, 2, 3], False, [2, 2, 1]),
        ([5, None, None, 8], False, [1, 1, 1]),
        ([None, None, 4, 5], False, [None, None, 1]),
        ([None, None, 4, 5], True, [None, 4, 1]),
        ([3], True, []),
        ([None, None], True, [None]),
    ],
)
def test_counter_begins_again_or_late(values: list[Any], from_zero: bool, grown: list[Any]) -> None:
    assert series.increments(values, from_zero) == grown


def test_status_that_a_host_first_sees_later_counts_from_the_first() -> None:
    """And not one that was there when nobody had looked yet."""
    found = [
        {"labels": {"instance": "a", "status": "101"}, "values": [100, 110, 120, 130]},
        {"labels": {"instance": "a", "status": "429"}, "values": [None, None, 1, 3]},
        {"labels": {"instance": "b", "status": "101"}, "values": [None, None, 70, 75]},
    ]
    assert series.handshakes(found) == {"101": [10, 10, 15], "429": [None, 1, 2]}


# --- gaps, sums, spans and deploys


@settings(deadline=None)
@given(ROWS)
def test_what_is_stacked_has_the_height_of_its_values(rows: list[list[float | None]]) -> None:
    piled = series.stacked(rows)
    whole = series.summed(rows, len(rows[0]))
    assert piled[-1][1] == whole
    for row, (floor, roof) in zip(rows, piled, strict=True):
        for value, below, above in zip(row, floor, roof, strict=True):
            assert (below is None) == (above is None)
            assert below is None or above - below == (value or 0)
    assert [place for place, value in enumerate(whole) if value is None] == [
        place for place in range(len(rows[0])) if all(row[place] is None for row in rows)
    ]


@settings(deadline=None)
@given(VALUES)
def test_runs_are_all_that_was_measured(values: list[float | None]) -> None:
    found = list(series.runs(values))
    covered = [place for begin, end in found for place in range(begin, end)]
    assert covered == [place for place, value in enumerate(values) if value is not None]
    assert all(first[1] < second[0] for first, second in pairwise(found))


def test_alert_lasts_from_when_until_when_it_fired() -> None:
    assert series.spans([None, 1, 1, None, 0, 1], 1000, 10) == [(1010, 1030), (1050, None)]
    assert series.spans([None, None], 1000, 10) == []


def test_hosts_of_a_fleet_have_one_deploy_and_a_rollback_is_another() -> None:
    def served(instance: str, generation: str, *values: float | None) -> dict[str, Any]:
        return {"labels": {"instance": instance, "generation": generation}, "values": list(values)}

    found = series.deploys(
        [
            served("a", "old-1", 100, 100, None, 9000), served("b", "old-1", 103, None, None, 9001),
            served("a", "new-2", None, 5000, 5000, 5000), served("b", "new-2", None, 5004, 5004, 5004),
        ],
        {"old-1": "old", "new-2": "new"}, start=1000,
    )  # fmt: skip
    assert [(each["at"], each["release"], each["hosts"]) for each in found] == [
        (5000, "new", ["a", "b"]), (9000, "old", ["a", "b"]),
    ]  # fmt: skip


# --- pictures


@settings(deadline=None)
@given(ROWS, st.sampled_from(["", "seconds", "share", "bytes", "rate"]), st.booleans())
def test_pictures_stay_within_their_edges(rows: list[list[float | None]], unit: str, stack: bool) -> None:
    named = [{"name": f"host-{place}", "values": row} for place, row in enumerate(rows)]
    drawn = charts.chart("x", "X", named, unit, stack)
    assert len(drawn["series"]) == sum(any(value is not None for value in row) for row in rows)
    for each in drawn["series"]:
        assert all(0 <= x <= 1000 and 0 <= y <= 100 for x, y in numbers(each["path"]))
        assert stack or len(re.findall("M", each["path"])) == len(
            list(series.runs(rows[int(each["name"].removeprefix("host-"))]))
        )


@settings(deadline=None)
@given(st.floats(0, 1e15), st.sampled_from(["", "seconds", "share", "bytes", "rate"]))
def test_scale_ends_above_the_most(most: float, unit: str) -> None:
    top = charts.ceiling(most, unit)
    assert top >= most and top > 0
    assert unit == "share" or most < 1 or top <= 3 * most
    assert charts.number(most, unit)


@settings(deadline=None)
@given(st.floats(1e9, 2e9), st.floats(60, 400 * 86400))
def test_scale_has_few_marks_in_order(start: float, length: float) -> None:
    marks = charts.scale(start, start + length)
    assert len(marks) <= charts.MOST_TICKS + 1
    places = [each["x"] for each in marks]
    assert places == sorted(places) and all(0 <= x <= 1000 for x in places)


def test_value_alone_is_drawn() -> None:
    assert numbers(charts.line([None, 4.0, None], 8.0)) == [(333.3, 50.0), (666.7, 50.0)]
    assert numbers(charts.area([None, 0.0, None], [None, 4.0, None], 8.0))[:2] == [(333.3, 50.0), (666.7, 50.0)]


def test_area_without_height_is_not_drawn() -> None:
    """Its edge would look like a value."""
    assert charts.area([0.0, 0.0], [0.0, 0.0], 2.0) == ""
    assert numbers(charts.area([0.0, 0.0], [0.0, 2.0], 2.0))[0] == (500.0, 0.0)


def test_only_the_highest_of_many_are_drawn_and_the_page_says_so() -> None:
    rows = [{"name": f"app-{number}", "values": [float(number)]} for number in range(1, 12)]
    drawn = charts.chart("x", "X", rows)
    assert [each["name"] for each in drawn["series"]] == [f"app-{number}" for number in range(4, 12)]
    assert drawn["left_out"] == 3


@pytest.mark.parametrize(("hours", "step", "count"), [(24, 300, 288), (0.1, 15, 24), (1, 15, 240), (360, 4500, 288)])
def test_grid_fits_the_hours(hours: float, step: int, count: int) -> None:
    assert queries.grid(hours) == (step, count)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_fullest_disk_is_one_that_can_be_written_to(tmp_path: Path) -> None:
    """As in the alert: an image of a CD is full, and nobody can make room in it."""

    def disk(metric: str, fstype: str, values: str, host: str = "app-1") -> dict[str, str]:
        return {"series": f'node_filesystem_{metric}{{instance="{host}",fstype="{fstype}"}}', "values": values}

    given = [
        each for fstype, avail, readonly in (("ext4", 39, 0), ("xfs", 60, 0), ("iso9660", 0, 1), ("tmpfs", 1, 0))
        for each in (
            disk("avail_bytes", fstype, f"{avail}x20"), disk("size_bytes", fstype, "100x20"),
            disk("readonly", fstype, f"{readonly}x20"),
        )
    ]  # fmt: skip
    others = [disk("avail_bytes", "ext4", "5x20", "app-2"), disk("size_bytes", "ext4", "10x20", "app-2")]
    asked = queries.queries("dashboard", ["app-1"], 15)["disk"]
    told = {"expr": asked, "eval_time": "5m", "exp_samples": [{"labels": '{instance="app-1"}', "value": 0.61}]}
    test = {"interval": "1m", "input_series": given + others, "promql_expr_test": [told]}
    (tmp_path / "disk.yml").write_text(json.dumps({"rule_files": [], "tests": [test]}))
    subprocess.run(["promtool", "test", "rules", "disk.yml"], cwd=tmp_path, check=True)


def test_names_are_quoted_in_questions() -> None:
    asked = queries.queries('a"b\\', ["app.1"], 15)
    assert 'app="a\\"b\\\\"' in asked["handshakes"]
    assert 'instance=~"app\\\\.1"' in asked["memory"]


# --- the page


def answer(values: Callable[[int], float | None], **labels: str) -> dict[str, Any]:
    """A series on the grid."""
    return {"labels": labels, "values": [values(place) for place in range(COUNT + 1)]}


def found(text: str = "", **changes: list[dict[str, Any]]) -> dict[str, Any]:
    """What Prometheus says of a site that was deployed, and had a failed handshake; `text` is all names, if given."""
    new, old, host = text or "new-2", text or "old-1", text or "app-1"
    answers = {name: [] for name in queries.queries("dashboard", ["app-1"], STEP)} | {
        "generations": [answer(lambda _: 1, generation=new, release=new, state="live")],
        "served": [answer(lambda place: START + 1500 if place > 5 else None, instance=host, generation=new)],
        "sockets": [
            answer(lambda place: 40.0 if place < 7 else None, generation=old),
            answer(lambda place: 37.0 if place > 5 else None, generation=new),
        ],
        "open": [answer(lambda _: 31.0)],
        "handshakes": [
            answer(lambda place: 100.0 + place, instance=host, status="101"),
            answer(lambda place: 1.0 if place > 8 else 0.0, instance=host, status="502"),
        ],
        "probe": [answer(lambda place: float(place != 4), instance=host, target="nginx")],
        "handshake": [answer(lambda _: 0.012, instance=host, target="nginx")],
        "alerts": [answer(lambda place: 1 if place == 4 else None, alertname=text or "Own", instance=host)],
        **changes,
    }
    problems = [text] if text else []
    return {
        "start": START, "end": START + STEP * COUNT, "step": STEP, "count": COUNT, "answers": answers,
        "problems": problems,
    }  # fmt: skip


def test_page_shows_sockets_deploys_and_a_failed_handshake() -> None:
    report = page.made("dashboard", "watch-1", found())
    assert report["sockets"] == {"now": 31, "most": 77}
    assert report["handshakes"] == {"101": COUNT, "502": 1}
    assert report["live"] == ["new-2"]
    seen = Seen(page.page(report))
    assert "old-1 40 at most" in seen.text and "new-2 37 lately, 37 at most" in seen.text
    assert "failed 0 lately, 1 at most" in seen.text
    assert page.state(report) == "kept" and "No alert fires." in seen.text
    lines = [given for tag, given in seen.elements if tag == "line" and given["class"] == "deploy-line"]
    assert {given["x1"] for given in lines} == {"416.7"}
    assert len([given for tag, given in seen.elements if tag == "rect"]) == 1, "where the probe failed"
    assert page.lines(report)[1:] == [
        "sockets     31 now, 77 at most", "handshakes  12 opened, 0 refused, 1 failed", "deploys     1",
    ]  # fmt: skip


def test_page_asks_for_nothing_from_elsewhere() -> None:
    text = page.page(page.made("dashboard", "watch-1", found()))
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in Seen(text).elements}
    assert not re.search(r"https?:|url\(|@import", text)


def test_whatever_prometheus_says_is_text_on_the_page() -> None:
    hostile = Seen(page.page(page.made(HOSTILE, HOSTILE, found(HOSTILE))))
    harmless = Seen(page.page(page.made("x", "x", found("x"))))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert [set(given) for _, given in hostile.elements] == [set(given) for _, given in harmless.elements]
    assert hostile.text.count(HOSTILE) > 8


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({"alerts": [answer(lambda _: 1, alertname="A", severity="page")]}, "missed", "1 alert fires: A."),
        (
            {"alerts": [answer(lambda _: 1, alertname=name, severity="ticket") for name in "BA"]}, "noted",
            "2 alerts fire: A, B.",
        ),
        ({"probe": [answer(lambda _: 0, instance="w", target="app-1")]}, "missed", "opens no socket to app-1 from w."),
        ({"open": []}, "noted", "Nothing is known of its sockets"),
        ({name: [] for name in queries.queries("x", [], 15)}, "noted", "Nothing is known of its sockets"),
    ],
)  # fmt: skip
def test_page_says_what_is_wrong(changes: dict[str, Any], state: str, said: str) -> None:
    report = page.made("dashboard", "watch-1", found(**changes))
    assert page.state(report) == state and said in page.conclusion(report)
    assert said in Seen(page.page(report)).text


def test_many_generations_share_a_colour_if_they_are_old() -> None:
    """Those that had no sockets have none."""
    many = [answer(lambda place, one=one: 5.0 if place >= one else None, generation=f"g{one}") for one in range(11)]
    report = page.made("dashboard", "watch-1", found(sockets=[*many, answer(lambda _: 0, generation="kept")]))
    names = [row["name"] for row in page.generations(report)]
    assert names == ["4 earlier ones", *(f"g{one}" for one in range(4, 11))]


# --- asking


class Prometheus(BaseHTTPRequestHandler):
    """Answers one question, refuses another one, and is something else for a third."""

    def do_POST(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = dict(urllib.parse.parse_qsl(body))
        status, said = 200, json.dumps({"data": {"result": [
            {"metric": {"instance": "a"}, "values": [
                [float(asked["start"]) + 0.0004, "1"], [float(asked["start"]) + 15, "NaN"],
                [float(asked["start"]) + 30, "+Inf"], [float(asked["start"]) + 60, "0.5"], [1.0, "9"],
            ]},
        ]}})  # fmt: skip
        if asked["query"] == "wrong":
            status, said = 400, json.dumps({"error": "parse error"})
        if asked["query"] == "other":
            said = "<html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_answers_are_on_one_grid(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that is refused costs no other one its answer, and no proxy is asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    came = ranges.look(address, {"bad": "wrong", "good": "x"}, 15, 4, now=START)
    assert came["answers"] == {"bad": [], "good": [{"labels": {"instance": "a"}, "values": [1, None, None, None, 0.5]}]}
    assert came["problems"] == ["bad: parse error"]
    assert (came["start"], came["end"]) == (START - 60, START)


def test_what_is_not_prometheus_is_named(address: str) -> None:
    with pytest.raises(ranges.NotAnswered, match="not Prometheus"):
        ranges.look(address, {"x": "other"}, 15, 4)


def action(args: dict[str, Any], answers: Callable[..., dict[str, Any]], check: bool = False) -> Any:
    """The action, whose module answers as it is told to."""
    task = MagicMock(async_val=0, args=args, check_mode=check, diff=False, delegate_to=None)
    made = action_loader.get(
        "channels.stack.site_page", task=task, connection=MagicMock(), play_context=MagicMock(check_mode=check),
        loader=DataLoader(), templar=MagicMock(), shared_loader_obj=MagicMock(),
    )  # fmt: skip
    made._execute_module = lambda name, module_args, task_vars: answers(**module_args)
    return made


@pytest.mark.parametrize("check", [False, True])
def test_action_writes_the_page_unless_nothing_may_be_written(tmp_path: Path, check: bool) -> None:
    args = {"app": "dashboard", "hosts": ["app-1"], "port": 9090, "hours": 1, "report": str(tmp_path / "a" / "w.json")}
    result = action(args, lambda **_: {"found": found(), "complaint": ""}, check).run(
        task_vars={"inventory_hostname": "watch-1"}
    )
    assert result["changed"] is False and "failed" not in result
    assert (tmp_path / "a" / "w.html").exists() is not check
    if not check:
        assert result["lines"][-1] == str(tmp_path / "a" / "w.html")
        assert json.loads((tmp_path / "a" / "w.json").read_text())["handshakes"]["502"] == 1


def test_prometheus_that_does_not_answer_is_a_line_and_no_failure(tmp_path: Path) -> None:
    """Asked for real, where nobody listens."""

    def answers(address: str, queries: dict[str, str], step: int, count: int) -> dict[str, Any]:
        try:
            ranges.look(address, queries, step, count)
        except ranges.NotAnswered as error:
            return {"found": {}, "complaint": str(error)}
        return pytest.fail("somebody answered")

    args = {"app": "dashboard", "hosts": ["app-1"], "port": 9, "hours": 24, "report": str(tmp_path / "w.json")}
    result = action(args, answers).run(task_vars={"inventory_hostname": "watch-1"})
    assert result["changed"] is False and "failed" not in result
    assert re.search("Prometheus on watch-1 does not answer at 127.0.0.1:9, .* refused", result["lines"][0])
    assert not list(tmp_path.iterdir())
