"""Plays run with Mitogen where it is installed, and with Ansible's own strategy and a notice where it is not."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from ansible._internal._datatag._tags import Origin
from ansible._internal._templating._jinja_bits import AnsibleEnvironment, _TemplateCompileContext
from ansible.utils.display import Display
from ansible_collections.channels.stack.plugins.module_utils.source import cache
from ansible_collections.channels.stack.plugins.module_utils.speed import ansible_core

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


def run(tmp_path: Path, text: str = PLAY, **environment: str) -> str:
    """Run a play with the project's configuration, and return what it printed."""
    play = tmp_path / "play.yml"
    play.write_text(text)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), str(play), "-i", "localhost,", "-c", "local"],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def fastest() -> ModuleType:
    """The strategy's module, and none of what it changes in Ansible after the test."""
    before = AnsibleEnvironment.compile
    name = "ansible_collections.channels.stack.plugins.strategy.fastest"
    sys.modules.pop(name, None)
    module = importlib.import_module(name)
    AnsibleEnvironment.compile = before
    return module


def test_what_is_sent_to_hosts_is_shortened_once(fastest: ModuleType, tmp_path: Path) -> None:
    asked: list[object] = []

    def shorten(source: str | bytes) -> str:
        asked.append(source)
        return str(source)[:5]

    remember = fastest.remembered(shorten, tmp_path / "kept")
    assert [remember("long text ✓"), remember("long text ✓"), remember(b"other")] == ["long ", "long ", "b'oth"]
    assert asked == ["long text ✓", b"other"]
    for left in (b"\xff", b""):  # as a full disk or a crash may leave it
        for file in (tmp_path / "kept").iterdir():
            file.write_bytes(left)
        assert [remember("long text ✓"), remember("long text ✓")] == ["long ", "long "]
        assert asked.pop() == "long text ✓" and len(asked) == 2, "what cannot be read is made again, once"
    (tmp_path / "kept").chmod(0o500)
    assert remember("long text ✓") == "long ", "what cannot be read is made again"


def test_templates_of_the_bundle_are_compiled_once(fastest: ModuleType, tmp_path: Path) -> None:
    """Those of others are once in each run, and nothing of them is written: a value of theirs may be a secret."""
    compiled: list[str] = []

    def compile_template(self: AnsibleEnvironment, source: str, **options: Any) -> CodeType:
        compiled.append(source)
        return compile(repr(str(source)), "<template>", "eval")

    folder = tmp_path / "kept"
    compile_kept = ansible_core.compiled(compile_template, folder)
    own = Origin(path=str(ROOT / "roles" / "nginx" / "vars" / "main.yml")).tag("{{ own }}")
    foreign = Origin(path=str(ROOT / "inventories" / "production" / "vault.yml")).tag("{{ foreign }} secret")
    beside = Origin(path=str(ROOT / "roles-of-mine" / "main.yml")).tag("{{ beside }}")
    plain, blocks = AnsibleEnvironment(), AnsibleEnvironment(lstrip_blocks=True)
    for _ in range(2):
        for source in (own, foreign, beside, "{{ unknown }}"):
            assert eval(compile_kept(plain, source)) == source
    assert compiled == [own, foreign, beside, "{{ unknown }}"]
    assert [b"own" in path.read_bytes() for path in folder.iterdir()] == [True]
    assert folder.stat().st_mode & 0o077 == 0
    for source in (own, foreign):
        compile_kept(blocks, source)
        with _TemplateCompileContext(escape_backslashes=True):
            compile_kept(plain, source)
        assert compiled[-2:] == [source, source], "another syntax makes another code of it"
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:20])
    made = len(compiled)
    assert [eval(compile_kept(plain, own)) for _ in range(2)] == [own, own]
    assert len(compiled) == made + 1, "what cannot be read is made again, once"
    next_run = ansible_core.compiled(compile_template, folder)
    next_run(plain, own), next_run(plain, foreign)
    assert compiled[made + 1 :] == [foreign]


