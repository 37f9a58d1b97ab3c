"""What htop is for processes, for a site's sockets: who holds how many, how fast they come, and what they cost."""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import paths
from .generation import live
from .locks import Refused
from .measure import Moment, Watch, compare, look
from .overview import overview
from .redis_reach import ask_all
from .times import clock, span

HEAD = (f"{'GENERATION / PROCESS':<30}{'STATE':<11}{'SOCKETS':>8}{'OLDEST':>10}{'WAITING':>9}{'CPU %':>8}"
        f"{'MEMORY':>10}  NOTES")  # fmt: skip
HIDE, SHOW = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # the other screen without a cursor, and back
HOME, REST, BELOW, BOLD, PLAIN = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[1m", "\x1b[0m"


def top(asked: argparse.Namespace) -> None:
    """Show figures again and again until somebody ends it, or once."""
    if os.geteuid() != 0:
        raise Refused(f"only root may read this: sudo {paths.APP}-top")
    watch = Watch()
    before = notice(watch)
    if asked.json or asked.once or not sys.stdout.isatty():
        time.sleep(asked.seconds)
        figures = taken(before, notice(watch), watch)
        print(json.dumps(figures) if asked.json else "\n".join(lines(figures)))
        return
    with screen() as keys:
        while True:
            now = notice(watch)
            show(lines(taken(before, now, watch)))
            before = now
            if pressed(keys, asked.seconds):
                return


def notice(watch: Watch) -> Moment:
    """Return what is counted now."""
    moment = look(overview())
    watch.notice(moment)
    return moment


def taken(before: Moment, now: Moment, watch: Watch) -> dict[str, Any]:
    """Return all figures, in the form that `--json` prints."""
    environment = paths.HOME / "generations" / live() / "env"
    text = environment.read_text() if live() and environment.exists() else ""
    return {"app": paths.APP, **compare(before, now, watch), "redis": ask_all(text)}


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures for a person."""
    host, rows = figures["host"], figures["generations"]
    used = host["memory"] - host["memory_available"]
    found = [
        f"{figures['app']}  {clock(figures['at'])}   {sum(row['sockets'] for row in rows)} sockets   "
        f"{figures['handshakes_per_second']:g} handshakes/s, {figures['failed_per_second']:g} failed/s",
        f"load {host['load']:g} on {host['cores']} cores   memory {size(used)} of {size(host['memory'])}   "
        + "   ".join(f"{name} {one['cpu']:g} %" for name, one in figures["neighbours"].items()),
        carried(figures["clients"]),
        "Redis  " + ("   ".join(map(reached, figures["redis"])) or "none in the project's environment"),
        "",
        HEAD,
    ]
    for row in rows:
        found += generation_lines(row)
    return found if rows else [*found, "nothing was deployed yet"]


def reached(redis: dict[str, Any]) -> str:
    """Return whether a Redis answers, for a person."""
    return f"{redis['address']} " + (f"! {redis['fault']}" if redis["fault"] else f"{redis['milliseconds']:g} ms")


def carried(found: dict[str, Any]) -> str:
    """Return what clients' connections carry, and who is slow, for a person."""
    told = [
        f"clients {found['connections']}", f"packets/s {found['packets_in_per_second']:g} in, "
        f"{found['packets_out_per_second']:g} out",
    ]  # fmt: skip
    told += [f"slowest {one['address']} {one['milliseconds']:.1f} ms" for one in found["slowest"][:1]]
    told += [f"{found['stalled']} not reading, {one['address']} {one['bytes'] / 1000:.0f} kB"
             for one in found["most_unread"][:1]]  # fmt: skip
    return "   ".join(told)


def generation_lines(row: dict[str, Any]) -> list[str]:
    """Return a line for a generation and one for each of its processes that runs, or should."""
    notes = [row["version"]] + [f"until {clock(row['deadline'])}"] * bool(row["deadline"])
    if row["state"] in ("live", "draining") and row["running"] < row["expected"]:
        notes.append(f"! {row['running']} of {row['expected']} processes run")
    if row["fault"]:
        notes.append(f"! {row['fault']}")
    oldest = "-" if row["oldest_at_least"] is None else f"≥{span(row['oldest_at_least'])}"
    found = [line(row["generation"], row["state"], row, oldest, notes)]
    if row["state"] == "kept":
        return found
    for one in row["processes"]:
        notes = [f"pid {one['pid']}, for {span(one['age'] or 0)}" if one["pid"] else "! does not run"]
        notes += [f"restarts {one['restarts']}"] * bool(one["restarts"])
        found.append(line(f"  {one['instance']}", "" if one["kind"] == "server" else one["kind"], one, "", notes))
    return found


def line(name: str, state: str, figures: dict[str, Any], oldest: str, notes: list[str]) -> str:
    """Return one line of the table."""
    memory = size(figures["memory"]) if figures["memory"] else "-"
    return (
        f"{name:<30}{state:<11}{figures['sockets']:>8}{oldest:>10}{figures['waiting']:>9}{figures['cpu']:>8g}"
        f"{memory:>10}  {', '.join(notes)}"
    )


def size(number: float) -> str:
    """Return a number of bytes for a person."""
    return f"{number / 2**30:.1f} GB" if number >= 2**30 else f"{number / 2**20:.0f} MB"


def show(text: list[str]) -> None:
    """Draw lines over those that are there, as far as the terminal has room."""
    wide, high = shutil.get_terminal_size()
    drawn = []
    for each in [*text[: high - 2], "", "q ends, any other key refreshes"]:
        short = each[:wide]
        drawn.append((f"{BOLD}{short}{PLAIN}" if each == HEAD or "! " in short else short) + REST)
    sys.stdout.write(HOME + "\r\n".join(drawn) + BELOW)
    sys.stdout.flush()


@contextmanager
def screen() -> Iterator[int]:
    """Use the terminal's other screen, and its keys one by one; give both back whatever happens."""
    import termios
    import tty

    keys = sys.stdin.fileno()
    saved = termios.tcgetattr(keys) if os.isatty(keys) else None
    try:
        if saved:
            tty.setcbreak(keys)
        sys.stdout.write(HIDE)
        yield keys if saved else -1
    except KeyboardInterrupt:
        pass
    finally:
        sys.stdout.write(SHOW)
        sys.stdout.flush()
        if saved:
            termios.tcsetattr(keys, termios.TCSADRAIN, saved)


def pressed(keys: int, seconds: float) -> bool:
    """Wait until it is time for new figures or a key is pressed; tell whether it ends the program."""
    if keys < 0:
        time.sleep(seconds)
        return False
    if select.select([keys], [], [], seconds)[0]:
        return os.read(keys, 100)[:1] in (b"q", b"Q", b"\x1b", b"\x04", b"")
    return False
