"""Draw what a deploy does to clients: open sockets on each generation, and how long handshakes took."""

from __future__ import annotations

import math
from collections.abc import Iterable

WIDTH, LEFT, RIGHT = 860, 64, 16
PANELS = {"sockets": (44, 190), "latency": (282, 170)}  # top and height of each
HEIGHT = 500
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #445; }
  .title { font-weight: 600; font-size: 13px; fill: #223; }
  .axis { stroke: #9aa3b2; } .grid { stroke: #e3e7ee; } .mark { stroke: #b5502a; stroke-dasharray: 4 3; }
  .old { stroke: #6b7a94; fill: none; stroke-width: 2; } .new { stroke: #1b7f5c; fill: none; stroke-width: 2; }
  .dot { fill: #2d6cdf; fill-opacity: .45; } text.old { fill: #6b7a94; stroke: none; font-weight: 600; }
  text.new { fill: #1b7f5c; stroke: none; font-weight: 600; } text.mark { fill: #b5502a; stroke: none; }
  .ground { fill: #fff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #b6bfce; } .title { fill: #e4e9f2; } .ground { fill: #12161e; } .grid { stroke: #252c39; }
    .axis { stroke: #5a6475; } .old { stroke: #8f9db8; } text.old { fill: #8f9db8; } .new { stroke: #3fbf8f; }
    text.new { fill: #3fbf8f; } .dot { fill: #6ea0ff; } .mark { stroke: #e08a5f; } text.mark { fill: #e08a5f; }
  }
"""


def nice(top: float) -> float:
    """Return the next round number (1, 2 or 5 times a power of ten) at or above a positive number."""
    power = 10 ** math.floor(math.log10(top))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= top)


class Drawing:
    """An SVG with two panels that share a time axis, in seconds from the first sample."""

    def __init__(self, begin: float, end: float) -> None:
        self.begin, self.seconds = begin, end - begin
        self.parts: list[str] = []

    def x(self, moment: float) -> float:
        """Return the horizontal position of a moment (seconds since the epoch)."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (moment - self.begin) / self.seconds

    def y(self, panel: str, share: float) -> float:
        """Return the vertical position of a share (0 to 1) of a panel's height."""
        top, height = PANELS[panel]
        return top + height * (1 - share)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Write words."""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{words}</text>')

    def frame(self, panel: str, title: str, ticks: Iterable[tuple[float, str]]) -> None:
        """Draw a panel's title, grid and axes; ticks are shares of its height and their words."""
        top, height = PANELS[panel]
        self.text(LEFT, top - 12, title, "title")
        for share, words in ticks:
            y = self.y(panel, share)
            self.parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            self.text(LEFT - 8, y + 4, words, anchor="end")
        self.parts.append(f'<path class="axis" fill="none" d="M{LEFT} {top}V{top + height}H{WIDTH - RIGHT}"/>')
        step = next(step for step in (5, 10, 20, 50, 100, 200, 500) if self.seconds / step <= 10)
        for second in range(0, int(self.seconds) + 1, step):
            self.text(self.x(self.begin + second), top + height + 16, f"{second} s", anchor="middle")

    def mark(self, moment: float, words: str, row: int) -> None:
        """Draw a line through both panels, with words beside its top; rows keep neighbours apart."""
        x = self.x(moment)
        (top, _), (lower, height) = PANELS["sockets"], PANELS["latency"]
        self.parts.append(f'<path class="mark" d="M{x:.1f} {top}V{lower + height}"/>')
        self.text(x + 5, top + 12 + 15 * row, words, "mark")

    def line(self, points: list[tuple[float, float]], kind: str) -> None:
        """Draw a line through moments and shares of the upper panel's height."""
        path = "L".join(f"{self.x(moment):.1f} {self.y('sockets', share):.1f}" for moment, share in points)
        self.parts.append(f'<path class="{kind}" d="M{path}"/>')

    def dots(self, points: Iterable[tuple[float, float]]) -> None:
        """Draw dots at moments and shares of the lower panel's height."""
        for moment, share in points:
            self.parts.append(
                f'<circle class="dot" cx="{self.x(moment):.1f}" cy="{self.y("latency", share):.1f}" r="1.8"/>'
            )

    def svg(self, title: str) -> str:
        """Return the whole picture."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
            f' role="img"><title>{title}</title><style>{STYLE}</style>'
            f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )


def draw(
    samples: list[tuple[float, dict[str, int]]],
    latencies: list[tuple[float, float]],
    marks: list[tuple[float, str]],
    names: tuple[str, str],
) -> str:
    """Return the picture of one deploy, as SVG.

    `samples` are moments (seconds since the epoch) and the sockets open on each generation; `latencies` moments and
    milliseconds; `marks` moments and words; `names` the old and the new generation. Raises ValueError without data.
    """
    if not samples or not latencies:
        raise ValueError("there is nothing to draw: no sample, or no handshake")
    drawing = Drawing(samples[0][0], samples[-1][0])
    most = nice(max(max(held.values(), default=1) for _, held in samples))
    drawing.frame("sockets", "Open sockets", [(share / 4, f"{most * share / 4:g}") for share in range(5)])
    for name, kind in zip(names, ("old", "new"), strict=True):
        drawing.line([(moment, held.get(name, 0) / most) for moment, held in samples], kind)
    drawing.text(WIDTH - RIGHT, PANELS["sockets"][0] - 12, "new generation", "new", "end")
    drawing.text(WIDTH - RIGHT - 118, PANELS["sockets"][0] - 12, "old generation", "old", "end")
    # Logarithmic: what matters is whether a handshake took ten times as long, not ten milliseconds longer.
    low = math.floor(math.log10(max(0.1, min(value for _, value in latencies))))
    high = math.ceil(math.log10(max(value for _, value in latencies)))
    decades = max(1, high - low)
    drawing.frame(
        "latency", "Time of each handshake, in ms",
        [(step / decades, f"{10 ** (low + step):g}") for step in range(decades + 1)],
    )  # fmt: skip
    inside = [point for point in latencies if samples[0][0] <= point[0] <= samples[-1][0]]
    drawing.dots((moment, (math.log10(max(value, 10.0**low)) - low) / decades) for moment, value in inside)
    for row, (moment, words) in enumerate(marks):
        drawing.mark(moment, words, row)
    return drawing.svg("Sockets open on each generation, and the time of handshakes, during a deploy")
