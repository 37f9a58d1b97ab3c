#!/usr/bin/env python3
"""Write the reference of codes in docs/doctor.md from the doctor's catalogue.

scripts/doctor_codes.py            write it
scripts/doctor_codes.py --check    write nothing; exit 1 when it is stale
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.channels.stack.plugins.module_utils.doctor.catalogue import CATALOGUE, HOPS  # noqa: E402
from ansible_collections.channels.stack.plugins.module_utils.doctor.lines import ALL  # noqa: E402
from ansible_collections.channels.stack.plugins.module_utils.doctor.proofs import PROOFS  # noqa: E402

MARK = "<!-- From here on: written by scripts/doctor_codes.py from plugins/module_utils/doctor/catalogue.py. -->\n"


def reference() -> str:
    """Every code, hop by hop."""
    parts = []
    for hop, title in HOPS.items():
        entries = [entry for entry in CATALOGUE.values() if entry.hop == hop]
        parts.append(f"## {title}\n")
        parts += [
            f"### {entry.code}\n{entry.title}. {plain(entry.cause)}\n\n```\n{plain(entry.fix)}\n```\n"
            + proof(entry.code)
            for entry in entries
        ]
    return "\n".join(parts)


def proof(code: str) -> str:
    """How a code is proven, where it is written down."""
    return f"\nProven by: {PROOFS[code].text}\n" if code in PROOFS else ""


def plain(text: str) -> str:
    """A text with the names of its values in capitals."""
    text = text.replace("{lines}", ALL.replace("{", "{{").replace("}", "}}"))
    text = re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda match: match[1].upper(), text)
    return text.replace("{{", "{").replace("}}", "}")


def main() -> int:
    """Write or check the reference; return the exit status."""
    file = ROOT / "docs" / "doctor.md"
    present = file.read_text(encoding="utf-8")
    wanted = present.partition(MARK)[0] + MARK + reference()
    if "--check" not in sys.argv:
        file.write_text(wanted, encoding="utf-8")
    elif wanted != present:
        print("docs/doctor.md is stale: run scripts/doctor_codes.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
