"""What a proof and the doctor mention at their end about monitoring and backups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import action_loader
from ansible_collections.channels.stack.plugins.module_utils.doctor.notices import longest, notices
from ansible_collections.channels.stack.plugins.module_utils.host.backups import newest

NOW = 1_800_000_000.0
HOUR = 3600
GIVEN = {"app": "shop", "site": True, "watched": True, "times": ["02:40"]}


@pytest.mark.parametrize(
    ("given", "backup", "said"),
    [
        ({}, NOW - 24 * HOUR, []),
        ({}, NOW - 35 * HOUR, []),
        ({}, NOW - 37 * HOUR, ["newest backup of this host is 37 hours old, and one is due every 24 hours"]),
        ({"times": ["00:00", "12:00", "18:00"]}, NOW - 17 * HOUR, []),
        ({"times": ["00:00", "12:00", "18:00"]}, NOW - 19 * HOUR, ["19 hours old, and one is due every 12 hours"]),
        ({}, 0.0, ["No backup of this host has been made yet"]),
        ({}, None, []),
        ({"times": []}, None, ["No backup is set up"]),
        ({"watched": False, "times": []}, None, ["Nothing watches this site", "No backup is set up"]),
        ({"watched": False, "times": [], "site": False}, None, []),
        ({"watched": False, "site": False}, NOW - 90 * 24 * HOUR, ["90 days old"]),
    ],
)
def test_notices_say_what_is_amiss_in_a_line_each(given: dict[str, Any], backup: float | None, said: list[str]) -> None:
    found = notices(GIVEN | given, backup, NOW)
    assert len(found) == len(said) and all(part in line for part, line in zip(said, found, strict=True)), found
    assert notices({}, backup, NOW) == [], "nobody wants any"


def test_longest_time_between_backups_goes_over_midnight() -> None:
    assert longest(["02:40"]) == 24 * HOUR
    assert longest(["14:40", "02:40"]) == 12 * HOUR
    assert longest(["08:00", "10:00", "08:00"]) == 22 * HOUR


@pytest.mark.parametrize(
    ("state", "made"),
    [
        ('{"last_success_timestamp_seconds": 7, "error": ""}', 7.0), ('{"repository": "x"}', 0.0), (None, None),
        ("{", None), ("[]", None), ('{"last_success_timestamp_seconds": "x"}', None),
    ],
)  # fmt: skip
def test_newest_backup_is_what_the_tool_has_noted(tmp_path: Path, state: str | None, made: float | None) -> None:
    if state is not None:
        (tmp_path / "shop-backup").mkdir()
        (tmp_path / "shop-backup" / "state.json").write_text(state)
    assert newest("shop", tmp_path) == made


@pytest.mark.parametrize(("bundle", "told"), [({"generation": "x"}, True), ({}, False)])
def test_doctor_mentions_them_on_hosts_of_this_bundle_alone(tmp_path: Path, bundle: dict[str, str], told: bool) -> None:
    evidence = {
        "exchanges": [], "units": [], "user": "root", "manager": "systemd", "bundle": bundle, "processes": [],
        "sockets": [], "skew": 0.0, "nginx": {}, "project": {},
    }  # fmt: skip
    args = {
        "name": "app-1", "url": "ws://127.0.0.1:9/", "query": "", "origin": "http://localhost", "timeout": 1,
        "collected": {"evidence": evidence, "token": "", "backup": 1.0}, "idle_seconds": 0, "validate_certs": True,
        "foreign_origin": "", "report": str(tmp_path / "app-1.json"), "notices": GIVEN | {"watched": False},
    }  # fmt: skip
    task = MagicMock(async_val=0, args=args, check_mode=False, diff=False, delegate_to=None)
    made = action_loader.get(
        "channels.stack.doctor_report", task=task, connection=MagicMock(), play_context=MagicMock(),
        loader=DataLoader(), templar=MagicMock(), shared_loader_obj=MagicMock(),
    )  # fmt: skip
    result = made.run(task_vars={})
    ends = [line for line in result["lines"] if line.startswith("  note ")]
    assert len(ends) == (2 if told else 0), result["lines"]
    assert "failed" not in result and json.loads((tmp_path / "app-1.json").read_text())["verdict"] == result["verdict"]
