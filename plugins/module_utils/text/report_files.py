"""A report's two files: its data as JSON, and what people read beside it. Controller only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write(path: Path, report: Mapping[str, Any], suffix: str, page: str) -> None:
    """Write a report as JSON, and its page beside it with another suffix, each whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    for target, content in ((path, text), (path.with_suffix(suffix), page)):
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        part.write_text(content, encoding="utf-8")
        part.replace(target)
