"""A byte-level BPE tokenizer, trained on the documents it will encode; or one that others have made, with `from`; or
another node's with more special tokens, with `extends`.

The artefact is a plain `tokenizer.json` of the `tokenizers` library. Bytes are the alphabet, so that every text can be
encoded, and nothing is normalised, so that decoding gives the text back. Digits stand alone, so that numbers are
spelled the same everywhere (Yi, arXiv 2403.04652, section 2). Text is split by one regular expression, GPT-2's with
single digits: on that `tokenizers` and kitoken agree for every character of Unicode, which they do not for GPT-2's own.

`<|endoftext|>` is id 0 and begins and ends every document; reserved special tokens follow it. No text is ever encoded
as a special token, since `Encoder` does not know them. Only BPE is trained; `stages.tokens.given` takes others too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.bounds import Count, Positive
from pipeline.contract import (
    Context,
    DocumentRow,
    FinishedNode,
    Node,
    Of,
    Result,
    ShardPhase,
    TaskPhase,
    nothing,
    one,
    sources,
)  # fmt: skip
from pipeline.errors import DataError, RecipeError
from stages.chance import WHOLE, draws, share_limit
from stages.documents import HELD_OUT, ID, TEXT, carried, given_or_not
from stages.tokens.definition import extended
from stages.tokens.given import Ends, local_definition, name_marks, take
from stages.tokens.tokenizer_files import pass_on
from stages.wants import TokenizerNode

if TYPE_CHECKING:
    import pyarrow as pa

ENCODERS = ("kitoken", "tokenizers")  # libraries of every node that encodes texts
END_OF_TEXT = "<|endoftext|>"
VOCABULARY, SAMPLE_BYTES = 4096, 2_000_000_000
# Training keeps every distinct word with 24 bytes a character, and of some documents one word is all there is.
DOCUMENT_CHARACTERS = 1_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokenizer(Node):
    """Train a byte-level BPE tokenizer (Sennrich et al. 2016) on the alive documents that are not held out; or take
    one that is there: `{use: tokenizer, from: models/llama3}`.

    docs           the documents to train on
    from           instead of documents, a tokenizer: `tokenizer.json`, a SentencePiece model, `tekken.json`, a file of
                   tiktoken, or a folder of one. Special tokens keep their names and ids. Its files are its identity
    vocab_size     entries, the 256 bytes and the special tokens among them; a smaller corpus may give fewer. null =
                   4096, or those of the tokenizer in `from`
    min_frequency  how often a pair must occur to be merged
    sample_bytes   train on about so many bytes of text, drawn by a keyed hash of the document ids; null =
                   on all. Of a document the first million characters count
    extends        instead of documents, a tokenizer node: `specials` get the ids behind all of its own, so that a model
                   of that tokenizer can be trained on (`add_tokens` among the transforms of `pretrain`)
    specials       reserved special tokens, with the ids 1, 2, ... in this order: sentinels, masks, turns of a chat; of
                   a file of tiktoken all its special tokens, with the ids behind the others
    begin, end     names of the special tokens around a document in `from`, where its files do not say them, or others
    pattern        the regular expression that splits texts, which a file of tiktoken does not say
    """

    docs: Node | None = None
    from_: tuple[str, ...] | str = sources(())
    extends: TokenizerNode | None = None
    vocab_size: int | None = None
    min_frequency: Count = 2
    sample_bytes: Positive | None = SAMPLE_BYTES
    seed: int = 0
    specials: tuple[str, ...] = ()
    begin: str | None = None
    end: str | None = None
    pattern: str | None = None

    version = 2
    libraries = ENCODERS
    gives = "tokenizer"
    made = ("documents",)

    def check(self) -> None:
        if self.extends is not None or self.from_:
            self._check_given("from" if self.from_ else "extends")
            return
        if self.docs is None:
            found = "neither documents nor a tokenizer"
            raise RecipeError("tokenizer", found, "docs: NODE, from: PATH or extends: NODE")
        for field in ("begin", "end", "pattern"):
            if getattr(self, field) is not None:
                raise RecipeError(f"tokenizer.{field}", "a tokenizer that is trained here", "from: PATH beside it")
        least = 256 + 1 + len(self.specials)
        if not least <= self._asked <= 2**24:
            raise RecipeError("tokenizer.vocab_size", f"{self._asked}", f"{least} (bytes and specials) to 2^24")
        self._check_names((END_OF_TEXT,))

    def _check_names(self, taken: Collection[str]) -> None:
        for name in self.specials:
            if not name.strip() or name in taken or self.specials.count(name) > 1:
                found = f"names that differ, none of them {', '.join(sorted(taken))}"
                raise RecipeError("tokenizer.specials", repr(name), found)

    def _check_given(self, way: str) -> None:
        given = {"docs": self.docs, "vocab_size": self.vocab_size, "sample_bytes": self.sample_bytes - SAMPLE_BYTES
                 if self.sample_bytes is not None else -1, "min_frequency": self.min_frequency - 2}  # fmt: skip
        if way == "from":
            given["extends"] = self.extends
        else:
            given |= {"begin": self.begin, "end": self.end, "pattern": self.pattern}
        for field, value in given.items():
            if value:
                found = f"given beside {way}"
                raise RecipeError(f"tokenizer.{field}", found, f"only one of them: `{way}` trains nothing")
        if way == "extends":
            if not self.specials:
                raise RecipeError("tokenizer.specials", "none, of a tokenizer that extends another", "their names")
            self._check_names({END_OF_TEXT, *(getattr(self.extends, "reserved", None) or ())})
            return
        if self.specials and self.pattern is None:
            raise RecipeError(
                "tokenizer.specials", "given beside from, whose special tokens have names already", "no specials",
                "a file of tiktoken needs `pattern` too",
            )  # fmt: skip

    @property
    def _asked(self) -> int:
        return VOCABULARY if self.vocab_size is None else self.vocab_size

    @property
    def entries(self) -> int | None:
        """Entries of the vocabulary, at most, as far as the node or the file in `from` says it before it has run."""
        if self.extends is not None:
            most = getattr(self.extends, "entries", None)
            return None if most is None else most + len(self.specials)
        if not self.from_:
            return self._asked
        known = local_definition([self.from_] if isinstance(self.from_, str) else self.from_)
        return None if known is None else known.vocab_size

    @property
    def reserved(self) -> frozenset[str] | None:
        """Names of the special tokens; None where only the run will tell."""
        if self.extends is not None:
            known = getattr(self.extends, "reserved", None)
            return None if known is None else known | frozenset(self.specials)
        if not self.from_:
            return frozenset(self.specials)
        known = local_definition([self.from_] if isinstance(self.from_, str) else self.from_)
        return None if known is None else frozenset(known.special)

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str]:
        return name_marks(names)

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        return given_or_not(ctx, row)

    def phases(self):
        if self.docs is None:
            return (TaskPhase(name="train", keys=one, run=self._take, fresh=True),)
        needs = (ID, TEXT, *carried(self.docs, HELD_OUT))
        count = ShardPhase(name="count", open=lambda ctx: _Counter(), needs=needs, whole=nothing)
        # a fresh process: the library keeps a thread pool, which a process that forks later must not hold
        train = TaskPhase(name="train", keys=one, run=self._train, fresh=True)
        return (train,) if self.sample_bytes is None else (count, train)

    def _take(self, ctx: Context, key: str) -> Result:
        if self.extends is None:
            return take(ctx, self)
        given = tokenizer_file(ctx, "extends").read_text(encoding="utf-8")
        try:
            definition, counted = extended(given, self.specials)
        except ValueError as error:
            raise DataError("tokenizer.specials", f"{error}", "names that the tokenizer has not") from None
        with ctx.create(".json") as path:
            path.write_text(definition, encoding="utf-8")
        ends = ends_of(ctx, "extends")
        others = pass_on_given(ctx, "extends").get("tokenizer_files", [])
        facts = {"vocab_size": counted, "begin": ends.begin, "end": ends.end, "agree": agree(ctx, "extends")}
        return Result(counts={"tokens": counted}, facts={**facts, "files": others})

    def _train(self, ctx: Context, key: str) -> Result:
        from tokenizers import pre_tokenizers, trainers

        tokenizer = untrained()
        trainer = trainers.BpeTrainer(
            vocab_size=self._asked,
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


def untrained() -> Any:
    """A byte-level BPE of the library `tokenizers` that splits texts as all our own tokenizers do, without a token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    from stages.tokens.encoder import SPLIT

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    return made


