"""LOST and controls that differ from it in one thing, byte by byte on the embedded corpus.

    low-rank + SiLU    no sparse part, nor its factor: all of the parameters are rank
    LOST, density 0    no sparse part; the factor gamma of the low-rank part stays
    LOST, random       channels by chance, where LOST takes those that the SVD leaves
    SLTrain, CoLA      other published ways to spend the same parameters
    dense              2.5 times as many

Each method's learning rate is the best of one grid on a seed of its own, which no result uses, after half of the
steps. All share the order of the rows, the schedule, the clipping and the draw of the dense matrices. Ranks of the
controls are those whose projections hold nearest to as many parameters as LOST's.
"""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.dedup.records import say
from benchmarks.evidence.claims import Claim, Experiment
from benchmarks.training.rows import training_on
from models.accounting import count_flops, count_parameters, rank_for_parameters
from models.batch import Batch
from models.objective import CROSS_ENTROPY, TokenLosses
from models.optim_config import AdamW
from models.presets import Llama, Lost, LowRank
from models.sltrain_config import SLTrain
from pipeline.errors import UserError
from pipeline.files.open_store import file_on_disk
from stages.read.demo import demo_files
from stages.tokens.packed_rows import PackedRows
from stages.training.worker import Trainer

WORDS, LENGTH, ROWS, END = 257, 128, 16, 0  # bytes are shifted by one
SHAPE = {"hidden": 128, "inter": 344, "layers": 5, "heads": 4, "init_std": 0.04}
RATES = (2e-3, 4e-3, 8e-3, 1.6e-2)
TUNING_SEED = 1000


def methods() -> dict[str, Llama]:
    """Name -> model, those with a rank matched to LOST's parameters."""
    lost = Lost("1m", rank=26, density=0.05, **SHAPE)
    goal = _projections(lost)

    def matched(model: Llama) -> Llama:
        below = rank_for_parameters(model, goal)
        ranks = (replace(model, **{"rank": rank}) for rank in (max(1, below), below + 1))
        return min(ranks, key=lambda one: abs(_projections(one) - goal))

    return {
        "dense": Llama("1m", **SHAPE),
        "low-rank + SiLU": matched(LowRank("1m", rank=1, activation="silu", **SHAPE)),
        "LOST, density 0": matched(replace(lost, density=0.0)),
        "LOST": lost,
        "LOST, random": replace(lost, select="random"),
        "SLTrain": matched(SLTrain("1m", rank=1, density=0.03, **SHAPE)),
        "CoLA": matched(LowRank("1m", rank=1, activation="silu", init="cola", **SHAPE)),
    }


def _projections(model: Llama) -> int:
    return count_parameters(model, 1).projections


