"""How far units of a changed sound are from those of the sound as it was.

Source: Gat et al. 2023 (arXiv 2209.15483): UED(E, g) = 100 E_x Lev(E(x), E(g(x))) / |E(x)| over merged sequences, the
length of the clean one below, and the mean of the ratios. An encoder that always says the same has a distance of 0, so
purity, mutual information and entropy of the units stand beside it, always.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from annotated_types import Ge, Interval

from pipeline.contract import ONE, Context, Law, Node, Result, TaskPhase, one
from pipeline.errors import DataError, MissingExtra, RecipeError
from stages.documents import ID, columns_of
from stages.intervals import interval
from stages.measure import MeasureNode
from stages.speech.audio import PHONES, RATE, SECONDS
from stages.speech.clusterings import Agreement, paired, parsed
from stages.speech.sound import INSTALL

UNITS = "list<int32>"


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitDistance(MeasureNode):
    """The unit edit distance between two columns of units, with purity, mutual information and entropy of the first.

    docs       sounds with both columns, as two `units` nodes add them
    clean      the units of the sounds as they were; the labels of their frames stand in `<clean>_frames`
    changed    the units of the changed sounds
    by         a column; each of its values is a group (null = one without a name)
    resamples  draws of sounds with replacement, for the intervals
    level      of the intervals

    Writes `score/all.json` and `score/all.parquet` (`id`, `group` and `value`), so that `ablation` compares encoders.
    The phones are those of `audio`; a unit belongs to the phone at the middle of its frames. An encoder whose units are
    all one is called `constant` in the report and in the file.

    Law: sounds = measured + silent (the clean sound has no units). Errors: `DataError` where no sound has phones, and
    where no sound is measured.
    """

    docs: Node
    clean: str = "units"
    changed: str
    by: str | None = None
    resamples: Annotated[int, Ge(100)] = 2000
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.95
    seed: int = 0

    @property
    def measured(self) -> str:
        return "unit edit distance"

    @property
    def higher_is_better(self) -> bool:
        return False

    @property
    def _labels(self) -> str:
        return f"{self.clean}_frames"

    def check(self) -> None:
        from importlib.util import find_spec

        have = columns_of(self.docs)
        for field, name in (("clean", self.clean), ("changed", self.changed), ("clean", self._labels)):
            if have.get(name) != UNITS:
                found = f"{name!r} of type {have[name]}" if name in have else f"no column {name!r}"
                raise RecipeError(f"unit_distance.{field}", found, f"a column of {UNITS}, as `units` adds it")
        for name in (PHONES, SECONDS, RATE, *([self.by] if self.by else [])):
            if name not in have:
                raise RecipeError("unit_distance.docs", f"no column {name!r}", "sounds: a node behind `audio`")
        if find_spec("rapidfuzz") is None:
            raise MissingExtra("unit_distance", "no library rapidfuzz", "the extra speech", INSTALL)

    def phases(self):
        law = Law("sounds", "sounds", ("measured", "silent"))
        return (TaskPhase(name="score", keys=one, run=self._score, law=law),)

    def _score(self, ctx: Context, key: str) -> Result:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        names, groups, values, pairs, silent = [], [], [], [], 0
        columns = [ID, self.clean, self.changed, self._labels, PHONES, SECONDS, RATE, *([self.by] if self.by else [])]
        for _, table in ctx.rows(list(dict.fromkeys(columns))):
            for row in table.to_pylist():
                if row[PHONES] is not None:
                    phones = parsed(row[ID], row[PHONES])
                    pairs += paired(np.array(row[self._labels], np.int64), phones, row[SECONDS] * row[RATE])
                if not row[self.clean]:
                    silent += 1
                    continue
                names.append(row[ID])
                groups.append(None if self.by is None or row[self.by] is None else str(row[self.by]))
                values.append(distance(row[self.clean], row[self.changed]))
        if not values:
            raise DataError("unit_distance.docs", f"no unit in any of {silent} sounds", "units of some sound")
        if not pairs:
            raise DataError(
                "unit_distance.docs", "no sound with phones, so no purity and no mutual information",
                "phones of some sounds: an encoder that always says the same has a distance of 0",
                "put `.phn` files beside the sounds (`first sample, stop, phone` a line)",
            )  # fmt: skip
        agreement = Agreement.of(pairs)
        with ctx.create(".parquet") as path:
            kinds = {"id": pa.string(), "group": pa.string(), "value": pa.float64()}
            arrays = [pa.array(v, kind) for v, kind in zip((names, groups, values), kinds.values(), strict=True)]
            pq.write_table(pa.table(arrays, names=list(kinds)), path, compression="zstd")
        numbers, named = np.array(values), np.array([group or "" for group in groups])
        parts = {"all": slice(None)} | {name: named == name for name in sorted(set(named.tolist()) - {""})}
        score = {
            "clean": self.clean, "changed": self.changed, "level": self.level, "constant": agreement.entropy == 0,
            "agreement": asdict(agreement), "groups": {name: self._mean(numbers[at]) for name, at in parts.items()},
        }  # fmt: skip
        with ctx.create(".json") as path:
            path.write_text(json.dumps(score, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if score["constant"]:
            ctx.log("notice", text=f"{self.clean}: a constant encoder, whose distance says nothing")
        counts = {"sounds": len(values) + silent, "measured": len(values), "silent": silent}
        facts = {"distance": float(numbers.mean()), "purity": agreement.purity, "nmi": agreement.nmi}
        return Result(counts=counts, facts={**facts, "entropy": agreement.entropy, "constant": score["constant"]})

    def _mean(self, values: Any) -> dict[str, Any]:
        import numpy as np

        low, high = interval(values, np.ones(len(values)), self.resamples, self.level, self.seed)
        return {"sounds": len(values), "mean": float(values.mean()), "from": low, "to": high}

    def figures(self, ctx: Context):
        score: dict[str, Any] = json.loads(ctx.path("score", ONE[0], ".json").read_text(encoding="utf-8"))
        agreement = [round(score["agreement"][name], 4) for name in ("purity", "nmi", "entropy")]
        rows = [
            [name, of["sounds"], *(round(of[key], 2) for key in ("mean", "from", "to")), *agreement]
            for name, of in score["groups"].items()
        ]
        note = "Purity, mutual information and entropy are of all clean sounds."
        yield {
            "kind": "table",
            "title": f"Unit edit distance: {self.clean} and {self.changed}",
            "note": f"A constant encoder: its distance of 0 says nothing. {note}" if score["constant"] else note,
            "columns": [
                self.by or "group",
                "sounds",
                "distance",
                f"{self.level:.0%} from",
                "to",
                "purity",
                "NMI",
                "bits",
            ],
            "rows": rows,
        }


def distance(clean: list[int], changed: list[int]) -> float:
    """Edits per hundred units of the clean sequence, which is not empty. May exceed 100."""
    from rapidfuzz.distance import Levenshtein

    return 100 * Levenshtein.distance(clean, changed) / len(clean)
