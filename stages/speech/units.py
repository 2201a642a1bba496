"""The units of sounds, as they are or changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import Count, Positive
from pipeline.contract import ONE, Columns, Context, Node, RowFunction, RowNode, RowPhase
from pipeline.errors import DataError, RecipeError
from stages.documents import ID
from stages.speech.audio import RATE, SOUND
from stages.speech.changes import OneOf
from stages.speech.ctc import merged
from stages.speech.encoder import UnitEncoder, smoothed
from stages.speech.sound import samples_of
from stages.speech.train_units import TrainUnits, check_sounds, round_name
from stages.wants import UnitsModel

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class SpeechUnits(RowNode):
    """Add the units of a sound, list<int32> `<as>`: the label of each frame, equal neighbours merged, then blanks left
    out. The labels themselves stand in `<as>_frames`, where a blank is -1.

    docs    sounds, behind an `audio` node
    model   a `train_units` node
    round   which of its rounds; 0 is k-means, null the last one
    change  what is done to each sound before: one of these changes, drawn by (seed, id)
    smooth  each frame takes the commonest label among so many around it (an odd number), before they are merged; 1 = no
            smoothing. Over k-means it is a strong control: one wrong frame within a unit costs two edits
    seed    of the changes
    as_     (`as` in a recipe) the name of the column

    A sound is opened whole, so its units hang on no border within it. Errors: `DataError` for a sound at another rate
    than the model's.
    """

    docs: Node
    model: UnitsModel
    round: Count | None = None
    change: OneOf | None = None
    smooth: Positive = 1
    seed: int = 0
    as_: str = "units"

    recipe_name = "units"
    needs = (ID, SOUND, RATE)

    def check(self) -> None:
        check_sounds("units.docs", self.docs)
        if self.smooth % 2 == 0:
            raise RecipeError("units.smooth", f"{self.smooth}", "an odd number of frames")
        most = getattr(self.model, "rounds", None)
        if self.round is not None and most is not None and self.round > most:
            raise RecipeError("units.round", f"{self.round}", f"a round of the model: 0 to {most}")

    def adds(self):
        return {self.as_: "list<int32>", f"{self.as_}_frames": "list<int32>"}

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return 64 * 1024 + 400 * rows

    def phases(self):
        # opened for each shard, since a shard names the files behind it
        return (RowPhase(load=self._load, open=self.open, needs=self.needs, per_shard=True),)

    def _load(self, ctx: Context) -> tuple[UnitEncoder, int]:
        """The encoder, and the rate of the sounds that it was made of."""
        model = ctx.input("model")
        assert isinstance(model, TrainUnits)
        phase = round_name(model.rounds if self.round is None else self.round)
        rate = ctx.result(round_name(0), ONE[0], of="model").facts["rate"]
        return UnitEncoder.load(model.frames, ctx.path(phase, ONE[0], ".safetensors", of="model")), rate

    def open(self, ctx: Context) -> RowFunction:
        import numpy as np
        import pyarrow as pa

        encoder, rate = ctx.loaded

        def labels(row: dict) -> np.ndarray:
            if row[RATE] != rate:
                found = f"the sound {row[ID]} at {row[RATE]:,} Hz"
                raise DataError("units.docs", found, f"{rate:,} Hz, as what the units were learned from")
            samples = samples_of(ctx, row[SOUND], rate)
            if self.change is not None:
                samples = self.change.of(samples, rate, f"{self.seed}/units/{row[ID]}")
            return smoothed(encoder.labels(encoder.frames.energies(samples, rate)), self.smooth)

        def rows(table: pa.Table) -> Columns:
            found = [labels(row) for row in table.to_pylist()]
            blank = -1 if encoder.blank is None else encoder.blank
            sequences = [merged(each, encoder.blank) for each in found]
            marked = [np.where(each == blank, -1, each) for each in found]
            kind = pa.list_(pa.int32())
            return Columns(added={
                name: pa.array([each.tolist() for each in values], kind)
                for name, values in zip(self.adds(), (sequences, marked), strict=True)
            })  # fmt: skip

        return rows
