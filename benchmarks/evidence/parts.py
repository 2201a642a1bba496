"""What each seed of an experiment gave, kept as it ends: a run that was stopped goes on behind the last one.

A result is kept under its experiment's name, its steps and all code behind it. After any change it is looked for in
another folder, so that the seeds of a record are always of one code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evidence.claims import Experiment
from pipeline.driver.drift import code_behind


@dataclass(frozen=True)
class Parts:
    """The results of one experiment at so many steps."""

    folder: Path

    @classmethod
    def of(cls, experiment: Experiment, steps: int, into: Path) -> Parts:
        """Those below a folder."""
        code = code_behind(experiment.run.__module__)
        identity = hashlib.sha256(code.to_bytes()).hexdigest()[:16]
        return cls(into / f"{experiment.name}-{steps}-{identity}")

    def read(self, seed: int) -> dict[str, float] | None:
        """What a seed gave, arm -> number; None where it did not come to its end."""
        path = self._path(seed)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def keep(self, seed: int, found: Mapping[str, float]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = self._path(seed).with_suffix(".part")
        whole.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        whole.replace(self._path(seed))

    def _path(self, seed: int) -> Path:
        return self.folder / f"{seed}.json"
