"""What the parts of a training ask of its rows, held against the nodes of the graph: before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import RecipeError
from stages.documents import LOG_PRIOR

if TYPE_CHECKING:
    from models.objective import Objective
    from stages.tokens.pack import Pack
    from stages.training.collate import Collator
    from stages.training.order import RowOrder


def columns(parts: Iterable[object]) -> tuple[str, ...]:
    """Carried columns that some part reads, in order of name."""
    return tuple(sorted({name for part in parts for name in getattr(part, "reads", ())}))


def specials(collators: Iterable[Collator]) -> tuple[str, ...]:
    """Special tokens that some collator needs, each once."""
    return tuple(dict.fromkeys(name for one in collators for name in one.needs))


def check_rows(packs: Sequence[Pack], order: RowOrder, parts: Sequence[object], collators: Sequence[Collator]) -> None:
    """Raise `RecipeError` for a column that no pack carries, a special token that the tokenizer does not reserve, and a
    prior that would count twice.
    """
    for pack in packs:
        for name in columns([order, *parts]):
            if name not in pack.carry:
                raise RecipeError(
                    "pretrain.rows", f"rows without the column {name!r}", "rows that carry it",
                    f"pack with carry: [{', '.join([*pack.carry, name])}]",
                )  # fmt: skip
        if order.weighs and LOG_PRIOR in pack.carry and LOG_PRIOR not in order.reads:
            raise RecipeError(
                "pretrain.order", f"rows drawn by {', '.join(order.reads)}, and {LOG_PRIOR} carried for the loss",
                "one prior, in the sampler or in the loss", f"carry no {LOG_PRIOR}, or draw by it",
            )  # fmt: skip
        if pack.samples and (others := [one for one in collators if not one.learns_places]):
            raise RecipeError(
                "pretrain.collate", f"{type(others[0]).__name__}, over samples of which only answers are learned",
                "next_token", "collate: next_token, or rows of `pack`",
            )  # fmt: skip
        reserved = getattr(pack.tokenizer, "reserved", None)
        if missing := [name for name in specials(collators) if reserved is not None and name not in reserved]:
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise RecipeError(
                "pretrain.collate", f"rows whose tokenizer reserves no {shown}", f"{len(missing)} more special tokens",
                f"tokenizer with specials: [{', '.join(missing)}]",
            )  # fmt: skip


def check_start(start: object, objectives: Iterable[Objective]) -> None:
    """Raise `RecipeError` for an objective that reads the model which the run starts from, when there is none."""
    for one in objectives:
        if one.asks_start and start is None:
            raise RecipeError(
                "pretrain.objective", f"{type(one).__name__} by the model that the run starts from, and no start",
                "a node that gives a model in `start`",
            )  # fmt: skip