def test_templates_are_given_all_variables_and_change_none(tmp_path: Path) -> None:
    """The variables are not copied for each of them."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "one.j2").write_text(
        "{% set _ = all.append(3) %}{{ template_path | basename }} {{ all }}"
    )
    told = run(
        tmp_path,
        """
- hosts: localhost
  gather_facts: false
  vars: {all: [1, "{{ 1 + 1 }}"]}
  tasks:
    - ansible.builtin.debug: {msg: "{{ lookup('template', 'one.j2') }}, then {{ all }} {{ template_path is defined }}"}
""",
    )
    assert "one.j2 [1, 2, 3], then [1, 2] False" in told or "one.j2 [1, 2], then [1, 2] False" in told, told


def test_mitogen_runs_the_tasks(tmp_path: Path) -> None:
    output = run(tmp_path)
    assert "mitogen package is not installed" not in output
    assert "(mitogen:" in output


@pytest.mark.parametrize("strategy", ["channels.stack.fastest", "ansible.builtin.linear"])
def test_program_of_a_module_gets_to_the_host(tmp_path: Path, strategy: str) -> None:
    """Neither way brings files that a module could read; without the program, the module fails."""
    told = run(
        tmp_path,
        """
- hosts: localhost
  gather_facts: false
  tasks:
    - channels.stack.websocket_doctor: {url: "ws://localhost:1/", app: no-such-project, timeout: 1}
      register: __seen
    - ansible.builtin.debug: {msg: "FAULT {{ 'fault' in __seen.evidence }}"}
""",
        ANSIBLE_STRATEGY=strategy,
    )
    assert "FAULT False" in told


def test_what_does_not_fit_ansible_costs_speed_and_a_notice(
    fastest: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a release of ansible-core has another private name."""
    made: list[str] = []
    told: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda self, text, **_: told.append(text))

    def impossible() -> None:
        raise ImportError("cannot import name 'Origin'")

    ansible_core.hasten(impossible, lambda: made.append("the next"))
    assert made == ["the next"]
    assert len(told) == 1 and "impossible: ImportError" in told[0]


def test_with_a_mitogen_that_does_not_fit_ansible_runs_them(tmp_path: Path) -> None:
    """It says so itself when it is imported."""
    (tmp_path / "ansible_mitogen").mkdir()
    (tmp_path / "ansible_mitogen" / "__init__.py").write_text("raise RuntimeError('Ansible 9.9 is too recent')\n")
    output = run(tmp_path, PYTHONPATH=str(tmp_path))
    assert (
        "does not fit this Ansible: this run uses Ansible's own, slower strategy. Ansible 9.9 is too recent" in output
    )
    assert "(mitogen:" not in output


def test_ansible_core_alone_is_enough(fastest: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package `ansible`, which brings collections that nothing here uses, may be absent."""
    right, before, told = importlib.metadata.version, AnsibleEnvironment.compile, []

    def version(name: str) -> str:
        if name == "ansible":
            raise importlib.metadata.PackageNotFoundError(name)
        return right(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(Display, "warning", lambda self, text, **_: told.append(text))
    ansible_core.hasten(ansible_core.keep_templates, fastest.shorten_once)
    AnsibleEnvironment.compile = before
    assert told == []


def test_files_that_nobody_uses_are_deleted(tmp_path: Path) -> None:
    names = ("old/archive", "read/archive", "new/archive")
    for name in names:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    now, long_ago = time.time(), time.time() - 86400 * (cache.KEPT_DAYS + 1)
    os.utime(tmp_path / "old/archive", (long_ago, long_ago))
    os.utime(tmp_path / "read/archive", (now, long_ago))
    cache.prune(tmp_path)
    assert [name for name in names if (tmp_path / name).exists()] == ["read/archive", "new/archive"]


def test_without_mitogen_ansible_runs_them_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "ansible_mitogen").mkdir()
    (tmp_path / "ansible_mitogen" / "__init__.py").write_text("raise ImportError('not here')\n")
    output = run(tmp_path, PYTHONPATH=str(tmp_path))
    assert "The mitogen package is not installed: this run uses Ansible's own, slower strategy." in output
    assert "(mitogen:" not in output
