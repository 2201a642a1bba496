"""Curves of a training run as figures: thinned, over tokens seen."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from stages.training.step_record import MASS, ROLE

POINTS = 400  # of a curve; longer ones are thinned
SHOWN, SHOWN_STEPS = 12, 40  # documents of a step that stands out, and such steps
FILES = ("steps.parquet", "unusual.json")

Points = list[list[float]]


def running_total(counts: Sequence[int]) -> list[int]:
    """Tokens seen at the end of each step."""
    return list(accumulate(counts))


def thin(xs: Sequence[float], ys: Sequence[float], points: int = POINTS) -> Points:
    """At most about `points` points of a curve, the last one always among them; what is not finite is left out."""
    kept = [i for i, y in enumerate(ys) if math.isfinite(y)]
    stride = max(1, -(-len(kept) // points))
    return [[xs[i], round(ys[i], 6)] for i in kept[::-1][::stride]][::-1]


def lines(title: str, y: str, series: Sequence[tuple[str, Points]], **more: Any) -> dict[str, Any]:
    """A `lines` figure over tokens; `more`: its optional fields (`docs/figures.md`)."""
    named = [{"name": name, "points": points} for name, points in series]
    return {"kind": "lines", "title": title, "x": "tokens", "y": y, "series": named, **more}


def layers_figure(similarities: Sequence[float]) -> dict[str, Any]:
    """How like their input the outputs of a start's layers are, by which `depth` has chosen among them."""
    return {
        "kind": "bars",
        "title": "Layers of the start: cosine of output and input",
        "note": "Near 1 a layer changes little; the nearest were taken twice.",
        "labels": [f"layer {layer}" for layer in range(len(similarities))],
        "values": [round(one, 4) for one in similarities],
    }


def of_files(record: Path, unusual: Path, name: str, *, weighted: bool) -> Iterator[dict[str, Any]]:
    """The figures of a finished run, from its `FILES`; `weighted`: rows had weights."""
    import pyarrow.parquet as pq

    yield from of_record(pq.read_table(record).drop_columns(["rows"]).to_pydict(), name, weighted=weighted)
    yield from of_unusual(json.loads(unusual.read_text(encoding="utf-8")))


def of_record(record: Mapping[str, Sequence[Any]], name: str, *, weighted: bool) -> Iterator[dict[str, Any]]:
    """The figures of a run from its record (`stages.training.step_record.RECORD`); `weighted`: rows had weights."""
    tokens = running_total(record["tokens"])
    yield lines("Training loss", "nats per token", [(name, thin(tokens, record["loss"]))], smooth=True)
    if roles := [role for role in record if role.startswith(ROLE)]:
        sides = [(role.removeprefix(ROLE), thin(tokens, record[role])) for role in roles]
        yield lines("Loss of each side", "nats per token; both can grow", sides, smooth=True)
    if weighted:
        yield lines(
            "Weights of the rows of a batch",
            "1 = uniform",
            [
                ("effective samples / samples", thin(tokens, record["effective"])),
                ("largest weight", thin(tokens, record["weight_max"])),
                ("smallest weight", thin(tokens, record["weight_min"])),
            ],
        )
    yield lines("Gradient norm", "before clipping", [(name, thin(tokens, record["gradient_norm"]))])
    masses = [name for name in record if name.startswith(MASS)]
    if len(masses) > 1:
        shares = [(f"rows {name.removeprefix(MASS)}", thin(tokens, record[name])) for name in masses]
        yield lines("Weight of the sources of a batch", "share", shares)


def of_unusual(steps: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A table of the steps that stand out (`stages.training.unusual`), if there are any."""
    if not steps:
        return
    rows = [
        [
            one["step"],
            "update left out" if one["expected"] is None else "loss spike",
            one["loss"],
            one["expected"],
            ", ".join(map(str, one["hardest"])),
            ", ".join(one["documents"][:SHOWN]),
        ]
        for one in steps[:SHOWN_STEPS]
    ]
    columns = ["step", "what", "loss", "expected", "hardest rows", "documents"]
    note = f"{len(steps)} steps; `siftloom why RUN ID` follows a document. All are in unusual.json."
    yield {"kind": "table", "title": "Steps that stand out", "columns": columns, "rows": rows, "note": note}
