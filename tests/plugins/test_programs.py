"""Actions that bring programs to their modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import action_loader

HOST = Path(__file__).resolve().parents[2] / "plugins" / "module_utils" / "host"


BACK = {
    "back": "trial/back.sh", "boot_unit": "trial/boot_unit.service", "boot_script": "trial/boot_script.init",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "programs"),
    [
        ("handshake", {"probe": "probe.py"}),
        ("load_host", {"probe": "probe.py"}),
        ("websocket_doctor", {"probe": "probe.py"}),
        ("trial", BACK),
    ],
)
def test_action_gives_programs_to_its_module(
    name: str, programs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module gets the files' texts beside the task's own arguments, and the action returns what it returns."""
    task = MagicMock(args={"app": "dashboard"}, async_val=0, check_mode=False, diff=False)
    action = action_loader.get(
        f"channels.stack.{name}", task=task, connection=MagicMock(), play_context=MagicMock(check_mode=False),
        loader=DataLoader(), templar=MagicMock(), shared_loader_obj=MagicMock(),
    )  # fmt: skip
    given: dict[str, Any] = {}

    def execute(module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        given.update(module_args, variables=task_vars)
        return {"changed": False, "results": [1]}

    monkeypatch.setattr(action, "_execute_module", execute)
    assert action.run(task_vars={"a": 1})["results"] == [1]
    texts = {argument: (HOST / file).read_text() for argument, file in programs.items()}
    assert given == {"app": "dashboard", "variables": {"a": 1}, **texts}
