"""Indexes that packages come from: the usual one, and those that have to be named."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable


def host_of(address: str) -> str:
    """The host in an address, without credentials."""
    return re.sub(r"^\w+://(?:[^/@]*@)?([^/]+).*", r"\1", address)


@functools.cache
def usual_index() -> str:
    """The host of the default index, as built into pip or uv; empty if neither is here."""
    try:
        from pip._internal.models.index import PyPI

        return host_of(str(PyPI.simple_url))
    except (ImportError, AttributeError):
        uv = shutil.which("uv", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))
        told = subprocess.run([uv, "pip", "install", "--help"], capture_output=True, text=True).stdout if uv else ""
        found = re.search(r"--default-index\b.*?by\s+default:\s*<?(\w+://[^\s>)]+)", told, re.DOTALL)
        return host_of(found[1]) if found else ""


def foreign_notice(name: str, indexes: Iterable[str]) -> list[str]:
    """A notice if packages are locked from an index that a host would not use by itself."""
    hosts = sorted({host_of(one) for one in indexes if one} - {usual_index()})
    told = f"{name} takes packages from {', '.join(hosts)}; release_index or release_extra_indexes has to name it."
    return [told] if hosts else []
