"""Which of two branches a host takes."""

from __future__ import annotations

import ast
import re

from ansible.module_utils.project_reads import Reading
from ansible.module_utils.project_values import Environment, known

ADDRESSES = re.compile(r"url|uri|host|dsn|database|addr|server", re.IGNORECASE)
DEVELOPMENT = re.compile(r"debug|devel|^dev$|^dev[_-]|[_-]dev$|local|test|runserver|sys\.argv", re.IGNORECASE)


class Branches(Reading):
    """Decides by what conditions compare."""

    def _decide(self, test: ast.expr) -> bool:
        """Whether what a condition opens is for hosts: DEBUG is off there, and it is likelier than what is for others.

        Where that takes a name of the environment, what it must say is in the sources' `choices`.
        """
        opened = not self.is_development(test)
        value = self.evaluate(test)
        if not isinstance(value, Environment):
            return opened
        default, kind = known(value), value.how[-1] if value.how else ""
        if kind.startswith("compare:"):
            wanted = kind.partition(":")[2]
            if wanted.lower() in ("false", "0", "no", "off"):
                opened = bool(DEVELOPMENT.search(value.name))
            else:  # what it is compared with says more than its default
                word = value.name if wanted.lower() in ("true", "1", "yes", "on") else wanted
                opened = not DEVELOPMENT.search(word)
            if opened and str(default) != wanted:
                self.sources.choices[value.name] = wanted
            elif not opened and str(default) == wanted:
                flag = wanted.lower() in ("true", "1", "yes", "on")
                self.sources.choices[value.name] = "False" if flag else "production"
        elif default in (None, "", 0, "0", "False", "false") and not ADDRESSES.search(value.name):
            return False  # a switch, which is off unless somebody turns it on
        return opened

    def is_development(self, test: ast.expr) -> bool:
        """Whether a condition holds on a developer's machine rather than on a host."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return not self.is_development(test.operand)
        words = [part.id for part in ast.walk(test) if isinstance(part, ast.Name)]
        words += [part.attr for part in ast.walk(test) if isinstance(part, ast.Attribute)]
        words += [str(part.value) for part in ast.walk(test) if isinstance(part, ast.Constant)]
        found = any(DEVELOPMENT.search(word) for word in words)
        negative = [one for one in ast.walk(test) if isinstance(one, ast.NotEq | ast.NotIn | ast.IsNot)]
        falsy = isinstance(test, ast.Compare) and any(
            isinstance(one, ast.Constant) and one.value in (False, 0, "0", "False", "false") for one in test.comparators
        )
        return found and bool(negative) == falsy
