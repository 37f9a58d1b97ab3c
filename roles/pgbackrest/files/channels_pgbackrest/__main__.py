#!/usr/bin/python3
"""Start the tool: `/usr/local/sbin/channels-pgbackrest` is a link to this file."""

import sys
from pathlib import Path

# From this file's own place, wherever a link to it is. Nothing else in the folder can be found as a top-level module.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from channels_pgbackrest.commands import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
