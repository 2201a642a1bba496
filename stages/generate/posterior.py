"""Which class a class-conditional model takes a document for: a cheap filter by topic or by toxicity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.bounds import Positive
from pipeline.contract import Columns, Context, Node, Resources, RowFunction, RowNode, RowPhase, runtime
from pipeline.errors import RecipeError
from stages.documents import TEXT
from stages.generate.codes import CodeModel, codes_of
from stages.generate.embed import whole_batches
from stages.generate.loading import libraries_of
from stages.wants import TrainedNode

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior(RowNode):
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

    docs: Node
    model: TrainedNode
    wanted: str
    max_chars: Positive = 2000
    batch_rows: Positive = 32
    device: Literal["cpu", "cuda"] = "cpu"
    as_: str = "posterior"
    actors: tuple[Positive, Positive] = runtime((1, 2))
    commit_rows: Positive | None = runtime(4096)

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return libraries_of(self.model)

    def check(self) -> None:
        codes = codes_of(self.model)
        if not codes:
            raise RecipeError("posterior.model", f"a {self.model.kind()} without codes", "a pretrain, objective: gedi")
        if self.wanted not in codes:
            raise RecipeError("posterior.wanted", f"{self.wanted!r}", f"one of {', '.join(codes)}")

    def adds(self):
        return {self.as_: "float32", f"{self.as_}_code": "string"}

    def resources(self) -> Resources:
        gpus = 1.0 if self.device == "cuda" else 0.0
        return Resources(cpus=1, gpus=gpus, actors=tuple(self.actors))  # type: ignore[arg-type]

    def phases(self):
        return (
            RowPhase(
                open=self.open, needs=self.needs, resources=self.resources(), batch_rows=self.batch_rows,
                commit_rows=whole_batches(self.commit_rows, self.batch_rows), own_pass=False, reuse="batches",
            ),
        )  # fmt: skip

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
