"""Run plays with Mitogen if its package is installed, else with Ansible's own linear strategy and a notice.

Mitogen's strategy is looked up in the environment that runs ansible-playbook, so ansible.cfg needs no path with a
Python version in it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.plugins.strategy.linear import StrategyModule as LinearStrategy
from ansible.utils.display import Display

from ..module_utils.speed.ansible_core import HOME, hasten, hasten_core, kept, versions

DOCUMENTATION = """
name: fastest
author: ansible-channels-stack
short_description: Mitogen's linear strategy if it is installed, otherwise Ansible's own
description:
  - Behaves as C(mitogen_linear), several times faster than C(linear) over SSH.
  - Without the C(mitogen) package it behaves as C(linear) and says so once.
  - At each run, Mitogen shortens what it sends to hosts, and Ansible compiles each template in each task that has it.
    Here both are kept from run to run, below Ansible's own folder, by the digest of what they were made from. Of
    templates, only the bundle's own are kept, since those of an inventory may hold secrets.
"""


def remembered(shorten: Callable[[str | bytes], str], folder: Path) -> Callable[[str | bytes], str]:
    """Return a function that does what `shorten` does, and keeps the results in a folder."""

    def remember(source: str | bytes) -> str:
        content = source if isinstance(source, bytes) else source.encode(errors="surrogatepass")
        digest = hashlib.sha256(content).hexdigest()
        short: str = kept(folder, digest, lambda: shorten(source).encode(), bytes.decode)
        return short

    return remember


def shorten_once() -> None:
    """Keep the shortened code that Mitogen sends to hosts; this saves half a second at a run's first task."""
    # Finding each module's imports reads mostly the same Ansible files: compile them once, not for each module.
    ansible_mitogen.module_finder.compile = functools.cache(compile)
    mitogen.minify.minimize_source = remembered(
        mitogen.minify.minimize_source, HOME / "shortened" / versions("mitogen")
    )


hasten_core()
try:
    import ansible_mitogen.module_finder
    import ansible_mitogen.strategy
    import mitogen
    import mitogen.minify

    mixin = ansible_mitogen.strategy.StrategyMixin
except Exception as error:  # ansible_mitogen itself raises if Ansible is too new for it
    Display().warning(
        "The mitogen package is not installed: this run uses Ansible's own, slower strategy."
        if isinstance(error, ImportError)
        else f"The mitogen package does not fit this Ansible: this run uses Ansible's own, slower strategy. {error}"
    )

    Strategy: Any = LinearStrategy
else:
    hasten(shorten_once)
    Strategy = type("MitogenStrategy", (mixin, LinearStrategy), {})


class StrategyModule(Strategy):
    """Mitogen's linear strategy, or Ansible's own."""