def _trainable(table: pa.Table) -> pa.Table:
    """The rows that are not held out."""
    import pyarrow.compute as pc

    return table.filter(pc.invert(pc.fill_null(table[HELD_OUT], False))) if HELD_OUT in table.column_names else table


def tokenizer_file(ctx: Context, of: Of = "tokenizer") -> Path:
    """The `tokenizer.json` of a finished tokenizer node."""
    return ctx.path("train", "all", ".json", of=of)


def ends_of(ctx: Context, of: Of = "tokenizer") -> Ends:
    """The special tokens that a finished tokenizer node puts around a document."""
    if _trained(ctx.input(of)):
        return Ends(END_OF_TEXT, END_OF_TEXT)
    facts = ctx.result("train", "all", of=of).facts
    return Ends(facts["begin"], facts["end"])


def agree(ctx: Context, of: Of = "tokenizer") -> bool:
    """Whether kitoken gives the ids of a finished tokenizer node."""
    return _trained(ctx.input(of)) or ctx.result("train", "all", of=of).facts["agree"]


def pass_on_given(ctx: Context, of: Of = "tokenizer") -> dict[str, Any]:
    """Copy the files that travel with a finished tokenizer node; what this task's result says of them."""
    return {} if _trained(ctx.input(of)) else pass_on(ctx, "train", of, "files")


def _trained(node: Node) -> bool:
    """Whether a tokenizer is trained here: of another one its result says more."""
    return getattr(node, "docs", None) is not None
