"""Check that a host has the Python for environments, or can get it. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..systems import for_people, system_of
from ..view import HostView, Problem, check, listed, probe_facts

VERSION = re.compile(r"(?:c?python@?)?(3\.\d+)(?:\.\d+)?")


@check("release")
def python_of_the_host(host: HostView) -> Iterator[Problem]:
    """The Python version is there, or this run installs or fetches it; otherwise no host is changed."""
    facts = probe_facts(host.probe)
    wanted = VERSION.fullmatch(str(host.get("release_python") or ""))
    if not wanted or host.get("release_python_download") or not facts.get("pythons"):
        return
    there = {f"3.{minor}" for minor in re.findall(r"/python3\.(\d+)(?:\s|$)", facts["pythons"])}
    there |= {".".join(facts.get("python", "").split(".")[:2])} - {""}
    packages = {str(one) for name in ("release_system_packages", "base_extra_packages") for one in host.items(name)}
    if wanted[1] in there or f"python{wanted[1]}" in packages:
        return
    has = listed(sorted(there, key=lambda one: int(one.partition(".")[2])))
    fix = (
        "Have uv fetch it from its makers' releases, or write python3 for the system's own:\n"
        "  release_python_download: true"
    )
    yield Problem("release_python", f"is {wanted[1]}, and {for_people(system_of(facts))} there has {has}", fix)
