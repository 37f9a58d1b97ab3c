"""What preflight knows about a host, and what its checks share. Controller only.

To add a check of values that must fit together, write a function decorated with `@check("<role>")` in its topic's
module in `checks/`. It is called for each host that the role applies to, and yields `Problem`s. Add a new module to
`checks/__init__.py`.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
import re
import typing as t
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from ansible.errors import AnsibleError, AnsibleUndefinedVariable, AnsibleValueOmittedError
from ansible.template import trust_as_template

from ..text.commands import secrets_command
from ..text.secrets import is_secret_name

try:  # where a value was written; internal to ansible-core, so if it is missing, the report must lose only that line
    from ansible._internal._datatag._tags import Origin
except ImportError:  # pragma: no cover
    Origin = None

PROBE = "__preflight_probe"
PLACEHOLDER = "!!!SET"
MASK = "********"
#: The path of a key, which the ssh command to try by hand needs, and the path of a program.
NOT_SECRET = {"ansible_ssh_private_key_file", "certificate_acme_auth_hook"}
# What roles and playbooks hand to each other besides the options of entry points. roles/README.md lists it, and a
# contract test compares the two. No inventory sets these.
HANDED = frozenset(
    ("asgi_fleet", "postgresql_lock_other_user", "preflight_host", "preflight_installs", "preflight_skipped",
     "release_prepared", "restore_masks")
)  # fmt: skip
MAGIC = {"hostvars", "groups", "vars", PROBE}  # what Ansible itself puts among a host's variables
SHORTEST_MASKED = 6  # characters: masking shorter values would garble the message more than it would hide
SECRET_LENGTH = 12  # characters
# How to get a secret.
NEW_SECRET = (
    f"Have one made, by a placeholder in the inventory's vault and `{secrets_command('…')}` (docs/secrets.md):\n"
    '  vault_NAME: "!!!SET a random string!!!"'
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: with which variable (if any), what, and what to do about it."""

    variable: str
    fault: str
    fix: str


@dataclass
class Role:
    """What a role's files say about its variables."""

    name: str
    options: dict[str, dict[str, t.Any]]
    defaults: dict[str, t.Any]
    computed: dict[str, t.Any]
    groups: list[str] = field(default_factory=list)
    passed: frozenset[str] = frozenset()  # set by callers of its entry points, not by an inventory


class Untemplatable(Exception):
    """A value that cannot be known. `problem` says why, or is None if only the host's facts can tell."""

    def __init__(self, problem: Problem | None) -> None:
        """Take the problem to report, if there is one."""
        super().__init__(problem)
        self.problem = problem


def is_secret(name: str, spec: Mapping[str, t.Any] | None = None) -> bool:
    """Whether the value of a variable or of a key must never be shown."""
    if name in NOT_SECRET or name.endswith("_token_command"):  # its words, such as python, would garble every message
        return False
    return bool((spec or {}).get("no_log")) or is_secret_name(name, "inventory")


def strings(value: t.Any) -> Iterator[str]:
    """Yield every string in a value, however deep. An encrypted value that cannot be read yields nothing."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
    elif value is not None and not isinstance(value, bool | int | float):
        try:
            yield str(value)
        except AnsibleError:
            return


def names_read(value: t.Any) -> set[str]:
    """Names of the variables that the templates in a value read directly."""
    return set().union(*(names_in(text) for text in strings(value) if "{{" in text or "{%" in text))


@functools.cache  # the same template is looked at for every host
def names_in(text: str) -> frozenset[str]:
    """Names in one template; none if it does not parse, since rendering it then gives the reason."""
    try:
        return frozenset(node.name for node in jinja2.Environment().parse(text).find_all(jinja2.nodes.Name))
    except jinja2.TemplateError:
        return frozenset()


def nearest(name: str, known: Iterable[str], alike: float = 0.7) -> str:
    """The known name most similar to `name`, or nothing; `alike` is difflib's ratio, 1.0 for the same name."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=alike)), "")


