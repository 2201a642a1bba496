"""One pair for each thing that is said: pairs of which a side follows from another one's are one component of a graph.

Source: algorithm 1 of Jung et al. 2023 (Impossible Distillation, arXiv 2305.16635), which keeps of a component the pair
with the LARGEST entailment both ways; the released code keeps the smallest. A component is a chain: texts at its ends
may be far from each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.bounds import Positive, Share
from pipeline.contract import Columns, Context, Node, Removed, Resources, RowFunction, RowNode, RowPhase, runtime
from pipeline.errors import RecipeError
from stages.distillation.critics import check_text
from stages.distillation.judged import FunctionName, Judge, check_judge
from stages.documents import ID, TEXT, columns_of
from stages.neighbours import groups
from stages.number_columns import numbers_of
from stages.wants import ModelFiles

if TYPE_CHECKING:
    import pyarrow as pa

GROUPS_ROWS = 256  # rows of a batch, at least; its groups are judged one by one
SCORES = ("entail_forward", "entail_backward")


@dataclass(frozen=True, kw_only=True, eq=False)
class Diverse(RowNode):
    """Keep one pair of each component of a group; the others go with reason `diverse.component`.

    docs        pairs with the columns of `entail`, those of one group behind one another, as `pairs` leaves them
    model, fn   what judges entailment, as in `entail`
    by          the column that tells groups apart
    x           the column of the other text of a pair
    min_entail  the probability from which a text follows from another one
    version_    (`version` in a recipe) raise it when `fn` gives other values
    max_tokens, batch_rows, device, actors  as in `entail`

    Two pairs have an edge where `x` of one follows from `x` of the other, or `text` from `text`, in either direction.
    Of a component the pair with the largest `entail_forward` + `entail_backward` stays, the first one of equals. Adds:
    `component` int32, its number in the group. A group of n pairs takes up to 2 n (n - 1) judgements.
    """

    docs: Node
    by: str
    model: ModelFiles | None = None
    fn: FunctionName | None = None
    x: str = "x"
    min_entail: Share = 0.75
    version_: Positive = 1
    max_tokens: Positive = 256
    batch_rows: Positive = 32
    device: Literal["cpu", "cuda"] = "cpu"
    actors: tuple[Positive, Positive] = runtime((1, 2))

    reasons = ("diverse.component",)

    def check(self) -> None:
        check_judge("diverse", self.model, self.fn)
        check_text("diverse.x", self.x, self.docs)
        have = columns_of(self.docs)
        if self.by not in have:
            raise RecipeError(
                "diverse.by", f"no column {self.by!r}", "the group's column", "pairs: carry takes it along"
            )
        if SCORES[0] not in have:
            raise RecipeError("diverse.docs", f"no column {SCORES[0]!r}", "pairs that `entail` has judged")

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return () if self.model is None else ("transformers", "tokenizers")

    @property
    def scored(self) -> tuple[str, ...]:
        """The columns whose sum decides."""
        have = columns_of(self.docs)
        return tuple(name for name in SCORES if name in have)

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (ID, TEXT, self.x, self.by, *self.scored)

    def code(self) -> tuple[str, ...]:
        return () if self.fn is None else (self.fn.partition(":")[0],)

    def adds(self) -> Mapping[str, str]:
        return {"component": "int32"}

    def resources(self) -> Resources:
        if self.model is None:
            return Resources()
        return Resources(gpus=1.0 if self.device == "cuda" else 0.0, actors=tuple(self.actors))  # type: ignore[arg-type]

    def phases(self):
        return (
            RowPhase(
                open=self.open, needs=self.needs, resources=self.resources(), together=self.by, batch_rows=GROUPS_ROWS,
                reuse=False,
            ),
        )  # fmt: skip

    def open(self, ctx: Context) -> RowFunction:
        import numpy as np
        import pyarrow as pa

        from stages.distillation.judged import open_judge

        judge = open_judge(ctx, self.batch_rows, self.device, self.max_tokens)

        def rows(table: pa.Table) -> Columns:
            x, y = [each or "" for each in table[self.x].to_pylist()], table[TEXT].to_pylist()
            scores = [numbers_of(table, name, "diverse", null=False) for name in self.scored]
            sure = np.sum(scores, axis=0)
            component, stays = np.zeros(len(x), np.int32), np.zeros(len(x), bool)
            for start, end in groups(table[self.by].to_pylist()):
                found = components(x[start:end], y[start:end], judge, self.min_entail)
                component[start:end] = found
                for number in range(max(found) + 1):
                    members = start + np.flatnonzero(np.array(found) == number)
                    stays[members[np.argmax(sure[members])]] = True
            return Columns(
                added={"component": pa.array(component)}, removed=Removed.where(pa.array(~stays), "diverse.component")
            )

        return rows


def components(x: list[str], y: list[str], judge: Judge, least: float) -> list[int]:
    """Number of the component of each pair, counted from 0 in the order of their first pairs.

    Pairs that are known to be connected are not asked about again, so most of a large component costs little.
    """
    import numpy as np

    parent = list(range(len(x)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for at in range(1, len(x)):
        others = [other for other in range(at)]
        for texts in (x, y):
            others = [other for other in others if root(other) != root(at)]
            here, there = [texts[at]] * len(others), [texts[other] for other in others]
            near = np.maximum(judge(there, here), judge(here, there)) >= np.float32(least)
            for other in np.array(others, np.int64)[near].tolist():
                parent[max(root(at), root(other))] = min(root(at), root(other))
    roots = [root(at) for at in range(len(x))]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(roots))}
    return [numbers[name] for name in roots]
