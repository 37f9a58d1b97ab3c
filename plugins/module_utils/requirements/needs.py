"""What a project needs, as the readers of its files hand it on."""

from __future__ import annotations

from dataclasses import dataclass, field

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from .lines import bracketed, placed, with_marker
from .versions import alternatives, specifier


@dataclass
class Needs:
    """What files say that a project needs: lines for uv, and what a reader should know."""

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # requirements files that take the place of lines
    python: str = ""  # the versions of Python that the project is for, as a specifier
    prerelease: bool = False


@dataclass(frozen=True)
class Dependency:
    """That one package is needed, by the project or by another package."""

    name: str
    versions: str = ""  # alternatives of specifiers, between ||
    extras: tuple[str, ...] = ()
    marker: str = ""
    place: str = ""  # where it comes from, if that is no index: a URL or a path

    def line(self) -> str:
        """It as a line of a requirements file."""
        if self.place:
            return with_marker(placed(self.name, self.extras, self.place), self.marker)
        return with_marker(self.name + bracketed(self.extras) + specifier(self.versions), self.marker)

    def fits(self, version: str) -> bool:
        """Whether a locked version is one of those that it allows."""
        try:
            found = Version(version)
            return any(SpecifierSet(one).contains(found, prereleases=True) for one in alternatives(self.versions))
        except (InvalidVersion, InvalidSpecifier):
            return True
