"""Rewards of answers, calibrated: the share of the other answers to the same prompt that an answer beats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.contract import Columns, Context, Law, Node, Result, RowFunction, RowPhase, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import ID, columns_of
from stages.neighbours import groups
from stages.number_columns import check_numbers, numbers_of

if TYPE_CHECKING:
    import pyarrow as pa

EMPTY = "empty"  # `generate`: answers to the prompt that were no document
TWO_VALUES = "Rewards of two values: a transform of u can only change beta."


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrate(Node):
    """Add `u`, float64: the share of the other answers to the same prompt that an answer beats, a tie counting half.

    docs    answers of the reference, those of one prompt behind one another, as `generate` leaves them
    reward  a column of numbers; a null is no reward, and such an answer is no other's rival
    by      the column that tells prompts apart
    as_     (`as` in a recipe) the name of the column

    Answers that were empty are no documents; where the documents say how many there were (`empty`, of `generate`),
    every other answer beats them. `u` is null without a reward, and without a second answer. Law: answers = rivals +
    alone + without. Errors: `DataError` for NaN and for a reward that is the same everywhere.

    Source: the calibration of Balashankar et al. 2024 (InfAlign, arXiv 2412.19792), without the answer itself.
    """

    docs: Node
    reward: str
    by: str = "prompt"
    as_: str = "u"

    def check(self) -> None:
        columns = columns_of(self.docs)
        check_numbers("calibrate", columns, reward=self.reward)
        if self.by not in columns:
            raise RecipeError("calibrate.by", f"no column {self.by!r}", f"one of {', '.join(sorted(columns))}")

    def adds(self) -> Mapping[str, str]:
        return {self.as_: "float64"}

    @property
    def _columns(self) -> tuple[str, ...]:
        return (self.by, self.reward, *([EMPTY] if EMPTY in columns_of(self.docs) else []))

    def phases(self):
        law = Law("answers", "answers", ("rivals", "alone", "without"))
        return (
            TaskPhase(name="rewards", keys=one, run=self._rewards, law=law),
            RowPhase(open=self._open, needs=self._columns, together=self.by, batch_rows=1024, reuse=False),
        )

    def _rewards(self, ctx: Context, key: str) -> Result:
        """Look at all rewards before any is used."""
        import numpy as np

        counts, distinct, of_prompts = {"answers": 0, "without": 0}, set[float](), dict[Any, int]()
        for _, table in ctx.rows([ID, *self._columns]):
            rewards = numbers_of(table, self.reward, "calibrate.reward")
            missing = np.isnan(rewards)
            counts["answers"] += len(rewards)
            counts["without"] += int(missing.sum())
            if len(distinct) < 3:
                distinct.update(rewards[~missing].tolist())
            for prompt in table[self.by].filter(table[self.reward].is_valid()).to_pylist():
                of_prompts[prompt] = of_prompts.get(prompt, 0) + 1
        if len(distinct) < 2:
            raise DataError(
                "calibrate.reward", f"{self.reward} is {next(iter(distinct), 'null')} everywhere", "rewards that differ"
            )
        counts["alone"] = sum(number == 1 for number in of_prompts.values())
        counts["rivals"] = counts["answers"] - counts["alone"] - counts["without"]
        facts = {"prompts": len(of_prompts), "distinct": min(3, len(distinct))}
        with ctx.create(".json") as path:
            path.write_text(json.dumps(facts, sort_keys=True) + "\n", encoding="utf-8")
        return Result(counts=counts, facts=facts)

    def _open(self, ctx: Context) -> RowFunction:
        import numpy as np
        import pyarrow as pa

        from stages.rewards.tilting import calibrated

        def rows(table: pa.Table) -> Columns:
            rewards, names = numbers_of(table, self.reward, "calibrate.reward"), table[self.by].to_pylist()
            empty = table[EMPTY].to_pylist() if EMPTY in table.column_names else [0] * len(names)
            found = np.full(len(names), np.nan)
            for start, end in groups(names):
                at = start + np.flatnonzero(~np.isnan(rewards[start:end]))
                found[at] = calibrated(rewards[at], empty[start] or 0)
            return Columns(added={self.as_: pa.array(found, from_pandas=True)})

        return rows

    def figures(self, ctx: Context):
        facts = ctx.read_json("rewards")
        lines = [f"{facts['prompts']:,} prompts"] + [TWO_VALUES] * (facts["distinct"] == 2)
        yield {"kind": "text", "title": f"Calibrated rewards: {self.reward}", "lines": lines}