def origin(value: t.Any) -> str:
    """The file and line where a value was written, as `file:line`, or nothing."""
    tag = Origin.get_tag(value) if Origin else None
    if not tag or not tag.path:
        return ""
    return shown(tag.path) + (f":{tag.line_num}" if tag.line_num else "")


def shown(path: str | Path) -> str:
    """The shortest way to type a path from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def last_line(text: t.Any) -> str:
    """The last line of a text that is not blank."""
    return next((line.strip() for line in reversed(str(text or "").splitlines()) if line.strip()), "")


def listed(items: Iterable[str], limit: int = 6) -> str:
    """`a, b and c`, cut off with the number of items left out."""
    names = list(items)
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def counted(number: int, noun: str) -> str:
    """`1 host`, `2 hosts`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def is_mapping(value: t.Any) -> bool:
    """Whether a value has keys."""
    return isinstance(value, Mapping)


# What a text means where true or false is expected, as `-e` gives it; roles read it the same way with `| bool`.
TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def plain(value: t.Any, spec: Mapping[str, t.Any]) -> t.Any:
    """A value with texts of numbers, true and false converted, as roles read them."""
    kind = spec.get("type")
    if isinstance(value, list) and spec.get("elements"):
        inner = {"type": spec["elements"], "options": spec.get("options")}
        return [plain(item, inner) for item in value]
    if isinstance(value, Mapping) and spec.get("options"):
        return {key: plain(item, spec["options"].get(key) or {}) for key, item in value.items()}
    if kind == "bool" and isinstance(value, str | int):
        return TRUTHS.get(str(value).strip().lower(), value)
    if kind in ("int", "float") and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return int(value) if kind == "int" else float(value)
    return value


