"""Run plays with Mitogen where its package is installed, else with Ansible's own linear strategy and a notice.

Mitogen's strategy is looked up in the environment that runs ansible-playbook, so no path with a Python version in it
stands in ansible.cfg.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import importlib.metadata
import marshal
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.loader import filter_loader, lookup_loader, test_loader
from ansible.plugins.strategy.linear import StrategyModule as LinearStrategy
from ansible.utils.display import Display

from ..module_utils.source.cache import prune

DOCUMENTATION = """
name: fastest
author: ansible-channels-stack
short_description: Mitogen's linear strategy if it is installed, otherwise Ansible's own
description:
  - Behaves as C(mitogen_linear), several times faster than C(linear) over SSH.
  - Without the C(mitogen) package it behaves as C(linear) and says so once.
  - What Mitogen sends to hosts it shortens first, at each run anew, and Ansible compiles each template in each task
    that has it. Here both are kept from run to run, below Ansible's own folder, by the digest of what they were made
    from. Of templates only the bundle's own are, since those of an inventory may hold secrets.
"""

# Where the collection is, and what a link to it leads to.
BUNDLES = {path.parents[2] for path in (Path(__file__), Path(__file__).resolve())}
OWN = tuple(f"{bundle / name}{os.sep}" for bundle in BUNDLES for name in ("playbooks", "roles", "templates"))
HOME = Path(constants.config.get_config_value("ANSIBLE_HOME"))
# What decides how a template is read, and so what its compiled form is.
SYNTAX = (
    *(f"{kind}_{edge}_string" for kind in ("block", "variable", "comment") for edge in ("start", "end")),
    "line_statement_prefix", "line_comment_prefix", "trim_blocks", "lstrip_blocks", "newline_sequence",
    "keep_trailing_newline", "autoescape", "optimized", "sandboxed",
)  # fmt: skip


def kept(folder: Path, digest: str, make: Callable[[], bytes], read: Callable[[bytes], Any]) -> Any:
    """Return what a file of a folder holds; where it cannot be read, it is made, and written if that is possible."""
    path = folder / digest
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError):  # as a full disk or a crash may leave it
        if content := path.read_bytes():
            return read(content)
    made = make()
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        prune(folder.parent)
        part = path.with_suffix(f".{os.getpid()}")
        try:
            part.write_bytes(made)
            part.replace(path)
        finally:  # on a full disk, nothing of it is left
            part.unlink(missing_ok=True)
    return read(made)


def remembered(shorten: Callable[[str | bytes], str], folder: Path) -> Callable[[str | bytes], str]:
    """Return a function that does what `shorten` does to a text, and keeps the results in a folder."""

    def remember(source: str | bytes) -> str:
        content = source if isinstance(source, bytes) else source.encode(errors="surrogatepass")
        digest = hashlib.sha256(content).hexdigest()
        short: str = kept(folder, digest, lambda: shorten(source).encode(), bytes.decode)
        return short

    return remember


def compiled(compile_template: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Return a method that does what Jinja's `Environment.compile` does, and keeps what it makes of the bundle's texts.

    One that cannot be compiled raises as ever; nothing of it is kept.
    """
    # Private to ansible-core, which says by them where a text comes from and how its backslashes are read.
    from ansible._internal._datatag._tags import Origin
    from ansible._internal._templating._jinja_bits import _TemplateCompileContext

    def compile_kept(self: Any, source: Any, *arguments: Any, **options: Any) -> Any:
        origin = Origin.get_tag(source) if isinstance(source, str) and not arguments and not options else None
        if origin is None or not str(origin.path).startswith(OWN):
            return compile_template(self, source, *arguments, **options)
        context = _TemplateCompileContext.current(optional=True)
        syntax = [getattr(self, name) for name in SYNTAX] + sorted(self.extensions)
        syntax.append(context is not None and context.escape_backslashes)
        digest = hashlib.sha256(f"{syntax}\0{source}".encode(errors="surrogatepass")).hexdigest()
        return kept(folder, digest, lambda: marshal.dumps(compile_template(self, source)), marshal.loads)

    return compile_kept


def versions(*packages: str) -> str:
    """Return a name for what is made by packages' installed versions, and by this Python."""
    return "-".join([str(sys.implementation.cache_tag), *map(importlib.metadata.version, packages)])


def keep_templates() -> None:
    """Compile each of the bundle's templates once, and not in each task of each run."""
    from ansible._internal._templating._jinja_bits import AnsibleEnvironment

    folder = HOME / "compiled" / versions("ansible-core", "jinja2")
    AnsibleEnvironment.compile = compiled(AnsibleEnvironment.compile, folder)


def load_plugins() -> None:
    """Load what each task needs: it runs in a process of its own, which inherits what is loaded here."""
    filter_loader.get("ansible.builtin.default")
    test_loader.get("ansible.builtin.search")


def copy_less() -> None:
    """Have the template lookup copy variables on the first level, where it sets a few, and not down to each leaf."""
    template_lookup: Any = sys.modules[lookup_loader.get("ansible.builtin.template", class_only=True).__module__]
    if not hasattr(template_lookup, "deepcopy"):
        raise AttributeError("the lookup `template` copies its variables in another way")
    template_lookup.deepcopy = copy.copy


def shorten_once() -> None:
    """Keep what Mitogen sends to hosts, shortened: half a second of the controller's time at a run's first task."""
    # The imports of each module are looked for in much the same files of Ansible: compiled once, and not for each.
    ansible_mitogen.module_finder.compile = functools.cache(compile)
    mitogen.minify.minimize_source = remembered(
        mitogen.minify.minimize_source, HOME / "shortened" / versions("mitogen")
    )


def hasten(*changes: Callable[[], None]) -> None:
    """Make changes to Ansible that cost speed where they do not fit its version, and never a run."""
    for change in changes:
        try:
            change()
        except Exception as error:
            Display().warning(f"This Ansible is one that cannot be made faster here ({change.__name__}: {error!r})")


hasten(keep_templates, load_plugins, copy_less)
try:
    import ansible_mitogen.module_finder
    import ansible_mitogen.strategy
    import mitogen
    import mitogen.minify

    mixin = ansible_mitogen.strategy.StrategyMixin
except Exception as error:  # ansible_mitogen itself raises where an Ansible is newer than those it knows
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
