"""Samples to fixed rows of token ids: what a model is asked, and what it has to answer.

The files are those of `pack`, so that orders, mixtures, hold-outs and `why` serve both. The rows hold three more lists
(`stages.tokens.packed_rows`): the group and the role of each piece, and the places that are learned. A sample stands in
a row as `<|endoftext|>`, its spans, `<|endoftext|>`; it is never cut, and the pieces of a group are never parted. Where
the last span is learned the closing token is too, which teaches the model to stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.contract import Context
from pipeline.errors import RecipeError
from stages.tokens.pack import Pack
from stages.tokens.sample import Sample, check_columns
from stages.tokens.tokenizer import tokenizer_file

if TYPE_CHECKING:
    from stages.tokens.sample_writer import SampleWriter


@dataclass(frozen=True, kw_only=True, eq=False)
class PackSamples(Pack):
    """Pack samples, of which only the answers are learned, into rows of `length` + 1 tokens.

    sample   what a row of the documents is: `answer` (`stages.tokens.sample`), `chat` (`stages.tokens.chat`),
             `preference` (`stages.tokens.preference`)
    learn    `answers`, or `all` tokens, as `pack` does: the control of every method that learns from answers
    on_long  a sample that is longer than a row: `drop` it, or `cut` the beginning of what stands before its first
             answer; it is dropped where that does not make it fit

    Law: samples = packed + dropped (by reason: `held_out`, `no_answer`, `too_long` and those of the kind of sample).
    """

    sample: Sample
    learn: Literal["answers", "all"] = "answers"
    on_long: Literal["drop", "cut"] = "drop"

    version = 1
    samples = True

    def check(self) -> None:
        super().check()
        if self.ids is not None:
            raise RecipeError(
                "pack_samples.ids", f"{self.ids!r}", "no ids: samples are made of texts", "`pack` takes ids"
            )
        check_columns("pack_samples.sample", self.sample, self.docs)
        reserved = getattr(self.tokenizer, "reserved", None)  # None: known once its file is read
        if missing := [name for name in self.sample.needs if reserved is not None and name not in reserved]:
            raise RecipeError(
                "pack_samples.tokenizer", f"a tokenizer that reserves no {', '.join(missing)}",
                f"the special tokens of {type(self.sample).__name__.lower()}",
                f"tokenizer with specials: [{', '.join(missing)}]",
            )  # fmt: skip

    @property
    def read(self) -> tuple[str, ...]:
        return self.sample.columns

    def writer(self, ctx: Context, barred: frozenset[int], carry: Mapping[str, bool]) -> SampleWriter:
        from stages.tokens.sample_writer import SampleWriter

        return SampleWriter(
            ctx, tokenizer_file(ctx), self.length + 1, self.window, barred, carry, self.half,
            sample=self.sample, learn_all=self.learn == "all", cut_long=self.on_long == "cut",
        )  # fmt: skip
