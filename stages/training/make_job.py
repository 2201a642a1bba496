"""From the node of a training to its job: all that its processes need, found in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from models.reweight_config import Uniform
from pipeline.contract import Context
from stages.tokens.tokenizer import tokenizer_file
from stages.training.job import Job
from stages.training.mixture import check_ids, sources_of
from stages.training.results import model_file
from stages.training.row_source import RowSource
from stages.training.stream_rows import Packer, packer, streamed_rows

if TYPE_CHECKING:
    from stages.tokens.packed_rows import PackedRows


def job_of(node: Any, ctx: Context) -> tuple[Job, Packer | None]:
    """The job of a `pretrain`, whose file imports this one; and the maker of its rows when they come in a stream."""
    assert node.device != "auto"
    assert node.precision != "auto"
    maker = None if node.feed is None else packer(ctx, node.feed, node.seed)
    if maker is None:
        sources = sources_of(ctx, node.mixture, node.steps * node.batch_rows, node.max_epochs)
    else:
        sources = (RowSource(ctx.fingerprint("rows"), cast("PackedRows", streamed_rows(maker)), 1.0),)
    if node.start is not None:
        of_rows = ctx.path("meta", "all", "/tokenizer.json", of=("rows", 0)) if maker is None else tokenizer_file(ctx)
        check_ids(ctx.path("train", "all", "/tokenizer.json", of="start"), of_rows)
    job = Job(
        sources=sources,
        model=node.model,
        start=None if node.start is None else str(model_file(ctx, "start")),
        objective=node.objective,
        collate=node.collate,
        order=node.order,
        freeze=node.freeze,
        reweight=node.reweight or Uniform(),
        optimizer=node.optimizer,
        lr_schedule=node.lr_schedule,
        schedule=node.schedule,
        steps=node.steps,
        batch_rows=node.batch_rows,
        micro_batches=node.micro_batches,
        seed=node.seed,
        attend=node.attend,
        precision=node.precision,
        compile=node.compile == "on",
        reduce=node.reduce or "tree",
        shard=node.shard,
        threads=node.threads,
        device=node.device,
        on_nan=node.on_nan,
        stream=node.feed,
        recompute=node.recompute,
        checkpoint_every=node.checkpoint_every,
        log_interval=node.log_interval,
        log_steps=bool(node.metrics),
        save_aside=node.save_aside,
        scratch=ctx.scratch(),
    )
    return job, maker
