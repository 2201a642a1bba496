"""A byte-level BPE tokenizer, trained on the documents it will encode.

The artefact is a plain `tokenizer.json` of the `tokenizers` library. Bytes are the alphabet, so that every text can be
encoded, and nothing is normalised, so that decoding gives the text back. Digits stand alone, so that numbers are
spelled the same everywhere (Yi, arXiv 2403.04652, section 2). Text is split by one regular expression, GPT-2's with
single digits: on that `tokenizers` and kitoken agree for every character of Unicode, which they do not for GPT-2's own.

`<|endoftext|>` is id 0 and begins and ends every document; reserved special tokens follow it. No text is ever encoded
as a special token, since `Encoder` does not know them. Leaves out Unigram and WordPiece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.bounds import Count, Positive
from pipeline.contract import Context, DocumentRow, FinishedNode, Node, Of, Result, ShardPhase, TaskPhase, nothing, one
from pipeline.errors import DataError, RecipeError
from stages.chance import WHOLE, draws, share_limit
from stages.documents import HELD_OUT, ID, TEXT, carried, given_or_not

if TYPE_CHECKING:
    import pyarrow as pa

ENCODERS = ("kitoken", "tokenizers")  # libraries of every node that encodes texts
END_OF_TEXT = "<|endoftext|>"
SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# Training keeps every distinct word with 24 bytes a character, and of some documents one word is all there is.
DOCUMENT_CHARACTERS = 1_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokenizer(Node):
    """Train a byte-level BPE tokenizer (Sennrich et al. 2016) on the alive documents that are not held out.

    vocab_size     entries, the 256 bytes and the special tokens among them; a smaller corpus may give fewer
    min_frequency  how often a pair must occur to be merged
    sample_bytes   train on about so many bytes of text, drawn by a keyed hash of the document ids; null =
                   on all. Of a document the first million characters count
    specials       reserved special tokens, with the ids 1, 2, ... in this order: sentinels, masks, turns of a chat
    """

    docs: Node
    vocab_size: int = 4096
    min_frequency: Count = 2
    sample_bytes: Positive | None = 2_000_000_000
    seed: int = 0
    specials: tuple[str, ...] = ()

    version = 2
    libraries = ("tokenizers",)
    gives = "tokenizer"
    made = ("documents",)

    def check(self) -> None:
        least = 256 + 1 + len(self.specials)
        if not least <= self.vocab_size <= 2**24:
            raise RecipeError("tokenizer.vocab_size", f"{self.vocab_size}", f"{least} (bytes and specials) to 2^24")
        names = (END_OF_TEXT, *self.specials)
        for name in self.specials:
            if not name.strip() or names.count(name) > 1:
                raise RecipeError("tokenizer.specials", repr(name), f"names that differ, none of them {END_OF_TEXT}")

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        return given_or_not(ctx, row)

    def phases(self):
        needs = (ID, TEXT, *carried(self.docs, HELD_OUT))
        count = ShardPhase(name="count", open=lambda ctx: _Counter(), needs=needs, whole=nothing)
        # a fresh process: the library keeps a thread pool, which a process that forks later must not hold
        train = TaskPhase(name="train", keys=one, run=self._train, fresh=True)
        return (train,) if self.sample_bytes is None else (count, train)

    def _train(self, ctx: Context, key: str) -> Result:
        from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
        from tokenizers import Tokenizer as Trained

        tokenizer = Trained(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(SPLIT), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=[END_OF_TEXT, *self.specials],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        seen = {"documents": 0, "bytes": 0, "cut": 0}
        tokenizer.train_from_iterator(self._texts(ctx, seen), trainer)
        if not seen["documents"]:
            raise DataError("tokenizer", "no document to train on", "at least one alive document that is not held out")
        with ctx.create(".json") as path:
            path.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
        return Result(counts=seen, facts={"vocab_size": tokenizer.get_vocab_size()})

    def _texts(self, ctx: Context, seen: dict[str, int]) -> Iterator[str]:
        """The texts to train on; `seen` counts documents, their bytes, and the documents that were cut."""
        limit = WHOLE
        if self.sample_bytes is not None:
            alive = sum(ctx.result("count", shard).counts["bytes"] for shard in ctx.keys("count"))
            limit = share_limit(min(1.0, self.sample_bytes / max(1, alive)))
        for _, table in ctx.rows([ID, TEXT, *([HELD_OUT] if ctx.has_column(HELD_OUT) else [])]):
            table = _trainable(table)
            names = table[ID].to_pylist()
            drawn = draws(names, self.seed, "tokenizer") if limit < WHOLE else [0] * len(names)
            for text, draw in zip(table[TEXT].to_pylist(), drawn, strict=True):
                if int(draw) < limit:
                    seen["cut"] += len(text) > DOCUMENT_CHARACTERS
                    text = text[:DOCUMENT_CHARACTERS]
                    seen["documents"] += 1
                    seen["bytes"] += len(text.encode())
                    yield text


class _Counter:
    """Counts the bytes of one shard that may be trained on: the share to draw depends on those of all shards."""

    def __init__(self) -> None:
        self.counts = {"documents": 0, "bytes": 0}

    def add(self, table: pa.Table) -> None:
        import pyarrow.compute as pc

        table = _trainable(table)
        self.counts["documents"] += table.num_rows
        self.counts["bytes"] += pc.sum(pc.binary_length(table[TEXT])).as_py() or 0

    def finish(self) -> Result:
        return Result(counts=self.counts)


def _trainable(table: pa.Table) -> pa.Table:
    """The rows that are not held out."""
    import pyarrow.compute as pc

    return table.filter(pc.invert(pc.fill_null(table[HELD_OUT], False))) if HELD_OUT in table.column_names else table


def tokenizer_file(ctx: Context, of: Of = "tokenizer") -> Path:
    """The `tokenizer.json` of a finished tokenizer node."""
    return ctx.path("train", "all", ".json", of=of)
