"""Perplexity under an n-gram model of good texts (CCNet, Wenzek et al. 2020): train the model, score documents.

CCNet sorts pages of a language into three parts by it; texts far above the average are rarely prose. A model holds for
one language and one kind of text, so train it on what the documents should resemble, and select inside a language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from pipeline.bounds import Positive
from pipeline.contract import ONE, Columns, Context, Node, Result, RowFunction, RowNode, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.chance import draws
from stages.documents import HELD_OUT, ID, TEXT
from stages.wants import NgramModel

if TYPE_CHECKING:
    import pyarrow as pa

Unit = Literal["word", "char"]
SLACK = 100_000  # words that are held beyond twice as many as are counted


def sentences(text: str, unit: Unit, max_chars: int) -> list[Sequence[str]]:
    """The lines of the beginning of a text as lower-case words split at white space, or as characters."""
    lines = text[:max_chars].lower().splitlines()
    split = [line.split() for line in lines]
    return [words if unit == "word" else list("_".join(words)) for words in split if words]


class Drawn(NamedTuple):
    """A document whose words may be counted. Sorted by its draw."""

    draw: int
    id: str
    lines: list[Sequence[str]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainNgram(Node):
    """A language model of n-grams with modified Kneser-Ney smoothing. Writes `train/all.npz` and, for other tools, the
    same model as `train/all.arpa`.

    docs       documents; rows marked `held_out` are not used
    order      words that an n-gram has at most
    unit       `word` (split at white space), or `char` for scripts without spaces
    max_words  of all documents: a keyed draw of documents stops there
    min_count  rarer words are unknown: one of them is as likely as all of them are on average
    max_chars  how much of a document is read, from its beginning

    Errors: `DataError` when there is no text.
    """

    docs: Node | tuple[Node, ...]
    order: int = 3
    unit: Unit = "word"
    max_words: Positive = 5_000_000
    min_count: Positive = 2
    max_chars: Positive = 10_000
    seed: int = 0

    version = 3
    gives = "n-gram model"
    made = ("documents", "words")

    def check(self) -> None:
        if not 1 <= self.order <= 8:
            raise RecipeError("train_ngram.order", f"{self.order}", "a number from 1 to 8")

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=self._train),)

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        return 400 * 1024**2 + (200 + 60 * self.order) * min(self.max_words, text_bytes // 4)

    def figures(self, ctx: Context):
        facts = ctx.result("train", ONE[0]).facts
        rows = [[n, count] for n, count in enumerate(facts["ngrams"], 1)]
        yield {"kind": "table", "title": "N-grams of the language model", "columns": ["words", "n-grams"], "rows": rows}

    def _train(self, ctx: Context, key: str) -> Result:
        from stages.quality.ngram import estimate, save, write_arpa

        first = _First(self.max_words)
        for document in self._drawn(ctx):
            first.add(document)
        used = first.documents()
        if not used:
            raise DataError("train_ngram.docs", "no text that is not held out", "documents to count words of")
        model = estimate([line for document in used for line in document.lines], self.order, self.min_count)
        with ctx.create(".npz") as path:
            save(model, path)
        with ctx.create(".arpa") as path:
            write_arpa(model, path)
        facts = {"ngrams": [len(of.keys) for of in model.orders], "vocabulary": len(model.words)}
        return Result(counts={"documents": len(used), "words": sum(map(_words, used))}, facts=facts)

    def _drawn(self, ctx: Context) -> Iterator[Drawn]:
        """Every document that may be counted and has a word."""
        import pyarrow.compute as pc

        marked = ctx.has_column(HELD_OUT)
        for _, table in ctx.rows([ID, TEXT, *([HELD_OUT] if marked else [])]):
            if marked:
                table = table.filter(pc.invert(table[HELD_OUT]))
            names = table[ID].to_pylist()
            for draw, name, text in zip(draws(names, self.seed, "train_ngram").tolist(), names,
                                        table[TEXT].to_pylist(), strict=True):  # fmt: skip
                lines = sentences(text, self.unit, self.max_chars)
                if lines:
                    yield Drawn(draw, name, lines)


def _words(document: Drawn) -> int:
    return sum(map(len, document.lines))


class _First:
    """The documents with the smallest draws that together have so many words; of the others few are held."""

    def __init__(self, words: int) -> None:
        self._most, self._held, self._words, self._last = words, list[Drawn](), 0, None

    def add(self, document: Drawn) -> None:
        if self._last is not None and document > self._last:
            return
        self._held.append(document)
        self._words += _words(document)
        if self._words > 2 * self._most + SLACK:
            self._held = self.documents()
            self._words, self._last = sum(map(_words, self._held)), self._held[-1]

    def documents(self) -> list[Drawn]:
        found, words = [], 0
        for document in sorted(self._held):
            if found and words >= self._most:
                break
            found.append(document)
            words += _words(document)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Perplexity(RowNode):
    """Add the perplexity of a document's lines under an n-gram model, their ends counted: float32, null without a word.

    It removes nothing: `select` does that, from `by: perplexity` and a share.

    model  a `train_ngram` node
    as_    (`as` in a recipe) the name of the column
    """

    docs: Node
    model: NgramModel
    as_: str = "perplexity"

    def adds(self):
        return {self.as_: "float32"}

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        from stages.quality.ngram import load

        model, how = load(ctx.path("train", ONE[0], ".npz", of="model")), ctx.input("model")
        assert isinstance(how, TrainNgram)

        def rows(table: pa.Table) -> Columns:
            texts = table[TEXT].to_pylist()
            found = [model.perplexity(sentences(text, how.unit, how.max_chars)) for text in texts]
            return Columns(added={self.as_: pa.array(found, pa.float32())})

        return rows
