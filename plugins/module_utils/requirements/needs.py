"""What a project needs, as the readers of its files pass it on."""

from __future__ import annotations

from dataclasses import dataclass, field

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from .lines import bracketed, placed, with_marker
from .versions import alternatives, specifier


@dataclass
class Needs:
    """What a project needs according to its files: lines for uv, and what the user should know."""

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # requirements files to use instead of lines
    python: str = ""  # the Python versions that the project is for, as a specifier
    prerelease: bool = False


@dataclass(frozen=True)
class Dependency:
    """A package that the project or another package needs."""

    name: str
    versions: str = ""  # alternative specifiers, separated by ||
    extras: tuple[str, ...] = ()
    marker: str = ""
    place: str = ""  # where it comes from, if not from an index: a URL or a path

    def line(self) -> str:
        """Write it as a line of a requirements file."""
        if self.place:
            return with_marker(placed(self.name, self.extras, self.place), self.marker)
        return with_marker(self.name + bracketed(self.extras) + specifier(self.versions), self.marker)

    def fits(self, version: str) -> bool:
        """Whether it allows a locked version."""
        try:
            found = Version(version)
            return any(SpecifierSet(one).contains(found, prereleases=True) for one in alternatives(self.versions))
        except (InvalidVersion, InvalidSpecifier):
            return True
