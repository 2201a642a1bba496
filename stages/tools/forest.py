"""The trees of batches of documents, and the pairs of steps in them as rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, Result
from pipeline.errors import DataError
from stages.documents import ID, PARENTS, TEXT
from stages.new_base import NewBaseNode, NewRowsWriter
from stages.read.shard_files import schema_of
from stages.tools.reward import Reward
from stages.tools.tree import Growth, StepPair, grow, pairs_of

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.generate.folder import FolderLM
    from stages.generate.prompt import Template

IDS = ("prompt_ids", "chosen_ids", "rejected_ids")
OWN = {
    **dict.fromkeys(("prompt", "chosen", "rejected"), "string"), **dict.fromkeys(IDS, "list<int32>"),
    "margin": "float32", "depth": "int32",
}  # fmt: skip
LOW, HIGH = "tree_low", "tree_high"  # of the rewards of a batch


class FolderWriter:
    """The model of a folder, as a tree asks it (`stages.tools.tree.StepWriter`)."""

    def __init__(self, lm: FolderLM) -> None:
        self.generate = lm.generate
        self._lm = lm

    @property
    def end(self) -> int:
        return int(self._lm.tokenizer.eos_token_id)

    def decode(self, ids: Sequence[int]) -> str:
        return self._lm.tokenizer.decode(list(ids), skip_special_tokens=True)

    def ids(self, prompt: str) -> list[int]:
        """Of a prompt, behind the token that begins a text."""
        return self._lm.prompt_ids(prompt, None)


@dataclass(frozen=True, kw_only=True)
class Forest:
    """The trees of batches of documents, in a worker; fields as in `StepTree`."""

    lm: FolderWriter
    template: Template
    reward: Reward
    growth: Growth
    gap: float
    carry: tuple[str, ...]

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.grown(table)[0]

    def grown(self, table: pa.Table) -> tuple[pa.Table, float, float]:
        """The pairs of a batch, and its lowest and highest reward."""
        names, rewards = table[ID].to_pylist(), set[float]()
        texts = list(self.template.fill(table))
        prompts = [self.lm.ids(text) for text in texts]
        columns = {name: [value or "" for value in table[name].to_pylist()] for name in self.reward.columns}

        def score(at: int, answer: str) -> float:
            found = float(self.reward.score(answer, {name: values[at] for name, values in columns.items()}))
            if not math.isfinite(found):
                raise DataError("step_tree.reward", f"{found} for an answer to {names[at]!r}", "a number")
            rewards.add(found)
            return found

        roots = grow(self.lm, prompts, names, score, self.growth)
        pairs = [
            (at, pair)
            for at, root in enumerate(roots)
            for pair in pairs_of(root, self.gap, lambda one: self.reward.canonical(self.lm.decode(one.ids)))
        ]
        made = self._table(table, [(at, texts[at], prompts[at], pair) for at, pair in pairs])
        return made, min(rewards, default=0.0), max(rewards, default=0.0)

    def _table(self, table: pa.Table, pairs: list[tuple[int, str, list[int], StepPair]]) -> pa.Table:
        import pyarrow as pa

        names = table[ID].to_pylist()
        rows = [{PARENTS: [names[at]]} | self._row(text, ids, pair) for at, text, ids, pair in pairs]
        made = pa.Table.from_pylist(rows, schema_of({TEXT: "string", PARENTS: "list<string>", **OWN}))
        places = pa.array([at for at, *_ in pairs], pa.int64())
        for name in self.carry:
            made = made.append_column(name, table[name].take(places))
        return made

    def _row(self, text: str, ids: list[int], pair: StepPair) -> dict[str, Any]:
        """`ids`: of the prompt, behind the token that begins a text."""
        before = pair.before.ids
        sides = {"chosen": pair.chosen, "rejected": pair.rejected}
        row: dict[str, Any] = {"prompt_ids": [*ids[1:], *before], "margin": pair.margin, "depth": len(pair.chosen.path)}
        told = {TEXT: text + pair.chosen.best[1], "prompt": text + self.lm.decode(before)}
        for name, one in sides.items():
            step = one.ids[len(before) :]
            row[f"{name}_ids"] = [*step, *([self.lm.end] if one.ended else [])]
            told[name] = self.lm.decode(step)
        return row | {name: value.replace("\0", " ") for name, value in told.items()}


class TreeWriter(NewRowsWriter):
    """Writes the pairs of a shard, and keeps between which rewards its answers lie."""

    def __init__(self, ctx: Context, node: NewBaseNode) -> None:
        super().__init__(ctx, node)
        self._rewards: tuple[float, float] | None = None
        self._depths: Counter[str] = Counter()

    def work(self, table: pa.Table) -> pa.Table:
        """The pairs of a batch, and behind them a row of its lowest and highest reward."""
        import pyarrow as pa

        made, low, high = self.ctx.loaded.grown(table.select(list(self.node.reads())))
        pairs = self.placed(table, made)
        return pa.concat_tables([pairs, pa.table({LOW: [low], HIGH: [high]})], promote_options="default")

    def add(self, table: pa.Table, worked: pa.Table) -> None:
        import pyarrow.compute as pc

        of_batch = worked[LOW].is_valid()
        for low, high in zip(*(worked[name].drop_null().to_pylist() for name in (LOW, HIGH)), strict=True):
            self._rewards = (low, high) if self._rewards is None else (
                min(low, self._rewards[0]), max(high, self._rewards[1])
            )  # fmt: skip
        pairs = worked.filter(pc.invert(of_batch)).drop_columns([LOW, HIGH])
        self._depths.update(map(str, pairs["depth"].to_pylist()))
        super().add(table, pairs)

    def finish(self) -> Result:
        found = super().finish()
        rewards = None if self._rewards is None else list(self._rewards)
        return Result(found.counts, {**found.facts, "rewards": rewards, "depths": dict(sorted(self._depths.items()))})