class HostView:
    """A host as checks see it: its groups and roles, and its variables from the inventory or the roles' defaults."""

    def __init__(
        self,
        name: str,
        variables: Mapping[str, t.Any],
        roles: Mapping[str, Role],
        templar: t.Any,
        installs: bool = True,
    ) -> None:
        """Take `variables` untemplated; `templar` makes copies of itself for other variables.

        `installs` says whether this run sets up daemons; only then do obstacles to them matter.
        """
        self.name = name
        self.installs = installs
        self.groups = set(variables.get("group_names") or ())
        self.roles = [role for role in roles.values() if self.groups.intersection(role.groups)]
        self.inventory = variables
        self.probe: Mapping[str, t.Any] = variables.get(PROBE) or {}
        self.faulty: set[str] = set()
        self._specs = {name: spec for role in roles.values() for name, spec in role.options.items()}
        # The inventory's templates may read a role's defaults, but don't know them until a play loads the role.
        self._all: dict[str, t.Any] = {}
        for role in roles.values():
            self._all |= role.defaults | role.computed
        self._all |= variables
        self._templar = templar.copy_with_new_env(available_variables=self._all)
        self._rendered: dict[str, t.Any] = {}

    def raw(self, variable: str) -> t.Any:
        """The value as written, with its templates."""
        return self._all.get(variable)

    def get(self, variable: str) -> t.Any:
        """The inventory's value or the role's default; None if there is none, or none to rely on."""
        if variable in self.faulty or variable not in self._all:
            return None
        try:
            return plain(self.render(variable), self._specs.get(variable) or {})
        except Untemplatable:
            return None

    def items(self, variable: str) -> list[t.Any]:
        """A list's items (or a text's words), without those that only facts can tell."""
        raw = self.raw(variable)
        if variable in self.faulty or not isinstance(raw, list):
            value = self.get(variable)
            return value.split() if isinstance(value, str) else list(value or [])
        known = []
        for item in raw:
            with contextlib.suppress(AnsibleError, AnsibleValueOmittedError):
                known.append(self._templar.template(item))
        return known

    def path(self, variable: str) -> Path | None:
        """The value as a path on the controller."""
        value = self.get(variable)
        return Path(str(value)).expanduser() if value else None

    def render(self, variable: str) -> t.Any:
        """The value with its templates filled in, or raise `Untemplatable`. Each is filled in once."""
        if variable not in self._rendered:
            try:
                self._rendered[variable] = self._fill_in(variable)
            except Untemplatable as error:
                self._rendered[variable] = error
        found = self._rendered[variable]
        if isinstance(found, Untemplatable):
            raise found
        return found

    def _fill_in(self, variable: str) -> t.Any:
        """The value with its templates filled in, or raise `Untemplatable`."""
        try:
            return self._templar.template(self._all[variable])
        except AnsibleValueOmittedError:
            return None
        except Exception as error:  # templates can run any plugin, and those can raise anything
            later = any(f"'{name}' is undefined" in str(error) for name in HANDED)
            if isinstance(error, AnsibleUndefinedVariable) and (later or self._needs_facts(variable)):
                raise Untemplatable(None) from error
            raise Untemplatable(self._explain(variable, error)) from error

    def file_fault(self, path: str) -> str:
        """Why a template on the controller cannot be filled in; empty if it can, or if only the host can tell."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return f"cannot be read: {error}"
        if re.search(r"\{%-?\s*(include|import|from|extends)\b", text):
            return ""  # these files are found when it is filled in
        try:
            self._templar.template(trust_as_template(text))
        except Exception as error:  # templates can run any plugin, and those can raise anything
            message = str(error).splitlines()[0] if str(error) else ""
            undefined = re.search(r"'([^']+)' is undefined", message)
            if undefined:  # names that roles compute become known later
                later = undefined[1].startswith(("_", "ansible_")) or undefined[1] in HANDED
                return "" if later else f"reads {undefined[1]}, which is set nowhere"
            syntax = re.search(r"[Ss]yntax error in template: (.*)", message)
            return f"cannot be filled in: {syntax[1] if syntax else type(error).__name__}"
        return ""

    def sources(self, variable: str) -> list[str]:
        """The variable, and all others that it is built from through any number of templates."""
        found: list[str] = []
        waiting = [variable]
        while waiting:
            name = waiting.pop(0)
            if name in found or name in MAGIC or name not in self._all:
                continue
            found.append(name)
            waiting.extend(sorted(names_read(self._all[name])))
        return found

    def names_read_by_inventory(self) -> set[str]:
        """Names that any value of the inventory reads."""
        return set().union(*(names_read(self.inventory[name]) for name in self.inventory if name not in MAGIC))

    def _needs_facts(self, variable: str) -> bool:
        """Whether a value depends on facts, which are not gathered yet."""
        texts = (text for name in self.sources(variable) for text in strings(self._all[name]))
        words = {word for text in texts for word in re.findall(r"\bansible_\w+", text)}
        return any(word == "ansible_facts" or word not in self._all for word in words)

    def _explain(self, variable: str, error: Exception) -> Problem:
        """Why a value does not render, without showing any of the value."""
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        undefined = re.search(r"'([^']+)' is undefined", message)
        if isinstance(error, AnsibleUndefinedVariable) and undefined:
            missing = undefined[1]
            match = nearest(missing, set(self._all) | set(self._specs))
            fix = f"Write {match} instead of {missing}" if match else f"Set {missing} in the inventory"
            return Problem(variable, f"refers to {missing}, which is set nowhere", f"{fix}, or correct {variable}.")
        if any(is_secret(name) for name in self.sources(variable)):
            message = f"{type(error).__name__} (not shown: it is built from a secret)"
        return Problem(variable, f"cannot be templated: {message}", f"Correct the template in {variable}.")


def probe_facts(result: Mapping[str, t.Any]) -> dict[str, str]:
    """The `key=value` lines that the probe printed."""
    lines = str(result.get("stdout") or "").splitlines()
    return {key: value.strip() for key, found, value in (line.strip().partition("=") for line in lines) if found}


Check = Callable[[HostView], Iterator[Problem]]
CHECKS: list[tuple[str, Check]] = []


def check(role: str) -> Callable[[Check], Check]:
    """Register a check that runs for each host that `role` applies to."""

    def register(function: Check) -> Check:
        CHECKS.append((role, function))
        return function

    return register
