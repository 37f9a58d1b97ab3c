#!/usr/bin/python3
"""Start the tool: `/usr/local/sbin/<app>-generations` leads here."""

import sys
from pathlib import Path

# By this file, wherever a link to it is; nothing else in the folder is to be found as a module of its own.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from generations.commands import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
