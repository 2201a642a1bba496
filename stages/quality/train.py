"""Train the quality classifier: fastText told good documents from bad ones (Joulin et al. 2016; DCLM, arXiv
2406.11794).

The analyser is character 2- to 4-grams of words by default: on sources never trained on they were the better
judge (AUC 0.961 against 0.924 for word bigrams). Small vectors instead of quantised ones, which lose more.
The same model for the same rows: both classes are drawn by a keyed hash, in an order that mixes them, and
trained on one thread in a process of their own, since two threads race and some builds keep state from one
training to the next.

Leaves out ensembles and regression heads.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.contract import ONE, Context, DocumentRow, FinishedNode, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.chance import draws, share_limit
from stages.documents import HELD_OUT, ID, TEXT, given_or_not
from stages.quality.auc import auc
from stages.quality.fasttext_models import LABEL, good_shares, trainer
from stages.quality.lines import Normaliser

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SIDES = GOOD, BAD = "good", "bad"
FEWEST = 20  # documents of a side
# What 5 passes over 7,800 documents come to, where the choices of this file were measured. How far fastText
# gets is a matter of learning rate times updates: 300 documents and 5 passes leave every score at 0.5, 40,000
# updates rank as well.
UPDATES = 40_000
BINS = 20


class Drawn(NamedTuple):
    """A drawn document. Sorted by its draw, so that the two sides are mixed as by chance."""

    draw: int
    id: str
    side: str
    line: str
    tested: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainQuality(Node):
    """A fastText classifier of `good` against `bad` documents. Writes `train/all.bin` and `train/all.json`
    beside it.

    good, bad      documents; rows marked `held_out` are never used. As many of each as the smaller side has
    max_documents  at most so many of each side
    test_share     share of the drawn documents that is not trained on and gives the AUC
    analyzer       `char` (2- to 4-grams within words) or `word` (single words and pairs)
    dim, buckets   size of the vectors, and rows of the table that n-grams are hashed to
    epochs         passes over the documents; none = as many as make 40,000 updates, 5 at least
    max_chars      how much of a document is read, from its beginning; min_chars: shorter ones are left out

    Errors: `DataError` when a side has fewer than 20 usable documents.
    """

    good: Node | tuple[Node, ...]
    bad: Node | tuple[Node, ...]
    analyzer: Literal["char", "word"] = "char"
    dim: int = 16
    buckets: int = 200_000
    epochs: int | None = None
    lr: float = 0.1
    max_documents: int = 100_000
    test_share: float = 0.1
    max_chars: int = 3000
    min_chars: int = 20
    seed: int = 0

    version = 1
    stream = "good"

    def check(self) -> None:
        if not 0 <= self.test_share < 1:
            raise RecipeError("train_quality.test_share", f"{self.test_share}", "a share from 0 to below 1")
        if min(self.dim, self.buckets, self.epochs or 1, self.max_documents, self.max_chars) < 1:
            raise RecipeError("train_quality", "a size below 1", "dim, buckets, epochs, max_documents, max_chars >= 1")

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=self._train, fresh=True),)

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        return given_or_not(ctx, row)

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return 4 * self.dim * (self.buckets + 20 * min(rows, 2 * self.max_documents))

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        drawn = 2 * min(rows, self.max_documents)
        return 400 * 1024**2 + drawn * 2 * self.max_chars + 2 * self.predict_bytes(rows, text_bytes)

    def figures(self, ctx: Context):
        facts = ctx.result("train", ONE[0]).facts
        series = [
            {"name": side, "points": [list(point) for point in zip(facts["bins"], facts["shares"][side], strict=True)]}
            for side in SIDES
        ]
        measured = "no test documents" if facts["auc"] is None else f"AUC {facts['auc']:.3f}"
        title = f"Scores of documents that were not trained on ({measured})"
        return [
            {
                "kind": "lines",
                "section": "scores",
                "title": title,
                "x": "score",
                "y": "share of documents",
                "series": series,
            }
        ]

    def _train(self, ctx: Context, key: str) -> Result:
        normaliser = Normaliser(self.max_chars, self.min_chars)
        most = min(self.max_documents, *(len(self._draws(ctx, side)) for side in SIDES))
        rows = sorted(row for side in SIDES for row in self._sample(ctx, side, most, normaliser))
        trained = [row for row in rows if not row.tested]
        test = {side: [row.line for row in rows if row.tested and row.side == side] for side in SIDES}
        counts = {f"trained.{side}": sum(row.side == side for row in trained) for side in SIDES}
        counts |= {f"tested.{side}": len(lines) for side, lines in test.items()}
        for side in SIDES:
            if counts[f"trained.{side}"] < FEWEST:
                raise DataError(
                    f"train_quality.{side}",
                    f"{counts[f'trained.{side}']} documents to train on",
                    f"{FEWEST} or more, not held out, of {self.min_chars} characters or more",
                )
        model = self._fit(trained)
        scores = {side: good_shares(model, lines) for side, lines in test.items()}
        measured = auc(scores[GOOD], scores[BAD])
        card = {"normaliser": normaliser.as_json(), "auc": measured, "counts": counts}
        with ctx.create(".bin") as path:
            model.save_model(str(path))
        with ctx.create(".json") as path:
            path.write_text(json.dumps(card, indent=1, sort_keys=True), encoding="utf-8")
        return Result(counts=counts, facts={"auc": measured, **_shares(scores)})

    def _batches(self, ctx: Context, side: str, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        """Rows of a side that are not held out."""
        import pyarrow.compute as pc

        marked = ctx.has_column(HELD_OUT, of=side)
        for _, table in ctx.rows([*columns, *([HELD_OUT] if marked else [])], of=side):
            yield table.filter(pc.invert(table[HELD_OUT])) if marked else table

    def _draws(self, ctx: Context, side: str) -> np.ndarray:
        """The draws of all rows of a side, smallest first."""
        import numpy as np

        found = [draws(t[ID].to_pylist(), self.seed, "train_quality") for t in self._batches(ctx, side, (ID,))]
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.uint64)

    def _sample(self, ctx: Context, side: str, most: int, normaliser: Normaliser) -> Iterator[Drawn]:
        """The `most` rows of a side with the smallest draws that are long enough."""
        if not most:
            return
        last, limit = self._draws(ctx, side)[most - 1], share_limit(self.test_share)
        for table in self._batches(ctx, side, (ID, TEXT)):
            drawn = draws(table[ID].to_pylist(), self.seed, "train_quality")
            table, drawn = table.filter(drawn <= last), drawn[drawn <= last]
            names = table[ID].to_pylist()
            tested = draws(names, self.seed, "train_quality test") < limit
            for row in zip(drawn.tolist(), names, normaliser.lines(table[TEXT]), tested.tolist(), strict=True):
                if row[2] is not None:
                    yield Drawn(row[0], row[1], side, row[2], row[3])

    def _fit(self, rows: list[Drawn]) -> Any:
        grams = {"char": {"wordNgrams": 1, "minn": 2, "maxn": 4}, "word": {"wordNgrams": 2, "minn": 0, "maxn": 0}}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train.txt")
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{LABEL}{row.side} {row.line}\n" for row in rows)
            return trainer().train_supervised(
                input=str(path), lr=self.lr, epoch=self.epochs or max(5, -(-UPDATES // len(rows))), dim=self.dim,
                bucket=self.buckets, minCount=1, loss="softmax", thread=1, verbose=0, **grams[self.analyzer],
            )  # fmt: skip


def _shares(scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Where the scores of each side lie: the middles of some bins, and each side's share in them."""
    import numpy as np

    both = np.concatenate(list(scores.values()))
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shares = {side: np.histogram(found, edges)[0] / max(len(found), 1) for side, found in scores.items()}
    middles = (edges[1:] + edges[:-1]) / 2
    return {"bins": middles.round(6).tolist(), "shares": {s: v.round(6).tolist() for s, v in shares.items()}}
