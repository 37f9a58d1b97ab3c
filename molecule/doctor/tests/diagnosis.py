"""A run of playbooks/doctor.yml as the tests see it: its verdict, and that every report shows it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import yaml
from lab_host import ROOT, LabHost, Run

ARTIFACTS = ROOT / "artifacts" / "doctor"


class Diagnosis:
    """What a run of the doctor found on a host."""

    def __init__(self, lab: LabHost, idle_seconds: float = 0, **variables: Any) -> None:
        self._forget(lab.name)
        given = {"doctor_idle_seconds": idle_seconds, **variables}
        self._read(Run("playbooks/doctor.yml", "--limit", lab.name, "--extra-vars", json.dumps(given)), lab.name)

    @classmethod
    def each(cls, lab: LabHost, **cases: dict[str, Any]) -> dict[str, Diagnosis]:
        """Run the doctor once, on one host under several names, each with its own variables.

        Only a few names at once: an examination has time limits, and nobody has a dozen people examine a host together.
        """
        inventory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory", "ansible_inventory.yml")
        known = yaml.safe_load(inventory.read_text())["all"]["hosts"][lab.name]
        own = {"doctor_idle_seconds": 0, "handshake_url": f"ws://localhost:{lab.port}"}
        hosts = {name: {**known, **own, **variables} for name, variables in cases.items()}
        names = inventory.with_name("names.yml")
        names.write_text(yaml.safe_dump({"app": {"hosts": hosts}}))
        made = {name: cls.__new__(cls) for name in cases}
        try:
            for name, diagnosis in made.items():
                diagnosis._forget(name)
            run = Run("playbooks/doctor.yml", "--limit", ",".join(cases), "--forks", "4")
        finally:
            names.unlink()
        for name, diagnosis in made.items():
            diagnosis._read(run, name)
        return made

    def _forget(self, name: str) -> None:
        self.file = ARTIFACTS / f"{name}.json"
        for path in (self.file, self.page):
            path.unlink(missing_ok=True)

    def _read(self, run: Run, name: str) -> None:
        self.run = run
        assert self.file.exists(), f"the run wrote no report:\n{self.run.output}"
        self.data, self.html = self.file.read_text(), self.page.read_text()
        self.report: dict[str, Any] = json.loads(self.data)
        self.evidence = self.report["evidence"]
        assert "fault" not in (self.evidence["host"] or {}), self.evidence["host"]["fault"]
        assert self.run.changed(name) == 0

    @staticmethod
    def outside(url: str) -> dict[str, Any]:
        """Return the report of a run that gets an address and nothing else."""
        file = ARTIFACTS / "localhost.json"
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
        """The codes of everything that was found, the verdict's first."""
        first = [self.report["finding"]["code"]] if self.report["finding"] else []
        return first + [each["code"] for each in self.report["noticed"]]

    def told(self) -> str:
        """What a failed assertion shows."""
        return self.run.output[-6000:] + json.dumps(self.evidence)[:12000]

    def blames(self, code: str, fix: str, seen: str = ".") -> None:
        """Check the verdict, its fix and its evidence, and that the terminal and the page show them too."""
        assert self.report["verdict"] == code, f"{self.report['verdict']} instead of {code}:\n{self.told()}"
        finding = self.report["finding"]
        assert re.search(fix, finding["fix"]), f"the fix does not fit: {finding}"
        assert re.search(seen, "\n".join(finding["seen"])), f"the evidence does not show it: {finding}\n{self.told()}"
        assert code in self.run.output and finding["fix"] in self.run.output, self.run.output
        assert code in self.html
        broken = [hop["id"] for hop in self.report["hops"] if hop["state"] == "broken"]
        assert broken == [finding["hop"]], f"the picture shows {broken} broken, the finding names {finding['hop']}"

    def finding(self, code: str) -> dict[str, Any]:
        """The finding with a code, whether it is the verdict or something else that was noticed."""
        found = {each["code"]: each for each in [self.report["finding"], *self.report["noticed"]] if each}
        assert code in found, f"{code} is not among {sorted(found)}:\n{self.told()}"
        return found[code]

    def notices(self, code: str, fix: str) -> None:
        """Check that nothing is broken, and that one thing was noticed."""
        assert self.report["ok"], f"{self.report['verdict']}:\n{self.told()}"
        assert re.search(fix, self.finding(code)["fix"]), self.finding(code)

    def texts(self) -> str:
        """Everything that was reported about it."""
        return self.run.output + self.data + self.html
