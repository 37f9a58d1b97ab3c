"""Draw how seconds grow with something, as panels beside each other."""

from __future__ import annotations

from typing import NamedTuple

from deploy_plot import STYLE, nice

WIDTH, HEIGHT, TOP, BOTTOM, LEFT, GAP = 280, 260, 44, 40, 52, 12


class Panel(NamedTuple):
    """One picture: what varies, and for each line its points (what varies, and the seconds it took)."""

    title: str
    lines: dict[str, list[tuple[float, float]]]


def curves(panels: list[Panel]) -> str:
    """Return the picture of all panels, as SVG. Raise ValueError if one has no points."""
    width = len(panels) * (WIDTH + GAP)
    parts = [part for number, panel in enumerate(panels) for part in drawn(panel, number * (WIDTH + GAP))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}"'
        f' role="img"><title>How long runs take, by hosts and by projects</title><style>{STYLE}</style>'
        f'<rect class="ground" width="{width}" height="{HEIGHT}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def drawn(panel: Panel, left: float) -> list[str]:
    """Return the parts of one panel, whose left edge is at `left`."""
    points = [point for line in panel.lines.values() for point in line]
    if not points:
        raise ValueError(f"{panel.title}: there is nothing to draw")
    most, high = max(x for x, _ in points), nice(max(y for _, y in points))
    begin, end, ground = left + LEFT, left + WIDTH, HEIGHT - BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return begin + (end - begin - 8) * x / most, ground - (ground - TOP) * y / high

    parts = [f'<text x="{begin}" y="{TOP - 26}" class="title">{panel.title}</text>']
    for share in range(5):
        y = ground - (ground - TOP) * share / 4
        parts.append(f'<path class="grid" d="M{begin} {y:.1f}H{end}"/>')
        parts.append(f'<text x="{begin - 6}" y="{y + 4:.1f}" text-anchor="end">{high * share / 4:g} s</text>')
    parts.append(f'<path class="axis" fill="none" d="M{begin} {TOP}V{ground}H{end}"/>')
    for x in sorted({x for x, _ in points}):
        parts.append(f'<text x="{at(x, 0)[0]:.1f}" y="{ground + 16}" text-anchor="middle">{x:g}</text>')
    for kind, line in zip(("new", "old"), panel.lines.values(), strict=False):
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (at(*point) for point in sorted(line)))
        parts.append(f'<path class="{kind}" d="M{path}"/>')
        parts.extend(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in (at(*p) for p in line))
    names = list(panel.lines)
    parts.append(f'<text x="{begin}" y="{TOP - 8}" class="new">{names[0]}</text>')
    if len(names) > 1:
        parts.append(f'<text x="{end}" y="{TOP - 8}" class="old" text-anchor="end">{names[1]}</text>')
    return parts
