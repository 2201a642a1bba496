"""Pre-train a model on packed rows: the node; the loop is `stages.training.worker`, Ray's part
`stages.training.ray_trainer`.

Published once, when training has ended: `train/all/model.safetensors`; `train/all/steps.parquet`, one line
a step (its columns are those of `stages.training.step_record.RECORD`, with `rows`, the global row numbers of the
batch in its order); `train/all/config.json`, from which model, order and tokens are rebuilt;
`train/all/unusual.json`, steps whose loss stands out or whose update was left out, with their rows and documents;
`train/all/tokenizer.json`. Checkpoints, progress and timings are not data: they lie in scratch, or go to
the event log. With a mixture the global row numbers count through its sources in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.reweight_config import LossShaped
from pipeline.contract import Context, DocumentRow, FinishedNode, Law, Resources, Result, TaskPhase, one
from pipeline.errors import RecipeError
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import ENCODERS
from stages.training import planned_model
from stages.training.adapter_costs import against_full
from stages.training.asks import check_rows, check_start
from stages.training.curves import FILES, layers_figure, of_files
from stages.training.limits import check_numbers, check_optimizer
from stages.training.memory import file_bytes, peak_of
from stages.training.mixture import mixture_figures
from stages.training.settings import TrainingSettings
from stages.training.stage import check_stages
from stages.training.stream import check_stream
from stages.training.units import check_units


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretrain(TrainingSettings):
    """Pre-train a language model with Ray Train; the same bits for any number of workers, and after any kill."""

    progress_formats = {"loss": "loss {:.3f}", "tokens_per_second": "{:,.0f} tokens/s"}  # noqa: RUF012

    version = 7
    gives = "model"
    made = ("steps", "tokens")

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return () if self.feed is None else ENCODERS  # of packed rows, the versions are those of `pack`

    @property
    def deterministic(self) -> bool:  # type: ignore[override]
        return self.feed is None

    def check(self) -> None:
        check_numbers(
            batch_rows=self.batch_rows, micro_batches=self.micro_batches, shard=self.shard, reduce=self.reduce,
            workers=self.workers, sizes=self.sizes,
        )  # fmt: skip
        check_optimizer(self.optimizer, self.shard)
        if wrong := check_stages(self.schedule):
            raise RecipeError("pretrain.schedule", *wrong)
        objectives = self.objectives
        collators = [self.collate, *(stage.collate for stage in self.schedule if stage.collate is not None)]
        check_start(self.start, objectives)
        planned_model.check_freeze(self)
        planned_model.check_adapter(self)
        planned_model.check_start(self)
        if self.feed is not None:
            check_units(self, ())
            check_stream(self, [*objectives, *collators, self.reweight], collators)
            return
        if self.tokenizer is not None:
            raise RecipeError("pretrain.tokenizer", "a tokenizer beside packed rows", "the tokenizer of pack alone")
        if not self.mixture:
            raise RecipeError("pretrain.rows", "an empty mixture", "a pack node, or a mapping of pack nodes to shares")
        for node, share in self.mixture:
            if not isinstance(node, Pack):
                raise RecipeError("pretrain.rows", f"{node!r:.60}", "a pack node, or a mapping of pack nodes to shares")
            if not share > 0.0:
                raise RecipeError("pretrain.rows", f"a share of {share}", "shares above 0")
        packs = [node for node, _ in self.mixture if isinstance(node, Pack)]
        planned_model.check_mixture(packs)
        check_units(self, packs)
        check_rows(packs, self.order, [*objectives, *collators, self.reweight], collators)

    def phases(self):
        law = Law("steps", "steps", ("trained", "skipped"))
        workers = max(self.sizes, default=1) + (self.feed is not None)
        return (
            TaskPhase(
                name="train", keys=one, run=self._train, place="driver", workers=workers, resources=self.resources(),
                law=law,
            ),
        )  # fmt: skip

    def resources(self) -> Resources:
        """Those of all workers together, at their most, and a CPU for the pipeline of a stream."""
        most = max(self.sizes, default=1)
        return Resources(cpus=most * self.threads + (self.feed is not None), gpus=most if self.device == "cuda" else 0)

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        from stages.training.results import seen_in

        packed = {name: found["rows"] for name, found in ctx.inputs.items() if "rows" in found}
        return seen_in(ctx.path("train", "all", "/config.json"), packed) if packed else {}

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return file_bytes(self, self.vocab_size) + self.steps * self.batch_rows * 8

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        most = max(self.sizes, default=1)
        return most * peak_of(self, self.vocab_size, self.length, most).total

    def _train(self, ctx: Context, key: str) -> Result:
        from stages.training.drive import finished, training_of
        from stages.training.results import publish

        training, maker = training_of(self, ctx)
        return publish(ctx, training, *finished(ctx, training, maker))

    def figures(self, ctx: Context):
        weighted = isinstance(self.weighting, LossShaped)
        run = ctx.read_json("train", ext="/config.json")
        if self.adapter is not None:
            yield against_full(self, run["vocab_size"])
        for measured in filter(None, run.get("similarities", ())):
            yield layers_figure(measured)
        record, unusual = (ctx.path("train", "all", f"/{name}") for name in FILES)
        yield from of_files(record, unusual, self.label, weighted=weighted)
        yield from mixture_figures(ctx, [share for _, share in self.mixture])
