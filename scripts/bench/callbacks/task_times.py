"""Callback plugin of the benchmarks: write how long each task took, in seconds, as JSON to the file in BENCH_TASKS."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Takes a task for as long as nothing else begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_times"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.name = time.monotonic(), "start of Ansible, the inventory and the playbooks"
        self.times: list[tuple[str, float]] = []

    def next(self, name: str) -> None:
        """Note the end of what ran, and what begins."""
        now = time.monotonic()
        self.times.append((self.name, now - self.begun))
        self.begun, self.name = now, name

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play begins."""
        self.next("play")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins."""
        self.next(task.get_name().rpartition(" : ")[2])

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run ends."""
        self.next("")
        Path(os.environ["BENCH_TASKS"]).write_text(json.dumps(self.times), encoding="utf-8")
