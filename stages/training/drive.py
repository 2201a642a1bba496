"""The driver's part of a training: make it of its node, start it, follow it, pass a request to stop on to it, and say
why it ended.
"""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pipeline.contract import Context
from pipeline.errors import Stopped
from stages.tokens.tokenizer import tokenizer_file
from stages.training import deaths
from stages.training.checkpoint import ERROR, RESULT, STOP, Saver
from stages.training.messenger import Messenger
from stages.training.metrics import following
from stages.training.mixture import check_ids, check_priors, check_reference, sources_of
from stages.training.planned_model import added_tokens
from stages.training.ray_trainer import fit
from stages.training.results import describe_training, documents_of
from stages.training.row_source import RowSource
from stages.training.settings import TrainingSettings
from stages.training.stream_rows import Packer, packer, streamed_rows
from stages.training.training import Training

if TYPE_CHECKING:
    from stages.tokens.packed_rows import PackedRows


def training_of(node: TrainingSettings, ctx: Context) -> tuple[Training, Packer | None]:
    """The training that a node declares, with what its processes need of the store; and the maker of its rows when they
    come in a stream.
    """
    assert node.device != "auto"
    assert node.precision != "auto"
    maker = None if node.feed is None else packer(ctx, node.feed, node.seed)
    if maker is None:
        sources = sources_of(ctx, node.mixture, node.steps * node.batch_rows, node.max_epochs)
    else:
        sources = (RowSource(ctx.fingerprint("rows"), cast("PackedRows", streamed_rows(maker)), 1.0),)
    if node.start is not None:
        of_rows = ctx.path("meta", "all", "/tokenizer.json", of=("rows", 0)) if maker is None else tokenizer_file(ctx)
        check_ids(ctx.path("train", "all", "/tokenizer.json", of="start"), of_rows, added_tokens(node))
    start = None if node.start is None else ctx.stored("train", "all", "/model.safetensors", of="start")
    training = Training(node=node, fingerprint=ctx.fingerprint(), sources=sources, start=start, scratch=ctx.scratch())
    return training, maker


def finished(ctx: Context, training: Training, maker: Packer | None = None) -> tuple[Saver, dict[str, Any]]:
    """Train, or go on, to the end: where the result lies, and its JSON values. `maker` makes the rows of a stream.

    Raises DataError for rows without a reference or with a weight that is no number, the error that ended the run, and
    Stopped after a request to stop.
    """
    check_reference(training)
    check_priors(training)
    files, name = Saver(training.scratch), f"train-{training.fingerprint[:12]}"
    metrics, documents = training.node.metrics, partial(documents_of, training)
    with following(metrics, training.scratch, name, describe_training(training), ctx.log, documents):
        if not files.scratch.exists(RESULT):
            for old in (STOP, ERROR):
                files.scratch.remove(old)
            deaths.forget(files.scratch)
            with Messenger(files, ctx.stopping, lambda values: ctx.log("training", **values)):
                try:
                    fit(training, name, maker)
                except Exception:
                    # a process that left its reason says more than the trace of the group that it ended
                    if (error := files.error()) is not None:
                        raise error from None
                    raise
    if (error := files.error()) is not None:
        raise error
    if (result := files.result()) is None:
        raise Stopped(signal.SIGTERM)
    ctx.log("trained", **result["resources"])
    return files, result
