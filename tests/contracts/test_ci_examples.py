"""The examples of a deploy from CI: one at a time, with checked host keys, and no secret in a command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "ci"
NAMES = ("github-actions.yml", "gitlab-ci.yml")
SECRETS = ("VAULT_PASSWORD", "SSH_KEY")
FILES = ("vault-password", "ssh-key", "known-hosts")
PLAYBOOKS = re.compile(r"\bchannels\.stack\.(\w+)")


def loaded(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text())


def github() -> dict[str, Any]:
    (job,) = loaded("github-actions.yml")["jobs"].values()
    return job


def gitlab() -> dict[str, dict[str, Any]]:
    """The jobs, each with what it extends."""
    whole = loaded("gitlab-ci.yml")
    return {
        name: {**whole[job["extends"]], **job}
        for name, job in whole.items()
        if isinstance(job, dict) and "extends" in job
    }


def commands(name: str) -> list[str]:
    """Every line that a shell runs."""
    if name == "github-actions.yml":
        texts = [step["run"] for step in github()["steps"] if "run" in step]
    else:
        parts = ("before_script", "script", "after_script")
        texts = [line for job in gitlab().values() for part in parts for line in job[part]]
    return [line for text in texts for line in text.splitlines()]


def environments() -> Iterator[dict[str, str]]:
    yield github()["env"]
    yield from (job["variables"] for job in gitlab().values())


def test_one_deploy_at_a_time() -> None:
    concurrency = loaded("github-actions.yml")["concurrency"]
    assert concurrency["group"] and concurrency["cancel-in-progress"] is False
    assert {(job["resource_group"], job["interruptible"]) for job in gitlab().values()} == {("production", False)}


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_in_a_command(name: str) -> None:
    """A command's words can be seen by other processes; GitLab's variables of type File hold paths."""
    for line in commands(name):
        assert "secrets." not in line and "set -x" not in line, line
        for secret in SECRETS:
            if re.search(rf"\$\{{?{secret}\b", line):
                assert name == "gitlab-ci.yml" and line.startswith("install -m 0600 "), line
    text = "\n".join(commands(name))
    for secret, file in zip((*SECRETS, "SSH_KNOWN_HOSTS"), FILES, strict=True):
        way = rf'printenv {secret} > "\$folder/{file}"' if "github" in name else rf'"\${secret}" "\$SECRETS/{file}"'
        assert re.search(way, text), f"{secret} does not come into a file"


def test_files_with_secrets_are_for_nobody_else_and_go() -> None:
    (writing,) = (step for step in github()["steps"] if "printenv" in step.get("run", ""))
    lines = writing["run"].splitlines()
    assert lines[0] == "umask 077" and 'chmod 0600 "$folder"/*' in lines
    assert github()["steps"][-1] == {
        "name": "Remove the secrets", "if": "always()", "run": 'rm -rf "$RUNNER_TEMP/deploy"',
    }  # fmt: skip
    for job in gitlab().values():
        assert 'mkdir -m 0700 "$SECRETS"' in job["before_script"]
        assert job["after_script"] == ['rm -rf "$SECRETS"']


@pytest.mark.parametrize("name", NAMES)
def test_host_keys_are_checked(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert re.search(r"UserKnownHostsFile=\$\w+/known-hosts -o StrictHostKeyChecking=yes$", text, re.MULTILINE)
    assert not re.search(r"StrictHostKeyChecking=(?!yes)|ssh-keyscan|/dev/null", text)
    assert all(each["ANSIBLE_HOST_KEY_CHECKING"] == "true" for each in environments())


@pytest.mark.parametrize("name", NAMES)
def test_reports_are_kept_also_of_a_failure(name: str) -> None:
    if name == "github-actions.yml":
        (keeping,) = (step for step in github()["steps"] if "upload-artifact" in step.get("uses", ""))
        assert keeping["if"] == "always()" and keeping["with"]["path"] == "artifacts/"
    else:
        assert all(
            job["artifacts"]["when"] == "always" and job["artifacts"]["paths"] == ["artifacts/"]
            for job in gitlab().values()
        )
    defaults = yaml.safe_load((ROOT / "roles" / "handshake" / "defaults" / "main.yml").read_text())
    assert "/artifacts/handshake/" in defaults["handshake_report"], "the proof writes its report elsewhere"


@pytest.mark.parametrize("name", NAMES)
def test_playbooks_and_variables_exist(name: str) -> None:
    runs = [line for line in commands(name) if line.startswith("ansible-playbook")]
    assert len(runs) == 2
    known = (ROOT / "docs" / "variables.md").read_text()
    for line in runs:
        named = PLAYBOOKS.findall(line)
        assert named and all((ROOT / "playbooks" / f"{each}.yml").is_file() for each in named), line
        assert re.search(r'-e "release_version=\$(GITHUB_SHA|CI_COMMIT_SHA)"', line), line
        for variable in re.findall(r'-e "(\w+)=', line):
            assert f"| `{variable}` |" in known, variable


@pytest.mark.parametrize("name", NAMES)
def test_tools_are_the_pinned_ones(name: str) -> None:
    """The versions are those that the collection is tested with; `make lock` may have taken newer ones."""
    (line,) = {line for line in commands(name) if line.startswith("pip install")}
    pinned = line.removeprefix("pip install ").split()
    assert {each.partition("==")[0] for each in pinned} == {"ansible-core", "mitogen", "wsproto"}
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(any(entry.startswith(f"{each} ") for entry in lock) for each in pinned), "not as requirements.lock has"
    assert "ansible-galaxy collection install --requirements-file requirements.yml" in commands(name)
    (collection,) = loaded("requirements.yml")["collections"]
    assert collection["type"] == "git" and collection["version"]
