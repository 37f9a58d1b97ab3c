"""Service managers as the host's tool drives them: what they are told, without one that runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "roles" / "asgi" / "files"))
from generations import systemd as module  # noqa: E402


class Systemctl:
    """Remembers what it was told, and knows which units are active."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.active: set[str] = set()

    def __call__(self, *command: str, check: bool = True) -> str:
        if command[1] != "show":
            self.told.append(" ".join(command[1:]).replace(" --quiet", ""))
            return ""
        keys = command[2].removeprefix("--property=").split(",")
        known = {"MainPID": "0", "MemoryCurrent": "[not set]", "NRestarts": "0", "SubState": "dead"}
        known["ExecMainStartTimestampMonotonic"] = "0"
        blocks = []
        for name in command[3:]:
            state = {**known, "ActiveState": "active" if name in self.active else "inactive"}
            blocks.append("\n".join(f"{key}={state[key]}" for key in keys))
        return "\n\n".join(blocks)


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    """A systemd whose units are below tmp_path."""
    made = Systemctl()
    monkeypatch.setattr(module, "run", made)
    monkeypatch.setattr(module.Systemd, "UNITS", tmp_path / "units")
    (tmp_path / "units").mkdir()
    return made


def group(home: Path, generation: str, text: str | None) -> dict[str, Any]:
    """Make a generation of two processes; with no text, one of an older bundle, which brings no unit of its own."""
    folder = home / "generations" / generation
    folder.mkdir(parents=True, exist_ok=True)
    if text is not None:
        (folder / "app-daphne.service").write_text(text)
    return {
        "unit": "app-daphne", "generation": generation, "instances": [f"{generation}-1", f"{generation}-2"],
    }  # fmt: skip


def units(home: Path) -> dict[str, str]:
    """Return the unit files that systemd has, with their texts."""
    return {path.name: path.read_text() for path in (home / "units").iterdir()}


def test_each_generation_has_units_of_its_own(tmp_path: Path, systemctl: Systemctl) -> None:
    """A new one changes nothing that the one before would be started with, and goes without a trace."""
    systemd = module.Systemd("app", tmp_path)
    old, new = group(tmp_path, "r1-aa", "old"), group(tmp_path, "r2-bb", "new")
    systemd.start([old])
    assert units(tmp_path) == {f"app-daphne@r1-aa-{number}.service": "old" for number in (1, 2)}
    before = units(tmp_path)
    systemd.start([new])
    assert before.items() < units(tmp_path).items() and systemd.installed([old, new])
    systemctl.active = {f"app-daphne@r2-bb-{number}.service" for number in (1, 2)}
    systemd.stop([new])
    systemctl.active = set()
    assert units(tmp_path) == before
    systemctl.told.clear()
    systemd.stop([new])
    assert systemctl.told == [], "what is stopped already has nothing to be told"


def test_unit_that_somebody_edited_is_noticed_and_put_back(tmp_path: Path, systemctl: Systemctl) -> None:
    systemd = module.Systemd("app", tmp_path)
    mine = group(tmp_path, "r1-aa", "right")
    systemd.start([mine])
    systemctl.told.clear()
    systemd.start([mine])
    assert [line.split()[0] for line in systemctl.told] == ["enable"], "nothing had changed, so nothing is read anew"
    (tmp_path / "units" / "app-daphne@r1-aa-2.service").write_text("edited")
    assert not systemd.installed([mine])
    systemd.start([mine])
    assert systemd.installed([mine]) and systemctl.told.count("daemon-reload") == 1


def test_generation_of_an_older_bundle_runs_by_the_shared_unit(tmp_path: Path, systemctl: Systemctl) -> None:
    systemd = module.Systemd("app", tmp_path)
    (tmp_path / "units" / "app-daphne@.service").write_text("shared")
    old, new = group(tmp_path, "r1-aa", None), group(tmp_path, "r2-bb", "new")
    assert systemd.installed([old])
    systemd.start([old])
    systemd.start([new])
    assert systemd.shared([old, new]) == {"app-daphne"}, "it is still needed"
    assert systemd.shared([new]) == set()
    systemctl.active = {"app-daphne@r1-aa-1.service"}
    systemd.stop([old])
    assert "disable app-daphne@r1-aa-1.service app-daphne@r1-aa-2.service" in systemctl.told
    assert systemd.remove_shared({"app-daphne", "app-queue"}) == ["app-daphne"]
    assert systemd.remove_shared({"app-daphne"}) == []
    assert all(name.startswith("app-daphne@r2-bb") for name in units(tmp_path))
