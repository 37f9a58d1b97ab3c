#!/usr/bin/env python3
"""Print the Debian packages that a host gets which plays every part, as role base's defaults have them."""

from __future__ import annotations

from pathlib import Path

import yaml

packages = yaml.safe_load((Path(__file__).parents[1] / "roles" / "base" / "defaults" / "main.yml").read_text())
wanted = ["all", "app", "redis"] + ([] if Path("/run/systemd/system").exists() else ["supervisor"])
print(", ".join(name for group in wanted for name in packages["base_packages"][group]))
