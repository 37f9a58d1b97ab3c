"""Run plays with Mitogen where its package is installed, else with Ansible's own linear strategy and a notice.

Mitogen's strategy is looked up in the environment that runs ansible-playbook, so no path with a Python version in it
stands in ansible.cfg.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from ansible import constants
from ansible.plugins.strategy.linear import StrategyModule as LinearStrategy
from ansible.utils.display import Display

DOCUMENTATION = """
name: fastest
short_description: Mitogen's linear strategy where it is installed, else Ansible's own
description:
  - Behaves as C(mitogen_linear), several times faster than C(linear) over SSH.
  - Without the C(mitogen) package it behaves as C(linear) and says so once.
  - What Mitogen sends to hosts it shortens first, at each run anew. Here that is kept from run to run, below Ansible's
    own folder, by the digest of what was shortened.
"""


def remembered(shorten: Callable[[str | bytes], str], folder: Path) -> Callable[[str | bytes], str]:
    """Return a function that does what `shorten` does to a text, and keeps the results in a folder.

    A result that cannot be read or written is made again.
    """

    def remember(source: str | bytes) -> str:
        content = source if isinstance(source, bytes) else source.encode(errors="surrogatepass")
        kept = folder / hashlib.sha256(content).hexdigest()
        with contextlib.suppress(OSError, ValueError):
            return kept.read_text(encoding="utf-8")
        short = shorten(source)
        with contextlib.suppress(OSError, ValueError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_text(short, encoding="utf-8")
            part.replace(kept)
        return short

    return remember


try:
    import ansible_mitogen.module_finder
    import ansible_mitogen.strategy
    import mitogen
    import mitogen.minify
except ImportError:
    Display().warning("The mitogen package is not installed: this run uses Ansible's own, slower strategy.")

    class StrategyModule(LinearStrategy):
        """Ansible's own linear strategy."""

else:
    # The imports of each module are looked for in much the same files of Ansible: compiled once, and not for each.
    ansible_mitogen.module_finder.compile = functools.cache(compile)
    # Half a second of the controller's time at the first task of each run.
    mitogen.minify.minimize_source = remembered(
        mitogen.minify.minimize_source,
        Path(constants.config.get_config_value("ANSIBLE_HOME")) / "shortened" / ".".join(map(str, mitogen.__version__)),
    )

    class StrategyModule(ansible_mitogen.strategy.StrategyMixin, LinearStrategy):
        """Mitogen's linear strategy."""
