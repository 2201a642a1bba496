"""A byte-level BPE tokenizer, trained on the documents it will encode.

The artefact is a plain `tokenizer.json` of the `tokenizers` library. Digits stand alone, so that numbers
are spelled the same everywhere (Yi, arXiv 2403.04652, section 2); bytes are the alphabet, so that every
text can be encoded; nothing is normalised, so that decoding gives the text back. One special token,
`<|endoftext|>`, begins every document and is id 0.

Leaves out Unigram and WordPiece. Held-out documents are skipped when the split stands before this node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contract import Context, DocumentRow, FinishedNode, Node, Of, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.chance import WHOLE, draws, share_limit
from stages.documents import HELD_OUT, given_or_not

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokenizer(Node):
    """Train a byte-level BPE tokenizer (Sennrich et al. 2016) on the alive documents that are not held out.

    vocab_size     entries, the 256 bytes and the special token among them; a smaller corpus may give fewer
    min_frequency  how often a pair must occur to be merged
    sample_bytes   train on about so many bytes of text, drawn by a keyed hash of the document ids; null =
                   on all
    """

    docs: Node
    vocab_size: int = 4096
    min_frequency: int = 2
    sample_bytes: int | None = 2_000_000_000
    seed: int = 0

    def check(self) -> None:
        if not 257 <= self.vocab_size <= 2**24:
            raise RecipeError("tokenizer.vocab_size", f"{self.vocab_size}", "257 (bytes and one special token) to 2^24")

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        return given_or_not(ctx, row)

    def phases(self):
        # a fresh process: the library keeps a thread pool, which a process that forks later must not hold
        return (TaskPhase(name="train", keys=one, run=self._train, fresh=True),)

    def _train(self, ctx: Context, key: str) -> Result:
        from tokenizers import Tokenizer as Trained
        from tokenizers import decoders, models, pre_tokenizers, trainers

        tokenizer = Trained(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        seen = {"documents": 0, "bytes": 0}
        tokenizer.train_from_iterator(self._texts(ctx, seen), trainer)
        if not seen["documents"]:
            raise DataError("tokenizer", "no document to train on", "at least one alive document that is not held out")
        with ctx.create(".json") as path:
            path.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
        return Result(counts=seen, facts={"vocab_size": tokenizer.get_vocab_size()})

    def _texts(self, ctx: Context, seen: dict[str, int]) -> Iterator[str]:
        total = sum(shard.text_bytes for shard in ctx.shards())
        wanted = total if self.sample_bytes is None else self.sample_bytes
        sampled = wanted < total
        limit = share_limit(wanted / total) if sampled else WHOLE
        marked = ctx.has_column(HELD_OUT)
        for _, table in ctx.rows(["id", "text", *([HELD_OUT] if marked else [])]):
            names = table["id"].to_pylist()
            held = table[HELD_OUT].to_pylist() if marked else [False] * len(names)
            drawn = draws(names, self.seed, "tokenizer") if sampled else [0] * len(names)
            for text, out, draw in zip(table["text"].to_pylist(), held, drawn, strict=True):
                if not out and int(draw) < limit:
                    seen["documents"] += 1
                    seen["bytes"] += len(text.encode())
                    yield text


def tokenizer_file(ctx: Context, of: Of = "tokenizer") -> Path:
    """The `tokenizer.json` of a finished tokenizer node."""
    return ctx.path("train", "all", ".json", of=of)
