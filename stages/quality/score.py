"""Score documents by a trained quality classifier. Nothing is removed: `select` does that."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import ONE, Columns, Context, Node, RowFunction, RowNode
from pipeline.errors import DataError
from stages.fasttext_models import LIBRARIES
from stages.wants import QualityModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Quality(RowNode):
    """Add the probability that a document is `good`: float32 in [0, 1], null for one too short to score.

    It ranks documents and says little in itself, so select a share and not a value; or let `calibrated` make a
    probability of it, by the documents that the classifier was tested on.

    model       a `train_quality` node, or a `fasttext_model` that was trained elsewhere
    calibrated  the share of good documents at this score, where the two kinds are equally many
    as_         (`as` in a recipe) the name of the column

    Errors: `DataError` when it is to calibrate by a model that was tested on nothing.
    """

    docs: Node
    model: QualityModel
    calibrated: bool = False
    as_: str = "quality"

    version = 2
    libraries = LIBRARIES

    def adds(self):
        return {self.as_: "float32"}

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        from stages.fasttext_models import good_shares, load
        from stages.quality.calibration import calibrate
        from stages.quality.lines import Normaliser

        card = ctx.read_json("train", of="model")
        normaliser = Normaliser(**card["normaliser"])
        model = load(ctx.path("train", ONE[0], ".bin", of="model"))
        label = card.get("label", "good")
        if self.calibrated and card["calibration"] is None:
            raise DataError("quality.calibrated", "a model without test documents", "a test_share above 0")

        def rows(table: pa.Table) -> Columns:
            lines = normaliser.lines(table["text"])
            shares = good_shares(model, [line for line in lines if line is not None], label)
            scored = iter((calibrate(shares, card["calibration"]) if self.calibrated else shares).tolist())
            found = [None if line is None else next(scored) for line in lines]
            return Columns(added={self.as_: pa.array(found, pa.float32())})

        return rows
