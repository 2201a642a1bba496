"""A fastText classifier of any labels: of topics, or the cheap student of a slow and expensive judge.

The labels are a column. A judge's verdicts on some thousand documents train a student that reads millions (the way of
FineWeb-Edu, Penedo et al. 2024), and its agreement with the judge on documents that it was not trained on is in its
card.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import AmountAboveZero, Count, Positive, ShareBelowOne
from pipeline.contract import ONE, Columns, Context, Node, Result, RowFunction, RowNode, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import columns_of
from stages.fasttext_models import LIBRARIES, load, predict
from stages.quality.drawing import Draw, drawn_documents
from stages.quality.fitting import Analyzer, Fit
from stages.quality.lines import Normaliser
from stages.wants import Classifier

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainClassifier(Node):
    """A fastText classifier of the labels in a column. Writes `train/all.bin` and `train/all.json` beside it.

    docs           labelled documents; rows marked `held_out`, and rows without a label, are not used
    label          the column of labels: strings or whole numbers
    max_documents  documents of each label, at most
    balance        as many of every label as the rarest one has
    test_share     share of the drawn documents that is not trained on and gives the agreement
    analyzer       `char` (2- to 4-grams within words) or `word` (single words and pairs)
    dim, buckets, epochs, lr, max_chars, min_chars  as in `train_quality`

    Errors: `DataError` with fewer than two labels to train on.
    """

    docs: Node | tuple[Node, ...]
    label: str
    max_documents: Positive = 100_000
    balance: bool = False
    test_share: ShareBelowOne = 0.1
    analyzer: Analyzer = "char"
    dim: Positive = 16
    buckets: Positive = 200_000
    epochs: Positive | None = None
    lr: AmountAboveZero = 0.1
    max_chars: Positive = 3000
    min_chars: Count = 20
    seed: int = 0

    version = 2
    libraries = LIBRARIES
    gives = "classifier"

    def check(self) -> None:
        if self.label not in columns_of(self.docs):
            have = ", ".join(sorted(columns_of(self.docs)))
            raise RecipeError("train_classifier.label", f"no column {self.label!r}", f"one of {have}")
        if not 0 < self.test_share < 1:
            raise RecipeError("train_classifier.test_share", f"{self.test_share}", "a share between 0 and 1")

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=self._train, fresh=True),)

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return self._fit().bytes(min(rows, 10 * self.max_documents))

    def figures(self, ctx: Context):
        facts = ctx.result("train", ONE[0]).facts
        labels = facts["labels"]
        rows = [[label, *facts["confusion"][i]] for i, label in enumerate(labels)]
        title = f"Labels (rows) and predictions (columns) of test documents: {facts['agreement']:.1%} agree"
        yield {"kind": "table", "title": title, "columns": ["label", *labels], "rows": rows[:50]}

    def _fit(self) -> Fit:
        return Fit(self.analyzer, self.dim, self.buckets, self.epochs, self.lr)

    def _train(self, ctx: Context, key: str) -> Result:
        normaliser = Normaliser(self.max_chars, self.min_chars)
        how = Draw(self.seed, self.max_documents, self.test_share, (), normaliser)
        documents = drawn_documents(ctx, "docs", how, column=self.label)
        if self.balance:
            rarest, seen = min(Counter(d.label for d in documents).values(), default=0), Counter[str]()
            documents = [d for d in documents if (seen.update([d.label]) or seen[d.label]) <= rarest]
        trained = [document for document in documents if not document.tested]
        labels = sorted({document.label for document in trained})
        if len(labels) < 2:
            raise DataError(
                f"train_classifier.{self.label}", f"the labels {labels}", "two or more, of usable documents"
            )
        if odd := [label for label in labels if not label or label.split() != [label]]:
            raise DataError(f"train_classifier.{self.label}", f"the label {odd[0]!r}", "labels without white space")
        tested = [document for document in documents if document.tested and document.label in labels]
        model = self._fit().run(trained)
        names, _ = predict(model, [document.line for document in tested], k=1)
        table = Counter((d.label, found[0]) for d, found in zip(tested, names, strict=True))
        confusion = [[table[label, other] for other in labels] for label in labels]
        agreement = sum(confusion[i][i] for i in range(len(labels))) / len(tested) if tested else 0.0
        counts = {"trained": len(trained), "tested": len(tested)}
        facts = {"labels": labels[:50], "confusion": [row[:50] for row in confusion[:50]], "agreement": agreement}
        card = {"normaliser": normaliser.as_json(), "counts": counts, "labels": labels, "agreement": agreement}
        with ctx.create(".bin") as path:
            model.save_model(str(path))
        with ctx.create(".json") as path:
            path.write_text(json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")
        return Result(counts=counts, facts=facts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Classify(RowNode):
    """Add the likeliest label of a classifier and its probability: string and float32 `<as>_p`, null for a short text.

    model  a `train_classifier` node
    as_    (`as` in a recipe) the name of the column
    """

    docs: Node
    model: Classifier
    as_: str = "topic"

    version = 2
    libraries = LIBRARIES

    def adds(self):
        return {self.as_: "string", self.as_ + "_p": "float32"}

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        card = ctx.read_json("train", of="model")
        normaliser = Normaliser(**card["normaliser"])
        model = load(ctx.path("train", ONE[0], ".bin", of="model"))

        def rows(table: pa.Table) -> Columns:
            lines = normaliser.lines(table["text"])
            labels, shares = predict(model, [line for line in lines if line is not None], k=1)
            found = iter(zip(labels, shares, strict=True))
            pairs = [(None, None) if line is None else tuple(one[0] for one in next(found)) for line in lines]
            topics, chances = zip(*pairs, strict=True) if pairs else ((), ())
            return Columns(
                added={self.as_: pa.array(topics, pa.string()), self.as_ + "_p": pa.array(chances, pa.float32())}
            )

        return rows
