"""The tool that breaks the product in small ways: what it changes, what it finds, and that it touches no file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import mutate  # noqa: E402
from mutations import changes  # noqa: E402


def texts(path: str, text: str) -> dict[str, str]:
    """Return what becomes of a text, by what is done to it and in which line."""
    return {f"{change.line}: {change.what}": change.applied(text) for change in changes(path, text)}


def test_changes_of_settings() -> None:
    text = "# a comment\nserver {\n    gzip on;\n    timeout 5s;\n}\n{% if x %}\na\n{% endif %}\n"
    assert texts("x.j2", text) == {
        "3: removed": text.replace("    gzip on;\n", ""),
        "3: on -> off": text.replace("on;", "off;"),
        "4: removed": text.replace("    timeout 5s;\n", ""),
        "4: 5 -> 6": text.replace("5s", "6s"),
        "6: negated": text.replace("{% if x %}", "{% if not (x) %}"),
        "7: removed": text.replace("a\n{% end", "{% end"),
    }


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("d /run/x 2750 user www-data", "2750 -> 2755"),
        ('  mode: "0640"', "0640 -> 0644"),
        ('  mode: "0755"', "0755 -> 0777"),
        ('  mode: "0644"', "0644 -> 0666"),
        ("UMask=0027", "0027 -> 0020"),
        ("install -d -m 700 /x", "700 -> 704"),
        ("a {{ b if c else d }}", "c -> not (c)"),
        ("return 301 /x$is_args;", "301 -> 302"),
    ],
)
def test_changes_of_values(line: str, what: str) -> None:
    assert what in [change.what for change in changes("x.conf", f"{line}\n")]


@pytest.mark.parametrize("line", ["# 5", "; on", "  proxy_pass http://unix:/a5;", "x $2", "}", "{% for a in b %}"])
def test_what_is_not_a_value_is_left(line: str) -> None:
    assert [change.what for change in changes("x.conf", f"{line}\n") if change.what != "removed"] == []


def test_changes_of_tasks() -> None:
    text = (
        "---\n- name: First\n  file:\n    path: /a\n    mode: '0640'\n  when: not b\n"
        "- name: Second\n  block:\n    - name: Inner\n      command: {argv: [a, true]}\n  rescue: []\n"
    )
    found = texts("tasks/main.yml", text)
    assert set(found) == {
        "4: removed", "5: removed", "5: 0640 -> 0644", "6: removed", "10: removed", "10: true -> false", "11: removed",
        "2: task removed: First", "7: task removed: Second", "9: task removed: Inner",
    }  # fmt: skip
    assert found["2: task removed: First"].startswith("---\n- name: Second")
    assert "Inner" not in found["9: task removed: Inner"] and "rescue" in found["9: task removed: Inner"]


def test_changes_of_a_program() -> None:
    text = '"""Words."""\n\ndef f(a, é="é"):\n    if not a and a != 1:\n        g(a)\n    return a in (True,)\n'
    assert texts("x.py", text) == {
        "4: and -> or": text.replace("and", "or"),
        "4: not removed": text.replace("not a", "a"),
        "4: != -> ==": text.replace("!=", "=="),
        "4: 1 -> 2": text.replace("1", "2"),
        "5: removed: g(a)": text.replace("g(a)", "pass"),
        "6: in -> not in": text.replace("a in", "a not in"),
        "6: True -> False": text.replace("True", "False"),
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small tree: one file of settings, a test of most of it, and rules."""
    root = tmp_path / "tree"
    for path, text in {
        "settings.conf": "size 5\nsecret yes\nmotto hello\n",
        "tests/conftest.py": "",
        "tests/test_settings.py": "def test_it():\n    assert 'size 5\\nsecret yes' in open('settings.conf').read()\n",
        "scripts/mutate.toml": "[[files]]\npaths = ['*.conf']\ntests = ['tests/test_settings.py']\n"
        "late = true\n"
        "[[equal]]\npath = '*'\nline = 'nothing'\nreason = 'a text'\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def run(root: Path, *arguments: str) -> int:
    """Run the tool for a tree; return its exit code."""
    return mutate.main([*arguments, "--jobs", "2"], root)


def test_what_no_test_notices_is_listed(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (project / "settings.conf").read_text()
    assert run(project, "--least", "90") == 1
    told = capfd.readouterr().out
    assert "settings.conf:3: removed" in told and "settings.conf:1" not in told and "80.0 % of 5" in told
    assert (project / "settings.conf").read_text() == before
    known = [json.loads(line) for line in (project / ".cache" / "mutations.jsonl").read_text().splitlines()]
    assert len(known) == 5
    # Nothing is tried twice, until a test or the file is another.
    assert run(project, "--least", "80") == 0
    assert len((project / ".cache" / "mutations.jsonl").read_text().splitlines()) == 5
    capfd.readouterr()
    rules = project / "scripts" / "mutate.toml"
    rules.write_text(rules.read_text().replace("nothing", "motto"))
    assert run(project) == 0
    assert "1 are left out" in capfd.readouterr().out


def test_time_that_is_over_leaves_the_rest_for_the_next_run(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(project, "--seconds", "0") == 0
    assert "5 were not tried" in capfd.readouterr().out


def test_sample_is_the_same_for_a_seed(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown = []
    for seed in ("1", "1", "2", "3"):
        assert run(project, "--list", "--sample", "2", "--seed", seed) == 0
        shown.append(capfd.readouterr().out)
    assert shown[0] == shown[1] and len(set(shown)) > 1 and shown[0].count("\n") == 2


@pytest.mark.parametrize(
    ("test", "told"),
    [("def test_it():\n    assert False\n", "fail by themselves (1)"), ("", "fail by themselves (5)")],
)
def test_tests_that_fail_by_themselves_judge_nothing(
    project: Path, capfd: pytest.CaptureFixture[str], test: str, told: str
) -> None:
    (project / "tests" / "test_settings.py").write_text(test)
    assert run(project) == 2
    assert told in capfd.readouterr().err


def test_pattern_without_a_file_is_an_error(project: Path) -> None:
    assert run(project, "--only", "elsewhere") == 2


def test_hanging_tests_have_noticed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import time\ndef test_it():\n    'size 5' in open('settings.conf').read() or time.sleep(600)\n"
    (project / "tests" / "test_settings.py").write_text(text)
    rules = project / "scripts" / "mutate.toml"
    rules.write_text(rules.read_text().replace("true", "false"))
    monkeypatch.setattr(mutate, "PATIENCE", 1.0)  # the change of this seed takes the size away
    assert run(project, "--sample", "1", "--seed", "2", "--least", "100") == 0


def test_rules_are_about_what_there_is() -> None:
    """Each file that is rendered onto a host has tests, and no rule is about something that has gone."""
    said = mutate.rules(ROOT)
    every, _ = mutate.mutants(ROOT, {**said, "equal": []})
    paths = {mutant.path for mutant in every}
    rendered = {path for path in mutate.tree(ROOT) if path.startswith("templates/")}
    assert rendered - paths == set()
    for rule in said["files"]:
        assert all((ROOT / test).is_file() for test in rule["tests"])
    lines = {path: (ROOT / path).read_text().splitlines() for path in paths}
    for rule in said["equal"]:
        assert any(
            mutate.equal(rule, mutant.path, lines[mutant.path][mutant.change.line - 1], mutant.change.what)
            for mutant in every
        ), rule
