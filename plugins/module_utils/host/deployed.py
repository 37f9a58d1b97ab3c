"""What this bundle has deployed here: the live generation, and what outlives releases."""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
from typing import Any

from . import raw


def bundle(app: str) -> dict[str, Any]:
    """What serves this bundle's project `app` here; without a name, the only project there is."""
    found = glob.glob(f"/srv/{app or '*'}/live/generation.json")
    if len(found) != 1:
        return {}
    try:
        described = json.loads(raw.read(found[0]))
    except ValueError:
        return {}
    return {**described, "home": os.path.dirname(found[0])}


def shared(bundle: dict[str, Any]) -> list[dict[str, str]]:
    """What is wrong with files and folders that outlive releases: `seen`, and `mend`, the command that mends it."""
    found = []
    for path in bundle.get("shared_paths", []):
        user, name = bundle["user"], path.rstrip("/")
        here, there = (
            os.path.realpath(bundle["home"] + "/code") + f"/{name}",
            f"{os.path.dirname(bundle['home'])}/shared/{name}",
        )
        one, other = shlex.quote(here), shlex.quote(there)
        if os.path.realpath(here) != os.path.realpath(there):
            aside = f"mv {one} {one}.aside && " if os.path.lexists(here) else ""
            found.append({"seen": f"{here} does not lead to {there}", "mend": f"{aside}ln -s {other} {one}"})
        elif not os.path.exists(there):
            if path.endswith("/"):  # the project makes its files itself
                found.append({"seen": f"{there} is not there", "mend": f"install -d -o {user} -g {user} {other}"})
        elif not raw.output("runuser", "--user", user, "--", "sh", "-c", 'test -w "$1" && echo yes', "sh", there):
            found.append({"seen": f"{there} is not writable for {user}", "mend": f"chown -R {user}: {other}"})
    return found


def fleet_view(app: str) -> dict[str, Any]:
    """What edges cannot see of an app host: whether it was taken out on purpose, and whom its nginx trusts."""
    site = raw.read(f"/etc/nginx/sites-enabled/{app}.conf")
    return {
        "drained": os.path.exists(f"/srv/{app}/drained"),
        "trusts": sorted(set(re.findall(r"^\s*set_real_ip_from (\S+);", site, re.MULTILINE))),
    }
