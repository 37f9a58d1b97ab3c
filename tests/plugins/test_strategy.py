"""Plays run with Mitogen where it is installed, and with Ansible's own strategy and a notice where it is not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.command: {argv: [python3, -c, "import os; print(open('/proc/%d/cmdline' % os.getppid()).read())"]}
      changed_when: false
      register: __parent
    - ansible.builtin.debug: {msg: "PARENT {{ __parent.stdout }}"}
"""


def run(tmp_path: Path, **environment: str) -> str:
    """Run a play with the project's configuration, and return what it printed."""
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), str(play), "-i", "localhost,", "-c", "local"],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_what_is_sent_to_hosts_is_shortened_once(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("fastest", ROOT / "plugins" / "strategy" / "fastest.py")
    assert spec and spec.loader
    fastest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fastest)
    asked: list[object] = []

    def shorten(source: str | bytes) -> str:
        asked.append(source)
        return str(source)[:5]

    remember = fastest.remembered(shorten, tmp_path / "kept")
    assert [remember("long text ✓"), remember("long text ✓"), remember(b"other")] == ["long ", "long ", "b'oth"]
    assert asked == ["long text ✓", b"other"]
    (tmp_path / "kept").chmod(0o500)
    for kept in (tmp_path / "kept").iterdir():
        kept.write_bytes(b"\xff")  # as a full disk or a crash may leave it
    assert remember("long text ✓") == "long ", "what cannot be read is made again"


def test_mitogen_runs_the_tasks(tmp_path: Path) -> None:
    output = run(tmp_path)
    assert "mitogen package is not installed" not in output
    assert "(mitogen:" in output


def test_without_mitogen_ansible_runs_them_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "ansible_mitogen").mkdir()
    (tmp_path / "ansible_mitogen" / "__init__.py").write_text("raise ImportError('not here')\n")
    output = run(tmp_path, PYTHONPATH=str(tmp_path))
    assert "The mitogen package is not installed: this run uses Ansible's own, slower strategy." in output
    assert "(mitogen:" not in output
