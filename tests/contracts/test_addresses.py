"""No address of a package index or a mirror stands in the repository: which ones are asked is each machine's own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from pip._internal.models.index import PyPI

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]


def hosts() -> set[str]:
    """The hosts that pip and this machine's apt ask for packages."""
    told = " ".join(path.read_text(errors="replace") for path in SOURCES if path.is_file())
    mirrors = {found[1] for found in re.finditer(r"\w+://(?:[^/@\s]*@)?([\w.-]+\.\w+)", told)}
    return {str(PyPI.netloc), str(PyPI.file_storage_domain), *mirrors}


def test_no_index_or_mirror_is_named() -> None:
    patterns = [part for host in sorted(hosts()) for part in ("-e", host)]
    assert len(patterns) >= 4
    search = ["git", "grep", "--untracked", "-I", "-i", "-n", "--fixed-strings", *patterns]
    found = subprocess.run(search, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1, found.stdout + found.stderr
