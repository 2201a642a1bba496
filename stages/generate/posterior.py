"""Which class a class-conditional model takes a document for: a cheap filter by topic or by toxicity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import Positive
from pipeline.contract import Columns, Context, RowFunction
from pipeline.errors import RecipeError
from stages.documents import TEXT
from stages.generate.codes import CodeModel, codes_of
from stages.generate.over_rows import ModelRows
from stages.wants import TrainedNode

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior(ModelRows):
    """Add the probability of a class: float32 `<as>`, and string `<as>_code`, the code of the likeliest class.

    model       a `pretrain` node with `objective: gedi`
    wanted      the code of the class
    max_chars   how much of a document is read, from its beginning
    batch_rows  documents at once; configuration, since the last bits of a model's sums depend on it
    device      `cpu` or `cuda`; configuration, for the same reason
    as_         (`as` in a recipe) the name of the column
    actors      (fewest, most) workers that hold the model
    commit_rows documents after which what is known of a shard is kept in the store

    It costs a forward for each class. `select` takes the column.
    """

    model: TrainedNode
    wanted: str
    max_chars: Positive = 2000
    as_: str = "posterior"

    def check(self) -> None:
        codes = codes_of(self.model)
        if not codes:
            raise RecipeError("posterior.model", f"a {self.model.kind()} without codes", "a pretrain, objective: gedi")
        if self.wanted not in codes:
            raise RecipeError("posterior.wanted", f"{self.wanted!r}", f"one of {', '.join(codes)}")

    def adds(self):
        return {self.as_: "float32", f"{self.as_}_code": "string"}

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa
        import pyarrow.compute as pc

        model = CodeModel.of(ctx, "model", self.batch_rows, self.device)
        wanted = model.codes.index(self.wanted)

        def rows(table: pa.Table) -> Columns:
            texts = pc.utf8_slice_codeunits(table[TEXT], 0, self.max_chars).to_pylist()
            found_cb = model.posterior(texts)
            likeliest = [model.codes[place] for place in found_cb.argmax(0).tolist()]
            return Columns(
                added={
                    self.as_: pa.array(found_cb[wanted].float().numpy()),
                    f"{self.as_}_code": pa.array(likeliest, pa.string()),
                }
            )

        return rows
