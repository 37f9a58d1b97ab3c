"""Replace secrets while a site serves: what the vault says before, during and after. Controller only.

While a secret is being replaced, the vault holds its old value beside the new one, as `…_previous`. So if a run is
killed, the next one carries on and makes no further value. At the end, `…_previous` is empty again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ansible.parsing.vault import VaultLib

from .files import (
    ON_ONE_LINE,
    PLACEHOLDER,
    File,
    SecretsError,
    Value,
    files_of,
    made,
    read,
    save,
)

PREVIOUS = "_previous"
#: The role with which the project logs in to PostgreSQL, a or b. Each rotation switches to the other.
LOGIN = "vault_postgresql_login"
FINISH = "finish"
ALL = "all"
READS = re.compile(r"\{[{%].*?\b(vault_\w+)", re.DOTALL)
LINE = re.compile(r"[^\n]*(?:\n|$)")


@dataclass(frozen=True)
class Kind:
    """A secret that can be rotated by its purpose: what reads it, and what must read it so that both values work."""

    #: Keys that lead to what reads it, last key first; patterns for whole keys.
    read_by: tuple[str, ...]
    #: Pattern for a text that makes both values work for a while; empty if hosts take care of that.
    both: str
    #: What happens without such a text, and what to write.
    advice: str


KINDS = {
    "redis": Kind(("redis_password",), "", ""),
    "jwt": Kind(
        (r"(?!.*(?:PUBLIC|PREVIOUS))\w*JWT\w*(?:SECRET|KEY)\w*", "release_secrets"),
        "{variable}" + PREVIOUS,
        "handshakes with tokens of the old key would be refused from the switch on. Where the project reads a list of "
        'keys that it still accepts, write it into release_secrets: {name}_PREVIOUS: "{{{{ {previous} | '
        "default('') }}}}\"",
    ),
    "django": Kind(
        (r"(?:\w*DJANGO_)?SECRET_KEY", "release_secrets"),
        "{variable}" + PREVIOUS,
        "sessions and signed links of the old key would end with the switch. Where the settings read "
        "SECRET_KEY_FALLBACKS from the environment, write it into release_secrets: "
        '{name}_FALLBACKS: "{{{{ {previous} | '
        "default('') }}}}\"",
    ),
    "database": Kind(
        ("postgresql_password",),
        r"postgresql_(?:login|url)\b",
        "the new release could not log in: each of both passwords has a user of its own. Have the project read "
        '"{{{{ postgresql_login }}}}" for the name of the database\'s user, or "{{{{ postgresql_url }}}}" for all of '
        "its address",
    ),
}


@dataclass
class Outcome:
    """What a rotation has changed, and what to report."""

    rotated: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


class Rotation:
    """An inventory's files, and the secrets to rotate in them."""

    def __init__(self, inventory: Path, vault: VaultLib) -> None:
        """Read the whole inventory; raise SecretsError if that fails."""
        self.inventory, self.vault = inventory, vault
        self.files = [read(path, vault) for path in files_of(inventory)]
        self.outcome = Outcome()

    def run(self, wanted: Iterable[str], *, dry: bool = False) -> Outcome:
        """Rotate by purpose (KINDS, ALL) or name (vault_…), or finish a rotation (FINISH); write what has changed.

        With `dry`, nothing is written. If any of them cannot be rotated, raise SecretsError before writing anything.
        """
        names = list(dict.fromkeys(wanted))
        for name in names:
            if name not in (*KINDS, ALL, FINISH) and not re.fullmatch(rf"vault_\w+(?<!{PREVIOUS})", name):
                known = ", ".join((*KINDS, ALL, FINISH))
                raise SecretsError(
                    f"{name!r} is nothing that is rotated. Write some of {known}, or a variable: vault_…"
                )
        if FINISH in names and len(names) > 1:
            raise SecretsError(f"{FINISH} ends all that is under way, and is written alone")
        if names == [FINISH]:
            self.finish()
        for kind, variable in self.variables(names):
            self.rotate(kind, variable)
        self.outcome.under_way = [name for name in self.under_way() if names != [FINISH]]
        for file in self.files:
            if file.changed:
                self.outcome.files.append(file.path)
                if not dry:
                    save(file, self.vault)
        return self.outcome

    def variables(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Return the purpose and the vault variable for each name; with "all", some may be missing."""
        found: dict[str, str] = {}
        for name in names:
            if name.startswith("vault_"):  # even by name, the database's needs more than a new value
                found[name] = next((kind for kind in KINDS if name in self.of_kind(kind)), "")
            elif name == ALL:
                pairs = [(kind, variable) for kind in KINDS for variable in self.of_kind(kind)]
                found |= {variable: kind for kind, variable in pairs if self.both(kind, variable)}
                without = [(kind, variable) for kind, variable in pairs if not self.both(kind, variable)]
                self.outcome.notices += [f"{one} was left out: {self.advice(kind, one)}" for kind, one in without]
            elif name in KINDS:
                variables = self.of_kind(name)
                if not variables:
                    what = " in ".join(KINDS[name].read_by)
                    raise SecretsError(
                        f"Nothing in {self.inventory} reads the secret of {name} from the vault ({what}). Name the "
                        "variable itself: vault_…"
                    )
                if name == "database" and not self.both(name, variables[0]):
                    raise SecretsError(f"The database's password was not rotated: {self.advice(name, variables[0])}")
                for variable in variables:
                    found[variable] = name
                    if not self.both(name, variable):
                        self.outcome.notices.append(f"{variable}: {self.advice(name, variable)}")
        return [(kind, variable) for variable, kind in found.items()]

    def of_kind(self, kind: str) -> list[str]:
        """Return the vault variables that are read for a purpose."""
        patterns, found = KINDS[kind].read_by, []
        for file in self.files:
            for value in file.values():
                last = value.keys[::-1][: len(patterns)]
                if len(last) == len(patterns) and all(map(re.fullmatch, patterns, last)):
                    found += READS.findall(value.text)
        return sorted({name for name in found if not name.endswith(PREVIOUS)})

    def both(self, kind: str, variable: str) -> bool:
        """Tell whether both old and new work for a while; if not, the caller reports it."""
        pattern = KINDS[kind].both.format(variable=variable)
        return any(re.search(pattern, value.text) for file in self.files for value in file.values())

    def advice(self, kind: str, variable: str) -> str:
        """Return what to write so that both values work."""
        names = [
            value.keys[-1] for file in self.files for value in file.values()
            if variable in READS.findall(value.text) and value.keys[-2:-1] == ("release_secrets",)
        ]  # fmt: skip
        return KINDS[kind].advice.format(name=(names or ["KEY"])[0], previous=variable + PREVIOUS)

    def rotate(self, kind: str, variable: str) -> None:
        """Give a variable a new value, with the old one beside it; do nothing if that was done already."""
        file, value = self.place(variable)
        before = {one.keys[-1]: one for one in file.values()}
        old = before.get(variable + PREVIOUS)
        if old and old.text:
            self.outcome.notices.append(f"{variable}: its rotation is under way, so no further value was made")
            return
        if PLACEHOLDER.search(value.text) or not value.text:
            raise SecretsError(f"{variable} in {file.path} has no value yet: playbooks/secrets.yml makes one")
        source = file.text[value.start : value.end]
        if value.style not in ON_ONE_LINE or "\n" in source:
            raise SecretsError(
                f"{variable} in {file.path} is no text on one line. Write the new value yourself, and the old one as "
                f"{variable}{PREVIOUS} beside it"
            )
        if kind == "database":
            login = before.get(LOGIN)
            self.set(file, variable, LOGIN, '"a"' if login and login.text == "b" else '"b"')
        self.set(file, variable, variable + PREVIOUS, source)
        self.set(file, variable, variable, f'"{made()}"')
        self.outcome.rotated.append(variable)

    def place(self, variable: str) -> tuple[File, Value]:
        """Return the secrets file that has a variable, and its value; raise SecretsError unless it is exactly one."""
        found = [
            (file, value) for file in self.files if file.holds_secrets
            for value in file.values() if value.keys == (variable,)
        ]  # fmt: skip
        if len(found) == 1:
            return found[0]
        where = ", ".join(str(file.path) for file, _ in found)
        raise SecretsError(
            f"{variable} is set in several files, each for hosts of its own: {where}. Rotate it by hand"
            if found
            else f"No file of secrets below {self.inventory} has {variable}, as group_vars/all/vault.yml is one"
        )

    def set(self, file: File, after: str, name: str, source: str) -> None:
        """Set a variable to a value in YAML notation: in its place, or on a new line after another variable."""
        values = {one.keys: one for one in file.values()}
        if there := values.get((name,)):
            file.replace(there, source)
            return
        line = LINE.match(file.text, values[after,].end)
        assert line  # it also matches an empty line
        new = "" if line[0].endswith("\n") else "\n"
        file.text = f"{file.text[: line.end()]}{new}{name}: {source}\n{file.text[line.end() :]}"
        file.changed = True

    def finish(self) -> None:
        """Forget the old values of all rotations under way."""
        for file in self.files:
            for value in reversed(file.values()):
                if file.holds_secrets and self.is_previous(value):
                    file.replace(value, '""')
                    self.outcome.ended.append(value.name.removesuffix(PREVIOUS))

    def under_way(self) -> list[str]:
        """Return the variables whose old values are kept."""
        values = [value for file in self.files if file.holds_secrets for value in file.values()]
        return [value.name.removesuffix(PREVIOUS) for value in values if self.is_previous(value)]

    @staticmethod
    def is_previous(value: Value) -> bool:
        """Tell whether a value is the old one of a secret that is being replaced."""
        return len(value.keys) == 1 and value.name.endswith(PREVIOUS) and bool(value.text)


def listed(given: object) -> list[str]:
    """Return names from a list, or from a text with commas."""
    if isinstance(given, list | tuple):
        return [str(name).strip() for name in given if str(name).strip()]
    return [name for name in re.split(r"[\s,]+", str(given or "")) if name]
