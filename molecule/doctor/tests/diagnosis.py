"""A run of playbooks/doctor.yml as the tests see it: its verdict, and that it tells it everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lab_host import ROOT, LabHost, Run


class Diagnosis:
    """What one run of the doctor found on a host."""

    def __init__(self, lab: LabHost, idle_seconds: float = 0, **variables: Any) -> None:
        self.file = Path(ROOT / "artifacts" / "doctor" / f"{lab.name}.json")
        for path in (self.file, self.page):
            path.unlink(missing_ok=True)
        given = {"doctor_idle_seconds": idle_seconds, **variables}
        self.run = Run("playbooks/doctor.yml", "--limit", lab.name, "--extra-vars", json.dumps(given))
        assert self.file.exists(), f"the run wrote no report:\n{self.run.output}"
        self.report: dict[str, Any] = json.loads(self.file.read_text())
        self.evidence = self.report["evidence"]
        assert "fault" not in (self.evidence["host"] or {}), self.evidence["host"]["fault"]
        assert self.run.changed(lab.name) == 0

    @staticmethod
    def outside(url: str) -> dict[str, Any]:
        """Return the report of a run that has an address and nothing else."""
        file = ROOT / "artifacts" / "doctor" / "localhost.json"
        file.unlink(missing_ok=True)
        run = Run("playbooks/doctor.yml", "--extra-vars", json.dumps({"doctor_url": url, "doctor_idle_seconds": 0}))
        assert file.exists(), run.output
        return json.loads(file.read_text()) | {"output": run.output}

    @property
    def page(self) -> Path:
        """The report as HTML."""
        return self.file.with_suffix(".html")

    @property
    def codes(self) -> list[str]:
        """The codes of all that was found, the verdict's first."""
        first = [self.report["finding"]["code"]] if self.report["finding"] else []
        return first + [each["code"] for each in self.report["noticed"]]

    def told(self) -> str:
        """What a failed assertion shows."""
        return self.run.output + json.dumps(self.evidence)[:12000]

    def blames(self, code: str, fix: str, seen: str = ".") -> None:
        """Check the verdict, its fix and its evidence, and that terminal and page tell them too."""
        assert self.report["verdict"] == code, f"{self.report['verdict']} instead of {code}:\n{self.told()}"
        finding = self.report["finding"]
        assert re.search(fix, finding["fix"]), f"the fix does not fit: {finding}"
        assert re.search(seen, "\n".join(finding["seen"])), f"the evidence does not show it: {finding}\n{self.told()}"
        assert code in self.run.output and finding["fix"] in self.run.output, self.run.output
        assert code in self.page.read_text()
        broken = [hop["id"] for hop in self.report["hops"] if hop["state"] == "broken"]
        assert broken == [finding["hop"]], f"the picture shows {broken} broken, the finding names {finding['hop']}"

    def notices(self, code: str, fix: str) -> None:
        """Check that nothing is broken, and that one thing was noticed."""
        assert self.report["ok"], f"{self.report['verdict']}:\n{self.told()}"
        found = [each for each in self.report["noticed"] if each["code"] == code]
        assert found and re.search(fix, found[0]["fix"]), f"{self.codes}:\n{self.told()}"

    def texts(self) -> str:
        """All that was told of it."""
        return self.run.output + self.file.read_text() + self.page.read_text()
