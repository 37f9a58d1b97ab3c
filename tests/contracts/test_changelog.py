"""The changelog and the version: what antsibull-changelog makes, what is in the tarball, and how a release is made."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def version_of(root: Path) -> str:
    """Return the version that galaxy.yml says, which must be everywhere else, too."""
    version = yaml.safe_load((root / "galaxy.yml").read_text())["version"]
    with (root / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == version
    assert set(re.findall(r"channels-stack-([\d.]+)\.tar", (root / "README.md").read_text())) == {version}
    return version


def releases(root: Path) -> dict[str, Any]:
    """Return what was released, by version."""
    return yaml.safe_load((root / "changelogs" / "changelog.yaml").read_text())["releases"]


def test_version_is_the_newest_release() -> None:
    assert version_of(ROOT) == max(releases(ROOT), key=lambda version: [int(number) for number in version.split(".")])


def test_changelog_is_what_the_tool_makes(tmp_path: Path) -> None:
    tools = subprocess.check_output(["scripts/more_tools.sh", "docs"], cwd=ROOT, text=True).strip()
    command = [f"{tools}/antsibull-changelog", "generate", "--output", str(tmp_path / "made.md")]
    subprocess.run(command, cwd=ROOT, check=True)
    assert (tmp_path / "made.md").read_text() == (ROOT / "CHANGELOG.md").read_text()


def test_tarball_has_the_changelog(tmp_path: Path) -> None:
    subprocess.run(["ansible-galaxy", "collection", "build", "--output-path", str(tmp_path)], cwd=ROOT, check=True)
    with tarfile.open(tmp_path / f"channels-stack-{version_of(ROOT)}.tar.gz") as tarball:
        names = tarball.getnames()
    assert {"CHANGELOG.md", "changelogs/changelog.yaml", "changelogs/config.yaml", "README.md"} <= set(names)
    assert not [name for name in names if name.startswith(("changelogs/fragments", "changelogs/.", "scripts"))]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What git has of this tree, in a folder that a release may change, with the tools of this one and no fragment."""
    files = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    )
    for name in filter(None, files.split("\0")):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name, follow_symlinks=False)
    (tmp_path / ".venv").symlink_to((ROOT / ".venv").resolve())
    subprocess.run(["scripts/more_tools.sh", "docs"], cwd=ROOT, check=True)
    (tmp_path / ".cache").symlink_to(ROOT / ".cache")
    for fragment in (tmp_path / "changelogs" / "fragments").glob("*.yml"):
        fragment.unlink()
    return tmp_path


def release(tree: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Run what `make release` runs."""
    return subprocess.run(
        [str(tree / "scripts/docs/release.sh"), version],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


def test_release_takes_the_fragments(tree: Path) -> None:
    fragment = tree / "changelogs" / "fragments" / "speed.yml"
    fragment.write_text("---\nminor_changes:\n  - >-\n    release - Takes half as long, see ``release_keep``.\n")
    done = release(tree, "1000.2.0")
    assert done.returncode == 0, done.stdout
    assert version_of(tree) == "1000.2.0" and not fragment.exists()
    assert set(releases(tree)) == {*releases(ROOT), "1000.2.0"}
    newest, _, before = (tree / "CHANGELOG.md").read_text().partition(f"## v{version_of(ROOT)}".replace(".", r"\."))
    assert "Takes half as long" in newest and "Takes half as long" not in before
    assert "git tag --annotate v1000.2.0" in done.stdout


@pytest.mark.parametrize(
    ("version", "fragment", "reason"),
    [
        ("1000.2.0", None, "nothing in changelogs/fragments"),
        ("0.9.0", "minor_changes: [a - b.]", "0.9.0 is not newer than"),
        ("", "minor_changes: [a - b.]", "Say which version"),
        ("next", "minor_changes: [a - b.]", "Say which version"),
        ("1000.2.0", "minor_chnges: [a - b.]", "invalid section: minor_chnges"),
    ],
)
def test_release_that_is_refused_changes_nothing(tree: Path, version: str, fragment: str | None, reason: str) -> None:
    if fragment:
        (tree / "changelogs" / "fragments" / "x.yml").write_text(f"---\n{fragment}\n")
    done = release(tree, version)
    assert done.returncode != 0 and reason in done.stdout
    assert version_of(tree) == version_of(ROOT) and releases(tree) == releases(ROOT)
