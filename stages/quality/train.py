"""Train the quality classifier: fastText tells good documents from bad ones (Joulin et al. 2016; DCLM, arXiv
2406.11794).

The analyser is character 2- to 4-grams of words by default: on sources never trained on they were the better
judge (AUC 0.961 against 0.924 for word bigrams). Small vectors instead of quantised ones, which lose more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.bounds import AmountAboveZero, Count, Positive, ShareBelowOne
from pipeline.contract import ONE, Context, DocumentRow, FinishedNode, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import given_or_not
from stages.fasttext_models import LIBRARIES, good_shares
from stages.quality.auc import auc
from stages.quality.calibration import isotonic
from stages.quality.drawing import Draw, LabelledLine, drawn_documents
from stages.quality.fitting import Analyzer, Fit
from stages.quality.lines import Normaliser
from stages.training.lineage import alike
from stages.wants import Documents

if TYPE_CHECKING:
    import numpy as np

SIDES = GOOD, BAD = "good", "bad"
SMALLEST_SIDE = 20  # documents to train on
BINS = 20
QUANTILES = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainQuality(Node):
    """A fastText classifier of `good` against `bad` documents. Writes `train/all.bin` and `train/all.json`
    beside it.

    good, bad      documents; rows marked `held_out` are never used. As many of each as the smaller side has of
                   `min_chars` characters or more
    max_documents  documents of each side, at most
    test_share     share of the drawn documents that is not trained on and gives the AUC
    test_sources   sources (column `source`) that are not trained on at all: their AUC says how the
                   classifier judges unseen sources
    analyzer       `char` (2- to 4-grams within words) or `word` (single words and pairs)
    dim, buckets   size of the vectors, and rows of the table that n-grams are hashed to
    epochs         passes over the documents; null = enough for 40,000 updates, 5 at least
    lr             the learning rate at the start; it falls to 0
    max_chars      how much of a document is read, from its beginning
    min_chars      shorter documents are left out

    The JSON is the card: how texts are read, counts, AUC inside and outside the trained sources, the calibration
    (scores and probabilities) and percentiles of the scores of bad documents.

    Errors: `DataError` when a side has fewer than 20 usable documents.
    """

    good: Node | tuple[Node, ...]
    bad: Documents | tuple[Documents, ...]
    analyzer: Analyzer = "char"
    dim: Positive = 16
    buckets: Positive = 200_000
    epochs: Positive | None = None
    lr: AmountAboveZero = 0.1
    max_documents: Positive = 100_000
    test_share: ShareBelowOne = 0.1
    test_sources: tuple[str, ...] = ()
    max_chars: Positive = 3000
    min_chars: Count = 20
    seed: int = 0

    version = 3
    libraries = LIBRARIES
    gives = "quality model"
    stream = "good"

    def check(self) -> None:
        if alike(self.good, self.bad):
            raise RecipeError(
                "train_quality.bad", "the same documents on both sides", "documents that are worse than `good`"
            )

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=self._train, fresh=True),)

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        return given_or_not(ctx, row)

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return self._fit().bytes(min(rows, 2 * self.max_documents))

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        held = 4 * min(rows, self.max_documents)
        return 400 * 1024**2 + held * self.max_chars + 2 * self.predict_bytes(rows, text_bytes)

    def figures(self, ctx: Context):
        facts = ctx.result("train", ONE[0]).facts
        series = [
            {"name": side, "points": [list(point) for point in zip(facts["bins"], facts["shares"][side], strict=True)]}
            for side in SIDES
        ]
        measured = "no test documents" if facts["auc"] is None else f"AUC {facts['auc']:.3f}"
        if facts["auc_outside"] is not None:
            measured += f", {facts['auc_outside']:.3f} on {', '.join(self.test_sources)}"
        title = f"Scores of documents that were not trained on ({measured})"
        yield {
            "kind": "lines",
            "section": "scores",
            "title": title,
            "x": "score",
            "y": "share of documents",
            "series": series,
        }

    def _fit(self) -> Fit:
        return Fit(self.analyzer, self.dim, self.buckets, self.epochs, self.lr)

    def _train(self, ctx: Context, key: str) -> Result:
        normaliser = Normaliser(self.max_chars, self.min_chars)
        how = Draw(self.seed, self.max_documents, self.test_share, tuple(self.test_sources), normaliser)
        drawn = {side: drawn_documents(ctx, side, how, label=side) for side in SIDES}
        outside = {side: [d for d in documents if d.outside] for side, documents in drawn.items()}
        inside = {side: [d for d in documents if not d.outside] for side, documents in drawn.items()}
        most = min(len(documents) for documents in inside.values())
        chosen = sorted(document for documents in inside.values() for document in documents[:most])
        trained = [document for document in chosen if not document.tested]
        tested = {side: [d for d in chosen if d.tested and d.label == side] for side in SIDES}
        counts = {f"trained.{side}": sum(document.label == side for document in trained) for side in SIDES}
        counts |= {f"tested.{side}": len(documents) for side, documents in tested.items()}
        counts |= {f"outside.{side}": len(documents) for side, documents in outside.items()}
        for side in SIDES:
            if counts[f"trained.{side}"] < SMALLEST_SIDE:
                raise DataError(
                    f"train_quality.{side}",
                    f"{counts[f'trained.{side}']} documents to train on",
                    f"{SMALLEST_SIDE} or more, not held out, of {self.min_chars} characters or more",
                )
        model = self._fit().run(trained)
        scores, other = _scores(model, tested), _scores(model, outside)
        facts = {"auc": auc(scores[GOOD], scores[BAD]), "auc_outside": auc(other[GOOD], other[BAD])}
        card = {"normaliser": normaliser.as_json(), "counts": counts, **facts, **_readings(scores)}
        with ctx.create(".bin") as path:
            model.save_model(str(path))
        with ctx.create(".json") as path:
            path.write_text(json.dumps(card, indent=1, sort_keys=True), encoding="utf-8")
        return Result(counts=counts, facts={**facts, **_shares(scores)})


def _scores(model: Any, documents: Mapping[str, list[LabelledLine]]) -> dict[str, np.ndarray]:
    return {side: good_shares(model, [document.line for document in of]) for side, of in documents.items()}


def _readings(scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the readings of a score: calibration, and percentiles of bad documents; empty without test documents."""
    import numpy as np

    if not all(map(len, scores.values())):
        return {"calibration": None, "bad_percentiles": None}
    both = np.concatenate([scores[BAD], scores[GOOD]])
    corners = isotonic(both, np.arange(len(both)) >= len(scores[BAD]))
    percentiles = np.quantile(scores[BAD], np.linspace(0, 1, QUANTILES + 1))
    return {"calibration": corners, "bad_percentiles": percentiles.round(6).tolist()}


def _shares(scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Where the scores of each side lie: the middles of some bins, and each side's share in them."""
    import numpy as np

    both = np.concatenate(list(scores.values()))
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shares = {side: np.histogram(found, edges)[0] / max(len(found), 1) for side, found in scores.items()}
    middles = (edges[1:] + edges[:-1]) / 2
    return {"bins": middles.round(6).tolist(), "shares": {s: v.round(6).tolist() for s, v in shares.items()}}
