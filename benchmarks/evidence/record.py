"""The record of an experiment, `docs/evidence/<name>.json`: all that a table says, and how to make it again."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.evidence.claims import Claim, Experiment
from benchmarks.interval import interval

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "evidence"


@dataclass(frozen=True, kw_only=True)
class Record:
    """`arms`: arm -> a number for each seed."""

    name: str
    about: str
    command: str
    commit: str
    date: str
    machine: Mapping[str, Any]
    steps: int
    seeds: Sequence[int]
    arms: Mapping[str, Sequence[float]]
    claims: Sequence[Claim]

    @classmethod
    def of(cls, experiment: Experiment, steps: int, results: Sequence[Mapping[str, float]]) -> Record:
        """Of the results of seeds 0, 1, ..."""
        return cls(
            name=experiment.name, about=experiment.about, command=f"python -m benchmarks.evidence {experiment.name}",
            commit=_commit(), date=time.strftime("%Y-%m-%d"), machine=machine(), steps=steps,
            seeds=list(range(len(results))), arms={arm: [run[arm] for run in results] for arm in results[0]},
            claims=experiment.claims,
        )  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> Record:
        """Raises ValueError where a verdict in the file is not the one that its numbers give."""
        values = json.loads(path.read_text(encoding="utf-8"))
        stored = [claim.pop("verdict") for claim in values["claims"]]
        names = {field.name for field in fields(Claim)}
        values["claims"] = [Claim(**{k: v for k, v in claim.items() if k in names}) for claim in values["claims"]]
        record = cls(**values)
        for claim, said in zip(record.claims, stored, strict=True):
            if said != (found := claim.verdict(record.arms)):
                raise ValueError(f"{path.name}: {claim.what}: found {said!r}, expected {found!r} from its interval")
        return record

    def write(self, folder: Path) -> Path:
        claims = []
        for claim in self.claims:
            mean, half = interval(claim.differences(self.arms))
            verdict = claim.verdict(self.arms)
            claims.append(asdict(claim) | {"mean": mean, "low": mean - half, "high": mean + half, "verdict": verdict})
        values = {field.name: getattr(self, field.name) for field in fields(self)} | {"claims": claims}
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def table(self) -> str:
        """As Markdown: what was run, and a line for each claim."""
        lines = [
            f"{self.about} {self.date}, {self.machine['processor']}, seeds {', '.join(map(str, self.seeds))}, "
            f"{self.steps} steps, commit {self.commit}. Again: `{self.command}`.",
            "", "| what | difference [95 % interval] | was to be | |", "|---|---|---|---|",
        ]  # fmt: skip
        for claim in self.claims:
            mean, half = interval(claim.differences(self.arms))
            sign = " %" if claim.percent else ""
            shown = f"{mean:+.3g}{sign} [{mean - half:+.3g}, {mean + half:+.3g}]"
            lines.append(f"| {claim.what} | {shown} | {claim.bound()} | {claim.verdict(self.arms)} |")
        return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the numbers were made on."""
    import torch

    return {
        "processor": _processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(), "torch": torch.__version__,
    }  # fmt: skip


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"
