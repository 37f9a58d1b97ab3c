"""Which of two branches a host takes."""

from __future__ import annotations

import ast
import re

from .flags import (
    DEVELOPMENT,
    FLAG,
    NO,
    PRODUCTION,
    YES,
    applied,
    literals,
    off,
    on_by_default,
)
from .reads import Reading
from .values import NEEDED, Environment, known

ADDRESSES = re.compile(r"url|uri|host|dsn|database|addr|server", re.IGNORECASE)
DEVELOPERS = re.compile(r"debug|devel|^dev$|^dev[_-]|[_-]dev$|local|test|runserver|sys\.argv", re.IGNORECASE)


class Branches(Reading):
    """Chooses branches by what their conditions compare."""

    def _decide(self, test: ast.expr, orelse: list[ast.stmt] | None = None) -> bool:
        """Whether a host takes the branch of a condition: by DEBUG, which is off there, and names of the environment.

        A name keeps the code's default, unless the code itself compares it with a word for production, or its default
        is one for developers. The sources' `choices` have what it must say then.
        """
        bare = test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else test
        if isinstance(bare, ast.Name) and bare.id == "DEBUG":
            return bare is not test
        value = self.evaluate(test)
        if not isinstance(value, Environment):
            return not self.is_development(test)
        if (chosen := self._chosen(value, orelse or [])) is not None:
            return bool(applied(value.how, chosen))
        default = on_by_default(value)
        if default is False and not literals(value.how) and ADDRESSES.search(value.name):
            return not self.is_development(test)  # an address: hosts are given one
        return not self.is_development(test) if default is None else default

    def _chosen(self, value: Environment, orelse: list[ast.stmt]) -> str | None:
        """What a name must say on a host, if that is not its default."""
        choices, default, compared = self.sources.choices, known(value), literals(value.how)
        if value.name in choices:
            return choices[value.name]
        compared += [text for text in self.sources.compared.get(value.name, []) if text not in compared]
        chosen: str | None = None
        words = [text for text in compared if text.lower() not in YES | NO]
        if FLAG.search(value.name) and not words:
            chosen = off(value) if on_by_default(value) is not False else None
        elif words and (named := [text for text in words if PRODUCTION.search(text)]):
            chosen = next((text for text in named if text == default), named[0])
        elif PRODUCTION.search(value.name) and compared and not words:
            chosen = next((text for text in compared if text.lower() in YES), "True")
        elif len(words) == 1 and DEVELOPMENT.fullmatch(words[0]) and default in (words[0], NEEDED):
            # Any other word is for hosts, unless the code raises an error then.
            refuses = any(isinstance(one, ast.Raise) for one in orelse)
            chosen = None if refuses else "production"
        if chosen is not None and chosen != default:
            choices[value.name] = chosen
            return chosen
        return None

    def is_development(self, test: ast.expr) -> bool:
        """Whether a condition holds on a developer's machine rather than on a host."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return not self.is_development(test.operand)
        words = [part.id for part in ast.walk(test) if isinstance(part, ast.Name)]
        words += [part.attr for part in ast.walk(test) if isinstance(part, ast.Attribute)]
        words += [str(part.value) for part in ast.walk(test) if isinstance(part, ast.Constant)]
        found = any(DEVELOPERS.search(word) for word in words)
        negative = [one for one in ast.walk(test) if isinstance(one, ast.NotEq | ast.NotIn | ast.IsNot)]
        falsy = isinstance(test, ast.Compare) and any(
            isinstance(one, ast.Constant) and one.value in (False, 0, "0", "False", "false") for one in test.comparators
        )
        return found and bool(negative) == falsy
