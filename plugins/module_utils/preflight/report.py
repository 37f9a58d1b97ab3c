"""Reports of problems: each appears once, with its hosts, and without any secret. Controller only."""

from __future__ import annotations

import textwrap
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .view import (
    MASK,
    PLACEHOLDER,
    SHORTEST_MASKED,
    HostView,
    Problem,
    Role,
    counted,
    is_secret,
    listed,
    origin,
    strings,
)

WIDTH = 100  # columns of the report


@dataclass
class Entry:
    """A problem, all the hosts that have it, and the places where its value was written."""

    problem: Problem
    hosts: list[str]
    origins: list[str]


class Report:
    """Collects problems, those that many hosts share only once, and lays them out."""

    def __init__(self, groups: Mapping[str, list[str]], hosts: list[str]) -> None:
        """Take the inventory's groups and the names of the hosts to check."""
        self._groups = groups
        self._hosts = hosts
        self._entries: dict[Problem, Entry] = {}
        self.notices: dict[str, None] = {}  # each once, in order

    def __bool__(self) -> bool:
        """Whether there is a problem."""
        return bool(self._entries)

    def add(self, problem: Problem, host: HostView | None = None) -> None:
        """Note a problem of a host, or of the inventory as a whole."""
        entry = self._entries.setdefault(problem, Entry(problem, [], []))
        if host is None:
            return
        if host.name not in entry.hosts:
            entry.hosts.append(host.name)
        written = origin(host.inventory.get(problem.variable)) if problem.variable else ""
        if written and written not in entry.origins:
            entry.origins.append(written)

    def where(self, hosts: list[str]) -> str:
        """Hosts as a reader would name them: by the group's name if it means all of the group."""
        if len(hosts) < 2:
            return f"host {hosts[0]}" if hosts else "inventory"
        for group in sorted(self._groups, key=lambda name: (name == "all", name)):
            if group != "ungrouped" and set(self._groups[group]) & set(self._hosts) == set(hosts):
                return "every host" if group == "all" else f"every host of group {group}"
        return f"hosts {listed(hosts)}"

    def data(self, secrets: Iterable[str]) -> list[dict[str, t.Any]]:
        """The problems as plain data, with every secret's value masked."""
        longest_first = sorted(set(secrets), key=len, reverse=True)

        def mask(text: str) -> str:
            for secret in longest_first:
                text = text.replace(secret, MASK)
            return text

        return [
            {
                "where": self.where(entry.hosts),
                "hosts": list(entry.hosts),
                "variable": entry.problem.variable,
                "set_in": listed(entry.origins, 3),
                "fault": mask(entry.problem.fault),
                "fix": mask(entry.problem.fix),
            }
            for entry in self._entries.values()
        ]


def laid_out(problems: list[dict[str, t.Any]]) -> str:
    """The message: numbered blocks, with prose wrapped, and commands and snippets (indented) left whole."""
    blocks = [f"{counted(len(problems), 'problem')}; nothing was changed."]
    for number, problem in enumerate(problems, 1):
        lines = [f"{number:>2}. {problem['where']}"]
        variable = problem["variable"] + (f"  ({problem['set_in']})" if problem["set_in"] else "")
        for label, text in (("variable", variable), ("fault", problem["fault"]), ("fix", problem["fix"])):
            if text:
                lines += labelled(label, text)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def labelled(label: str, text: str) -> list[str]:
    """Lines with a label and its text beside it."""
    lines: list[str] = []
    for line in text.splitlines():
        whole = line.startswith(" ")
        lines += [line] if whole else textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"    {label if index == 0 else '':<10}{line}" for index, line in enumerate(lines)]


def no_problems(hosts: list[HostView]) -> str:
    """The message if nothing is wrong: what was checked."""
    applied = {role.name: role for host in hosts for role in host.roles}
    variables = counted(sum(len(role.options) for role in applied.values()), "variable")
    return f"No problems: {counted(len(hosts), 'host')}, {counted(len(applied), 'role')}, {variables}."


def secrets_of(hosts: Iterable[HostView], roles: Mapping[str, Role]) -> set[str]:
    """Values that must not appear in any message, however they got there."""
    specs = {name: spec for role in roles.values() for name, spec in role.options.items()}
    found: set[str] = set()
    for host in hosts:
        for name in host.inventory:
            if name in specs or is_secret(name):
                found |= secret_values(name, host.get(name), specs.get(name))
    return {value for value in found if len(value) >= SHORTEST_MASKED and PLACEHOLDER not in value}


def secret_values(name: str, value: t.Any, spec: Mapping[str, t.Any] | None = None) -> set[str]:
    """The strings of a secret variable, or those under secret keys."""
    if is_secret(name, spec):
        return set(strings(value))
    if isinstance(value, Mapping):
        inner = (spec or {}).get("options") or {}
        return set().union(*(secret_values(str(key), item, inner.get(key)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return set().union(*(secret_values("", item, spec) for item in value))
    return set()
