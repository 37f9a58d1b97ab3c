"""Run plays with Mitogen if its package is installed, else with Ansible's own linear strategy and a notice.

Mitogen's strategy is looked up in the environment that runs ansible-playbook, so ansible.cfg needs no path with a
Python version in it.
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

# The collection's path, and the path behind a link to it.
BUNDLES = {path.parents[2] for path in (Path(__file__), Path(__file__).resolve())}
OWN = tuple(f"{bundle / name}{os.sep}" for bundle in BUNDLES for name in ("playbooks", "roles", "templates"))
HOME = Path(constants.config.get_config_value("ANSIBLE_HOME"))
# Settings that decide how a template is read, and so how it compiles.
SYNTAX = (
    *(f"{kind}_{edge}_string" for kind in ("block", "variable", "comment") for edge in ("start", "end")),
    "line_statement_prefix", "line_comment_prefix", "trim_blocks", "lstrip_blocks", "newline_sequence",
    "keep_trailing_newline", "autoescape", "optimized", "sandboxed",
)  # fmt: skip


def kept(folder: Path, digest: str, make: Callable[[], bytes], read: Callable[[bytes], Any]) -> Any:
    """Return the content of a file in a folder; if it cannot be read, make the content, and write it if possible."""
    path = folder / digest
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError):  # a full disk or a crash may leave such a file
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
        finally:  # leave nothing behind on a full disk
            part.unlink(missing_ok=True)
    return read(made)


def remembered(shorten: Callable[[str | bytes], str], folder: Path) -> Callable[[str | bytes], str]:
    """Return a function that does what `shorten` does, and keeps the results in a folder."""

    def remember(source: str | bytes) -> str:
        content = source if isinstance(source, bytes) else source.encode(errors="surrogatepass")
        digest = hashlib.sha256(content).hexdigest()
        short: str = kept(folder, digest, lambda: shorten(source).encode(), bytes.decode)
        return short

    return remember


def compiled(compile_template: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Return a method that does what Jinja's `Environment.compile` does, and keeps the results for the bundle's texts.

    A text that cannot be compiled raises as usual, and nothing is kept.
    """
    # Private to ansible-core: they say where a text comes from and how to read its backslashes.
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
    """Return a name for what these packages' installed versions and this Python make."""
    return "-".join([str(sys.implementation.cache_tag), *map(importlib.metadata.version, packages)])


def keep_templates() -> None:
    """Compile each of the bundle's templates once, not in each task of each run."""
    from ansible._internal._templating._jinja_bits import AnsibleEnvironment

    folder = HOME / "compiled" / versions("ansible-core", "jinja2")
    AnsibleEnvironment.compile = compiled(AnsibleEnvironment.compile, folder)


def load_plugins() -> None:
    """Load what each task needs: it runs in its own process, which inherits what is loaded here."""
    filter_loader.get("ansible.builtin.default")
    test_loader.get("ansible.builtin.search")


def copy_less() -> None:
    """Make the template lookup copy only the top level of variables, where it sets a few, not every leaf."""
    template_lookup: Any = sys.modules[lookup_loader.get("ansible.builtin.template", class_only=True).__module__]
    if not hasattr(template_lookup, "deepcopy"):
        raise AttributeError("the lookup `template` copies its variables in another way")
    template_lookup.deepcopy = copy.copy


def shorten_once() -> None:
    """Keep the shortened code that Mitogen sends to hosts; this saves half a second at a run's first task."""
    # Finding each module's imports reads mostly the same Ansible files: compile them once, not for each module.
    ansible_mitogen.module_finder.compile = functools.cache(compile)
    mitogen.minify.minimize_source = remembered(
        mitogen.minify.minimize_source, HOME / "shortened" / versions("mitogen")
    )


def hasten(*changes: Callable[[], None]) -> None:
    """Make changes to Ansible. If they do not fit its version, only speed is lost, never a run."""
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
