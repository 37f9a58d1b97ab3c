"""What the tests of this scenario share: the fixtures of all scenarios. Each test file says which host it is about."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "resources"))

from lab_fixtures import *  # noqa: F403 - pytest finds fixtures and hooks by their names in this module
