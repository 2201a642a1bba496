"""Units of speech that changes of the sound leave as they are.

Source: Gat et al. 2023, Augmentation Invariant Discrete Representation for Generative Spoken Language Modeling
(arXiv 2209.15483). Round 0 is k-means of the frames of a frozen encoder. In round r a fresh network sees frames of
changed sounds and learns, by CTC, the merged units of round r - 1 on the sounds as they were; CTC needs no alignment,
so a change may make a sound longer or shorter.

Frames are made shard by shard, on as many workers as there are. A round trains in one process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from pipeline.bounds import AmountAboveZero, Count, Positive
from pipeline.contract import ONE, Context, Law, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import HELD_OUT, ID, columns_of
from stages.generate.vectors import add_up, move, save
from stages.speech.audio import RATE, SOUND
from stages.speech.changes import OneOf
from stages.speech.ctc import frames_needed
from stages.speech.encoder import CENTRES, UnitEncoder
from stages.speech.frames import LogMel
from stages.speech.sound import require_library, samples_of

if TYPE_CHECKING:
    import numpy as np

ROUNDS_OF_KMEANS, STILL = 50, 1e-4
SOME = 64  # losses of a round that are kept for the report


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainUnits(Node):
    """Learn `k` units of sound in `rounds` rounds behind k-means. Writes a file of tensors for each round, which
    `units` takes; held-out sounds are not learned from.

    docs     sounds, behind an `audio` node
    k        units
    rounds   behind round 0, which is k-means of frames
    frames   the frozen encoder
    change   what is done to sounds: `{one_of: {stretch: [0.8, 1.2], noise: null}}`; see `OneOf`
    views    changed copies of each sound in a round
    sample   frames that k-means is made of, at most; a keyed draw
    hidden   width of the two hidden layers of a round's network
    steps    of a round
    batch    sounds of a step
    lr       of Adam; it falls to 0 in a straight line

    Laws: of every round views = used + dropped. A view is dropped as `short` where its frames are fewer than the
    teacher's units need, and as `silent` where the teacher says nothing. Errors: `DataError` for fewer frames than
    units, sounds at several rates, and a round that no view is left for.
    """

    docs: Node
    k: Annotated[int, Interval(ge=2, le=2**20)]
    rounds: Count = 1
    frames: LogMel = field(default_factory=LogMel)
    change: OneOf = field(default_factory=OneOf)
    views: Positive = 4
    sample: Positive = 100_000
    hidden: Positive = 128
    steps: Positive = 500
    batch: Positive = 16
    lr: AmountAboveZero = 0.002
    seed: int = 0

    gives = "units"
    made = ("sounds",)

    def check(self) -> None:
        check_sounds("train_units.docs", self.docs)
        if self.rounds > 20:
            raise RecipeError("train_units.rounds", f"{self.rounds}", "at most 20")

    def phases(self):
        found = [
            TaskPhase(name="frames", keys=_shards, run=self._frames),
            TaskPhase(name=round_name(0), keys=one, run=self._cluster),
        ]
        law = Law("views", "views", ("used", "dropped."))
        for number in range(1, self.rounds + 1):
            found += [
                TaskPhase(
                    name=f"views-{number:02d}", keys=_shards, law=law,
                    run=lambda ctx, key, number=number: self._views(ctx, key, number),
                ),
                TaskPhase(name=round_name(number), keys=one, run=lambda ctx, key, n=number: self._train(ctx, n)),
            ]  # fmt: skip
        return tuple(found)

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        return 1000 * 1024**2 + rows * self.views * 300 * 4 * self.frames.width  # about three seconds a sound

    # frames and k-means ----------------------------------------------------------------------------------------------

    def _sounds(self, ctx: Context, key: str) -> Iterator[tuple[str, np.ndarray, int]]:
        """(id, samples, rate) of the sounds of a shard that are learned from."""
        shards = [shard for shard in ctx.shards() if shard.name == key]
        held = [HELD_OUT] if ctx.has_column(HELD_OUT) else []
        for _, table in ctx.rows([ID, SOUND, RATE, *held], shards=shards):
            for row in table.to_pylist():
                if not row.get(HELD_OUT):
                    yield row[ID], samples_of(ctx, row[SOUND], row[RATE]), row[RATE]

    def _frames(self, ctx: Context, key: str) -> Result:
        rates, energies = set(), []
        for _, samples, rate in self._sounds(ctx, key):
            rates.add(rate)
            energies.append(self.frames.energies(samples, rate))
        _write(ctx, energies)
        return Result(
            counts={"sounds": len(energies), "frames": sum(map(len, energies))}, facts={"rates": sorted(rates)}
        )

    def _cluster(self, ctx: Context, key: str) -> Result:
        import numpy as np
        import torch

        from models.tensor_files import save_tensors

        results = [ctx.result("frames", shard) for shard in ctx.keys("frames")]
        total = sum(result.counts["frames"] for result in results)
        rates = sorted({rate for result in results for rate in result.facts["rates"]})
        if total < self.k:
            raise DataError("train_units.k", f"{self.k} units of {total} frames", "fewer units, or more sound")
        if len(rates) > 1:
            raise DataError("train_units.docs", f"sounds at {' and '.join(map(str, rates))} Hz", "one rate for all")
        draw = np.random.Generator(np.random.PCG64(self.seed))
        chosen = np.sort(draw.permutation(total)[: max(self.k, self.sample)])
        frames, first = [], 0
        for shard in ctx.keys("frames"):
            for bands in _read(ctx, "frames", shard):
                mine = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, first + len(bands))] - first
                frames.append(self.frames.with_context(bands)[mine])
                first += len(bands)
        together = np.concatenate(frames)
        centres, moved = together[np.sort(draw.permutation(len(together))[: self.k])], []
        for _ in range(ROUNDS_OF_KMEANS):
            sums = np.zeros((self.k, 1 + together.shape[1]))
            add_up(sums, together, centres)
            centres, far = move(centres, sums)
            moved.append(far)
            if far <= STILL:
                break
        with ctx.create(".safetensors") as path:
            save_tensors({CENTRES: torch.from_numpy(np.ascontiguousarray(centres))}, path, {})
        counts = {"sounds": sum(result.counts["sounds"] for result in results), "frames": len(together)}
        return Result(counts=counts, facts={"rate": rates[0], "losses": moved})

    # a round ---------------------------------------------------------------------------------------------------------

    def _views(self, ctx: Context, key: str, number: int) -> Result:
        """The changed copies of the sounds of a shard, and the teacher's units of each."""
        import numpy as np

        teacher = UnitEncoder.load(self.frames, ctx.path(round_name(number - 1), ONE[0], ".safetensors"))
        clean = _read(ctx, "frames", key)
        energies, targets = [], []
        counts = {"views": 0, "used": 0, "dropped.short": 0, "dropped.silent": 0}
        for (name, samples, rate), bands in zip(self._sounds(ctx, key), clean, strict=True):
            units = teacher.units(bands).astype(np.int32)
            for view in range(self.views):
                counts["views"] += 1
                heard = self.change.of(samples, rate, f"{self.seed}/{number}/{view}/{name}")
                changed = self.frames.energies(heard, rate)
                reason = "silent" if not len(units) else "short" if len(changed) < frames_needed(units) else None
                if reason is not None:
                    counts[f"dropped.{reason}"] += 1
                    continue
                counts["used"] += 1
                energies.append(changed)
                targets.append(units)
        _write(ctx, energies)
        _write(ctx, targets, "-units")
        return Result(counts=counts)

    def _train(self, ctx: Context, number: int) -> Result:
        import numpy as np

        from models.tensor_files import save_tensors
        from stages.speech.student import HeardSound, Student

        phase = f"views-{number:02d}"
        views = [
            HeardSound(self.frames.with_context(bands), units)
            for shard in ctx.keys(phase)
            for bands, units in zip(_read(ctx, phase, shard), _read(ctx, phase, shard, "-units"), strict=True)
        ]
        if not views:
            found = "no changed sound that is long enough for what the teacher says of it"
            raise DataError(f"train_units, round {number}", found, "fewer units, or a smaller frames.hop_ms")
        seed = int(np.random.SeedSequence([self.seed % 2**64, number]).generate_state(1)[0])
        student = Student(self.k, self.hidden, self.steps, self.batch, self.lr, seed)
        tensors, losses = student.train(ctx, views)
        with ctx.create(".safetensors") as path:
            save_tensors(tensors, path, {})
        kept = losses[:: max(1, len(losses) // SOME)]
        facts = {"losses": kept, "last": float(np.mean(losses[-20:]))}
        ctx.log("learned", round=number, loss=facts["last"])
        return Result(counts={"views": len(views)}, facts=facts)

    # what is told ----------------------------------------------------------------------------------------------------

    def figures(self, ctx: Context):
        rows = []
        for number in range(1, self.rounds + 1):
            shards = [ctx.result(f"views-{number:02d}", key).counts for key in ctx.keys(f"views-{number:02d}")]
            names = ("views", "used", "dropped.short", "dropped.silent")
            counts = [sum(each[name] for each in shards) for name in names]
            rows.append([number, *counts, round(ctx.result(round_name(number), ONE[0]).facts["last"], 4)])
        if rows:
            columns = ["round", "views", "used", "too short", "silent", "CTC loss at the end"]
            yield {"kind": "table", "title": "Rounds of units", "columns": columns, "rows": rows}
            series: list[dict[str, Any]] = [
                {"name": f"round {n}", "points": [[at, loss] for at, loss in enumerate(self._losses(ctx, n))]}
                for n in range(1, self.rounds + 1)
            ]
            yield {"kind": "lines", "title": "CTC loss", "x": "part of the round", "y": "loss", "series": series}

    def _losses(self, ctx: Context, number: int) -> Sequence[float]:
        return ctx.result(round_name(number), ONE[0]).facts["losses"]


def round_name(number: int) -> str:
    """The phase that writes the model of a round."""
    return f"round-{number:02d}"


def check_sounds(place: str, docs: Node) -> None:
    """Raise `RecipeError` for documents that are no sounds."""
    have = columns_of(docs)
    if missing := [name for name in (SOUND, RATE) if name not in have]:
        raise RecipeError(place, f"documents without the column {missing[0]!r}", "sounds: a node behind `audio`")
    require_library(place)


def _shards(ctx: Context) -> list[str]:
    return [shard.name for shard in ctx.shards()]


def _write(ctx: Context, parts: Sequence[np.ndarray], ext: str = "") -> None:
    """Arrays of any lengths, one behind another, and their lengths."""
    import numpy as np

    with ctx.create(f"{ext}.npy") as path:
        save(path, np.concatenate(parts) if parts else np.zeros((0, 1), np.float32))
    with ctx.create(f"{ext}-lengths.json") as path:
        path.write_text(json.dumps([len(part) for part in parts]))


def _read(ctx: Context, phase: str, key: str, ext: str = "") -> list[np.ndarray]:
    """The arrays that `_write` wrote."""
    import numpy as np

    lengths = json.loads(ctx.path(phase, key, f"{ext}-lengths.json").read_text())
    whole = np.load(ctx.path(phase, key, f"{ext}.npy"))
    return np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
