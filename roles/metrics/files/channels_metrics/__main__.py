"""Writes what this host alone can say of its projects for node-exporter, every few seconds.

    channels-metrics            until it is ended
    channels-metrics --once     once, without a probe

/etc/channels-metrics/<project>.json says what to look at, and <project>.probe.json beside it how a socket is opened.
Both may change at any time. Each part that fails is left out and said to have failed; nothing waits for another one.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import machine, site
from .requests import Requests
from .samples import Samples, write
from .tool import Tool

SETTINGS = Path("/etc/channels-metrics")
OUTPUT = Path("/var/lib/prometheus/node-exporter")
NGINX = Path("/etc/nginx/conf.d")
SECONDS = 15.0


def say(text: str) -> None:
    """Log a line."""
    print(text, flush=True)


class Watched:
    """A project on this host, with what is remembered of it from one turn to the next."""

    def __init__(self, app: str, settings: dict[str, Any]) -> None:
        """Take its name and what role metrics wrote of it."""
        self.app, self.settings = app, settings
        self.tool, self.certificates = Tool(app), machine.Certificates()
        self.requests = Requests(Path(settings["access_log"])) if settings["access_log"] else None
        self.probe: Thread | None = None

    def parts(self) -> dict[str, Callable[[], Samples]]:
        """What there is to read, by its name."""
        found: dict[str, Callable[[], Samples]] = {
            "certificates": lambda: self.certificates.measure(self.settings["certificates"], self.app)
        }
        if self.requests:
            found |= {"generations": lambda: site.measure(self.tool, self.app), "site": self.state}
        return found

    def state(self) -> Samples:
        """Its handshakes, and whether it is in maintenance or drained."""
        samples = Samples(app=self.app)
        assert self.requests
        for status, count in sorted(self.requests.look().items()):
            samples.add("channels_websocket_requests_total", count, status=status)
        for end, count in sorted(self.requests.ends.items()):
            samples.add("channels_websocket_ends_total", count, end=end)
        page = NGINX / f"{self.app}-maintenance.conf"
        samples.add("channels_maintenance", page.exists() and "default 1;" in page.read_text())
        samples.add("channels_drained", Path("/srv", self.app, "drained").exists())
        return samples

    def live(self) -> tuple[str, list[str]]:
        """The generation that serves, and the sockets of its processes; none on a host that is to have no sockets."""
        folder = Path("/srv", self.app, "live")
        if (folder.parent / "drained").exists():
            return "", []
        try:
            described = json.loads((folder / "generation.json").read_bytes())
        except (OSError, ValueError):
            return "", []
        return described["generation"], described["sockets"]


class Thread(threading.Thread):
    """The probe of a project, which waits for nobody and for which nobody waits."""

    def __init__(self, watched: Watched, settings: dict[str, Any]) -> None:
        """Take the project, and what role handshake wrote of it."""
        super().__init__(daemon=True)
        from .probe import Probe  # only here: hosts without a probe need no wsproto

        self.watched, self.settings, self.over = watched, settings, threading.Event()
        self.probe = Probe(watched.app, settings, watched.live, say)
        self.latest = Samples()  # of the last turn that has ended

    def run(self) -> None:
        """Probe until it is over."""
        while not self.over.is_set():
            begun = time.monotonic()
            fault = ""
            try:
                latest = self.probe.look()
            except Exception as error:
                latest, fault = Samples(), type(error).__name__  # its text may hold the token
            self.probe.note("probe", fault)
            latest.add("channels_metrics_up", not fault, part="probe", app=self.watched.app)
            self.latest = latest
            self.probe.wait(max(1.0, self.settings["seconds"] - (time.monotonic() - begun)))


class Daemon:
    """All projects of this host."""

    def __init__(self) -> None:
        """Know none yet."""
        self.watched: dict[str, Watched] = {}
        self.failed: dict[str, str] = {}

    def turn(self, probes: bool = True) -> None:
        """Read the settings, and write everything once."""
        self.follow(probes)
        for app, watched in self.watched.items():
            samples = Samples()
            for name, part in watched.parts().items():
                self.add(samples, f"{app}/{name}", part)
            if watched.probe:
                samples.extend(watched.probe.latest)
            write(OUTPUT / f"channels-{app}.prom", samples.text())
        samples = Samples()
        parts = {"nginx": machine.nginx, "memory": machine.out_of_memory, "reboot": machine.reboot}
        if any(one.settings["cron"] for one in self.watched.values()):
            parts["cron"] = machine.cron
        for name, part in parts.items():
            self.add(samples, name, part)
        samples.add("channels_metrics_timestamp_seconds", time.time())
        write(OUTPUT / "channels-host.prom", samples.text())

    def follow(self, probes: bool) -> None:
        """Make the projects those that have settings now."""
        found = {path.stem: path for path in SETTINGS.glob("*.json") if not path.stem.endswith(".probe")}
        for app in set(self.watched) - set(found):
            if probe := self.watched.pop(app).probe:
                probe.over.set()
            (OUTPUT / f"channels-{app}.prom").unlink(missing_ok=True)
        for app, path in found.items():
            settings = json.loads(path.read_bytes())
            if app not in self.watched or self.watched[app].settings != settings:
                if app in self.watched and (old := self.watched[app].probe):
                    old.over.set()
                self.watched[app] = Watched(app, settings)
            if probes:
                self.follow_probe(self.watched[app], path.with_name(f"{app}.probe.json"))

    def follow_probe(self, watched: Watched, path: Path) -> None:
        """Have a project's probe run as its settings say now, from the first release on."""
        settings = json.loads(path.read_bytes()) if path.exists() else None
        if settings and settings["idle"] and not Path("/srv", watched.app, "live").is_symlink():
            settings = None
        if watched.probe and watched.probe.settings != settings:
            watched.probe.over.set()
            watched.probe = None
        if settings and not watched.probe:
            watched.probe = Thread(watched, settings)
            watched.probe.start()

    def add(self, samples: Samples, name: str, part: Callable[[], Samples]) -> None:
        """Add what a part has read, or that it failed; say so when that begins."""
        fault = ""
        try:
            samples.extend(part())
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if fault and fault != self.failed.get(name):
            say(f"{name} could not be read: {fault}")
        self.failed[name] = fault
        self.up(samples, name, not fault)

    @staticmethod
    def up(samples: Samples, name: str, up: bool) -> None:
        """Add whether a part could be read."""
        app, _, part = name.rpartition("/")
        samples.add("channels_metrics_up", up, part=part, **({"app": app} if app else {}))


def main() -> None:
    """Write until somebody ends it, or once."""
    daemon = Daemon()
    if "--once" in sys.argv[1:]:
        daemon.turn(probes=False)
        return
    while True:
        begun = time.monotonic()
        try:
            daemon.turn()
        except Exception as error:  # such as a full disk: the next turn may do better, and the age of the file tells
            say(f"nothing was written: {type(error).__name__}: {error}")
        time.sleep(max(1.0, SECONDS - (time.monotonic() - begun)))


if __name__ == "__main__":
    main()
