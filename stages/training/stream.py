"""Rows that are made while a training runs, for documents that are too many to be tokenised ahead.

A Ray Data pipeline beside the workers reads documents, encodes and packs them, and streams rows into the workers. A
pass reads all documents once: groups of shards in a drawn order, the documents of a group window by window, the rows of
a window in a drawn order. The rows of a group are a function of the documents, the tokenizer, the seed and the fields
of `RowStream`, and each worker sees the rows that it is given in the order of the pass. What a row of a batch is beside
depends on how many workers there are and how fast Ray Data was.

What a run keeps of it is the pass and a number: all rows below it were seen. So after a resume

- no row is left out, and rows that some workers had seen while others were behind are seen again in that pass;
- the batches are others, so the losses are: a node with a stream is not `deterministic`.

The last rows of a pass that fill no batch of all workers are left out. Rows of one worker that is never interrupted
are the same in every run. All passes have the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from models.fields import Typed
from pipeline.bounds import Positive
from pipeline.contract import Node
from pipeline.errors import RecipeError
from stages.documents import LOG_PRIOR, TEXT, columns_of
from stages.tokens.pack import Pack
from stages.training.asks import columns, specials
from stages.training.order import MIXTURE

if TYPE_CHECKING:
    from stages.training.collate import Collator


@dataclass(frozen=True, kw_only=True)
class RowStream(metaclass=Typed):
    """How rows are made of documents while the training runs (`stages.training.stream`).

    length  T, tokens a model sees at once
    window  documents among which the best fit is sought, and whose rows are mixed
    mix     shards that are read at once, so that their documents share windows
    """

    length: Annotated[int, Ge(2)] = 256
    window: Positive = 10_000
    mix: Positive = 4


def check_stream(node: Any, parts: Sequence[object], collators: Sequence[Collator]) -> None:
    """Raise RecipeError for a `pretrain` that a stream cannot feed; its file imports this one."""
    here = "pretrain.feed"
    assert node.feed is not None
    docs = node.rows
    if not isinstance(docs, Node) or isinstance(docs, Pack) or TEXT not in columns_of(docs):
        raise RecipeError("pretrain.rows", "packed rows or a mixture, with `feed`", "one node of documents")
    if node.tokenizer is None or node.tokenizer.kind() != "tokenizer":
        raise RecipeError("pretrain.tokenizer", f"{node.tokenizer!r:.60}, with `feed`", "a tokenizer node")
    if node.order != MIXTURE:
        raise RecipeError(
            here, f"the order {type(node.order).__name__}", "no order: rows are not known before they come"
        )
    if asked := columns(parts):
        raise RecipeError(here, f"parts that read {', '.join(asked)}", "parts that read no column", "pack with `carry`")
    if LOG_PRIOR in columns_of(docs):
        raise RecipeError(
            here, f"documents with {LOG_PRIOR}", "documents without a prior", f"pack with `carry: [{LOG_PRIOR}]`"
        )
    if node.max_epochs is not None:
        raise RecipeError(here, f"max_epochs {node.max_epochs}", "no limit: how many rows there are is not known")
    reserved = getattr(node.tokenizer, "reserved", None)
    if missing := [name for name in specials(collators) if reserved is not None and name not in reserved]:
        raise RecipeError(
            "pretrain.collate", f"a tokenizer that reserves no {', '.join(missing[:3])}", "its special tokens"
        )
    for number in node.sizes:
        if number & (number - 1):
            raise RecipeError(
                "pretrain.workers", f"{number}, with `feed`", "a power of two: workers read equally many rows"
            )
