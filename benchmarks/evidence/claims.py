"""What a method claims, and what the trainings of some seeds say of it.

A claim is a bound on the difference of two arms that share start and rows, seed by seed. Its verdict follows from the
95 % interval of the mean difference alone: it `holds` where the whole interval keeps to the bound, it is `refuted`
where the whole interval lies beyond it, and else it is `open`: so many seeds cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.interval import interval

Verdict = Literal["holds", "refuted", "open", ""]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`one - other` is at least `least`, or at most `most`; without a bound it is shown only.

    `percent`: the difference in percent of the other.
    """

    what: str
    one: str
    other: str
    percent: bool = False
    least: float | None = None
    most: float | None = None

    def differences(self, arms: Mapping[str, Sequence[float]]) -> list[float]:
        """One for each seed."""
        pairs = zip(arms[self.one], arms[self.other], strict=True)
        return [(one - other) * (100.0 / other if self.percent else 1.0) for one, other in pairs]

    def verdict(self, arms: Mapping[str, Sequence[float]]) -> Verdict:
        if self.least is None and self.most is None:
            return ""
        mean, half = interval(self.differences(arms))
        low, high = mean - half, mean + half
        least = float("-inf") if self.least is None else self.least
        most = float("inf") if self.most is None else self.most
        if least <= low and high <= most:
            return "holds"
        return "refuted" if high < least or low > most else "open"

    def bound(self) -> str:
        """In words."""
        sign = " %" if self.percent else ""
        least = [] if self.least is None else [f"at least {self.least:g}{sign}"]
        most = [] if self.most is None else [f"at most {self.most:g}{sign}"]
        return " and ".join(least + most)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Trainings of one seed, and what their results are held against.

    `run(folder, seed, steps)` returns arm -> number; arms of one seed share start and rows.
    """

    name: str
    about: str
    run: Callable[[Path, int, int], Mapping[str, float]]
    steps: int
    claims: tuple[Claim, ...]
    seeds: int = 3
