"""Changes to ansible-core in a run's process that save time and change no result. Controller only.

A change that does not fit a release of ansible-core costs speed and a notice, never a run.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
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
from ansible.utils.display import Display

from ..source.cache import prune

# The collection's path, and the path behind a link to it.
BUNDLES = {path.parents[3] for path in (Path(__file__), Path(__file__).resolve())}
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


def compiled(compile_template: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Return a method that does what Jinja's `Environment.compile` does, once for each text.

    Results for the bundle's own texts are kept in a folder. Those for others are kept in the process's memory alone,
    since a text of an inventory may hold a secret. A text that cannot be compiled raises as usual, and nothing is kept.
    """
    # Private to ansible-core: they say where a text comes from and how to read its backslashes.
    from ansible._internal._datatag._tags import Origin
    from ansible._internal._templating._jinja_bits import _TemplateCompileContext

    memory: dict[str, Any] = {}

    def compile_kept(self: Any, source: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(source, str) or arguments or options:
            return compile_template(self, source, *arguments, **options)
        context = _TemplateCompileContext.current(optional=True)
        syntax = [getattr(self, name) for name in SYNTAX] + sorted(self.extensions)
        syntax.append(context is not None and context.escape_backslashes)
        digest = hashlib.sha256(f"{syntax}\0{source}".encode(errors="surrogatepass")).hexdigest()
        origin = Origin.get_tag(source)
        if origin is not None and str(origin.path).startswith(OWN):
            return kept(folder, digest, lambda: marshal.dumps(compile_template(self, source)), marshal.loads)
        if digest not in memory:
            memory[digest] = compile_template(self, source)
        return memory[digest]

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


def collect_less() -> None:
    """Look for cyclic garbage a hundredth as often.

    Each task's process is a copy of this one and lives for a moment: a search through all objects that it inherited
    copies their memory and finds nothing. This was a fifth of the controller's CPU time.
    """
    gc.set_threshold(50_000, 20, 100)


def hasten(*changes: Callable[[], None]) -> None:
    """Make changes to Ansible. If they do not fit its version, only speed is lost, never a run."""
    for change in changes:
        try:
            change()
        except Exception as error:
            Display().warning(f"This Ansible is one that cannot be made faster here ({change.__name__}: {error!r})")


@functools.cache
def hasten_core() -> None:
    """Make all changes of this module, once."""
    hasten(keep_templates, load_plugins, copy_less, collect_less)
