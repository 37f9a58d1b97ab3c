"""Files and functions of Python are short enough to be read at one go."""

from __future__ import annotations

import ast
import statistics
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 450  # lines of a file
MEDIAN = 200  # lines of half of the files
SCREEN = 50  # lines of a function
#: Where it stands. Of tests, only those that need hosts are looked at, and not at their functions: fixtures are long.
FOLDERS = ("plugins/**/*.py", "scripts/*.py", "roles/*/files/**/*.py", "molecule/**/*.py")


def files() -> dict[str, str]:
    """Return the texts of all files that git knows in these folders, but for links, by their paths."""
    pathspecs = [f":(glob){folder}" for folder in FOLDERS]
    shown = subprocess.run(["git", "ls-files", *pathspecs], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [path for path in shown.stdout.splitlines() if not (ROOT / path).is_symlink() and (ROOT / path).exists()]
    return {path: (ROOT / path).read_text() for path in paths}


FILES = files()


def test_each_folder_is_looked_into() -> None:
    assert {path.partition("/")[0] for path in FILES} == {"plugins", "scripts", "roles", "molecule"}
    assert len(FILES) > 200


def test_no_file_is_longer() -> None:
    lengths = {path: len(text.splitlines()) for path, text in FILES.items()}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


@pytest.mark.parametrize("folder", ["", "plugins/", "roles/", "scripts/", "molecule/"])
def test_half_of_the_files_are_short(folder: str) -> None:
    lengths = [len(text.splitlines()) for path, text in FILES.items() if path.startswith(folder)]
    assert statistics.median(lengths) <= MEDIAN


def test_functions_fit_a_screen() -> None:
    found = {}
    for path, text in FILES.items():
        if "/tests/" in path:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > SCREEN:
                    found[f"{path}: {node.name}"] = length
    assert found == {}