def corpus(folder: Path) -> tuple[PackedRows, np.ndarray]:
    """Rows of the embedded corpus as bytes, and held-out rows `[n, T + 1]` of other documents."""
    texts = []
    for path in demo_files("corpus"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts += [json.loads(line)["text"] for line in file]
    held = [text for number, text in enumerate(texts) if number % 20 == 0]
    kept = [text for number, text in enumerate(texts) if number % 20]
    # a document that stands in both, or twice, would be learned by heart
    known = set(held)
    kept = list(dict.fromkeys(text for text in kept if text not in known))
    ids = rows_of(kept)
    folder.mkdir(parents=True, exist_ok=True)
    ids.astype("<u2").tofile(folder / "a.bin")
    columns = {
        "tokens": pa.array(np.full(len(ids), LENGTH + 1), pa.int32()),
        "doc_start": pa.array([[0]] * len(ids), pa.list_(pa.int32())),
    }
    pq.write_table(pa.table(columns), folder / "a.rows.parquet")
    files = ((file_on_disk(folder / "a.bin"), file_on_disk(folder / "a.rows.parquet"), len(ids)),)
    return PackedRows(files, LENGTH, "uint16", END, WORDS), rows_of(held)[:256]


def rows_of(texts: list[str]) -> np.ndarray:
    joined = b"".join(bytes(min(byte + 1, 255) for byte in text.encode()) + b"\0" for text in texts)
    flat = np.frombuffer(joined, np.uint8).astype(np.int64)
    return flat[: len(flat) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)


def train(rows: PackedRows, held: np.ndarray, model: Llama, lr: float, seed: int, steps: int) -> float:
    """Held-out nats per byte after a training; infinite where it ended in no number."""
    training = training_on(
        rows, f"{rows.files[0][0].local()}.scratch", model=model, optimizer=AdamW(lr=lr, weight_decay=0.0), steps=steps,
        batch_rows=ROWS, seed=seed, checkpoint_every=steps, log_interval=steps,
    )  # fmt: skip
    trainer = Trainer(training, 0, 1, torch.device("cpu"))
    try:
        while trainer.step < steps:
            trainer.train_step()
    except UserError as error:  # a loss that is no number is a result, too
        say(f"    ended at step {trainer.step}: {error}")
        return math.inf
    finally:
        trainer.feed.close()
    total = 0.0
    with torch.no_grad():
        for part in np.array_split(held, 8):
            ids = torch.from_numpy(part)
            found = trainer.model(Batch(ids_bt=ids[:, :-1], labels_bt=ids[:, 1:]), CROSS_ENTROPY)
            assert isinstance(found, TokenLosses)
            total += float(found.loss_bt.double().sum())
    return total / held[:, 1:].size


@cache
def best_rate(name: str, steps: int) -> float:
    """The rate of the grid with the least loss on the seed that is for tuning alone, after `steps`."""
    with tempfile.TemporaryDirectory(prefix="siftloom-lost-") as folder:
        rows, held = corpus(Path(folder))
        found = {lr: train(rows, held, methods()[name], lr, TUNING_SEED, steps) for lr in RATES}
    say(f"  {name:16} " + " ".join(f"{rate:g}: {loss:.4f}" for rate, loss in found.items()))
    return min(found, key=lambda rate: found[rate])


def run(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Arm -> held-out nats a byte; beside it the rate, and what the projections hold and do."""
    rows, held = corpus(folder)
    found: dict[str, float] = {}
    for name, model in methods().items():
        lr = best_rate(name, max(1, steps // 2))
        found[name] = train(rows, held, model, lr, seed, steps)
        counts = count_parameters(model, WORDS)
        found[f"{name}: rate"] = lr
        found[f"{name}: bytes"] = float(4 * counts.total + 8 * counts.indices)
        found[f"{name}: operations"] = float(count_flops(model, WORDS, LENGTH).projections)
    return found


def _apart(one: str, other: str, **bound: float) -> Claim:
    return Claim(what=f"{one} - {other}", one=one, other=other, **bound)


def _cost(what: str, one: str, other: str = "dense") -> Claim:
    arms = {"one": f"{one}: {what}", "other": f"{other}: {what}"}
    return Claim(what=f"{what}: {one} - {other}", percent=True, **arms)


LOST = Experiment(
    name="lost", run=run, steps=1000, seeds=5,
    about="LOST and its controls: held-out nats a byte of models of width 128 after 2 million bytes.",
    claims=(
        _apart("LOST", "low-rank + SiLU", most=0.0),
        _apart("LOST", "LOST, density 0", most=0.0),
        _apart("LOST", "LOST, random", most=0.0),
        _apart("LOST", "SLTrain", most=0.0),
        _apart("LOST", "CoLA", most=0.0),
        _apart("LOST", "dense"),
        _cost("bytes", "LOST"),
        _cost("operations", "LOST"),
        _cost("operations", "LOST", "low-rank + SiLU"),
    ),
)  # fmt: skip

# Half of the bytes and three seeds: two hours of one core, where the whole takes six.
LOST_MILLION = replace(
    LOST, name="lost_million", steps=500, seeds=3, about=LOST.about.replace("2 million bytes", "a million bytes")
)
