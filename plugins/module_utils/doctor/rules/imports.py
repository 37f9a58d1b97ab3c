"""The import of the ASGI application."""

from __future__ import annotations

from collections.abc import Iterator

from ..answers import opened
from ..case import Case, Finding, meant, of_text
from ..signatures import signature


def imports(case: Case) -> Iterator[Finding]:
    """The ASGI application in the project's environment."""
    error = case.project.get("import_error")
    # If somebody else's process serves, it has already imported this, and its environment is not fully known.
    if not error or (not case.bundle and any(opened(each) for each in case.directs)):
        return
    if not case.bundle and case.processes and not (case.processes[0]["server"] and case.processes[0]["speaks"]):
        return
    code = meant(case, signature(error), error)
    if not code.startswith("E2"):
        code = "E204_IMPORT_ERROR"
    yield of_text(case, code, error, [f"import of {case.application}"])
    setting = case.project.get("asgi_setting", "")
    if ":" in setting:
        yield case.find("E205_ASGI_PATH", f"ASGI_APPLICATION is {setting}")
