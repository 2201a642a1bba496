"""A fastText classifier that was trained elsewhere, such as the one that DCLM has released."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass

from pipeline.bounds import Count, Positive
from pipeline.contract import Context, Node, Result, TaskPhase, file, one
from pipeline.errors import DataError
from stages.fasttext_models import LABEL, load
from stages.quality.lines import Normaliser


@dataclass(frozen=True, kw_only=True, eq=False)
class FasttextModel(Node):
    """A model for `quality`: a `.bin` or `.ftz` file, copied into the store; its digest is part of the identity.

    path       the file
    label      of good documents, without `__label__`: `hq` in DCLM's
    max_chars  how much of a document is read, from its beginning; none: all of it, as DCLM does
    min_chars  shorter texts have no score

    Errors: `DataError` for a file that is no model, and for a label that the model does not know.
    """

    path: str = file()
    label: str = "hq"
    max_chars: Positive | None = None
    min_chars: Count = 1

    gives = "quality model"

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=self._copy),)

    def _copy(self, ctx: Context, key: str) -> Result:
        (source,) = ctx.sources("path")
        with ctx.create(".bin") as path:
            with ctx.open_source(source) as given, open(path, "wb") as copy:
                shutil.copyfileobj(given, copy, 1 << 22)
            labels = sorted(label.removeprefix(LABEL) for label in load(path).get_labels())
        if self.label not in labels:
            raise DataError("fasttext_model.label", f"{self.label!r}", f"one of {', '.join(labels)}")
        normaliser = Normaliser(self.max_chars or 2**31 - 1, self.min_chars)
        card = {"normaliser": normaliser.as_json(), "label": self.label, "calibration": None}
        with ctx.create(".json") as path:
            path.write_text(json.dumps(card, indent=1, sort_keys=True), encoding="utf-8")
        return Result(facts={"labels": labels[:50]})
