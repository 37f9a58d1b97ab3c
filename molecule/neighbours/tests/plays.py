"""Playbooks for the projects that are added beside the one that was on the host first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lab_host import ROOT

HERE = Path(__file__).resolve().parents[1]


def play(project: str, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook for a project of this scenario, as its user does, without a terminal."""
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        str(HERE / "inventory" / f"{project}.yml"),
    ]
    given = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PY_COLORS"))}
    given |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [*command, *arguments, playbook], cwd=ROOT, env=given, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


def changes(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many tasks changed something on the host; fail the test if the run failed."""
    found = re.search(r"^neighbours\s*:.* changed=(\d+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        pytest.fail(f"the run ended with {done.returncode}:\n{done.stdout}")
    return int(found[1])
