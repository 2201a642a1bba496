"""The experiment: LOST and every control at equal parameters on one small corpus, byte by byte.

Each method's learning rate is the best of the same grid on the first seed; then all seeds run at it. All share the
order of the rows, the schedule, the clipping and the draw of the dense matrices. Ranks of the controls are solved so
that their projections hold as many parameters as LOST's; dense holds 2.5 times as many.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.dedup.records import Records, say
from models.accounting import count_flops, count_parameters, rank_for_parameters
from models.batch import Batch
from models.objective import CROSS_ENTROPY, TokenLosses
from models.optim_config import AdamW, Cosine
from models.presets import Llama, Lost, LowRank
from models.reweight_config import Uniform
from models.sltrain_config import SLTrain
from stages.read.demo import demo_files
from stages.tokens.packed_rows import PackedRows
from stages.training.job import Job
from stages.training.row_source import RowSource
from stages.training.worker import Trainer

WORDS, LENGTH, END = 257, 128, 0  # bytes are shifted by one
SHAPE = {"hidden": 128, "inter": 344, "layers": 5, "heads": 4, "init_std": 0.04}
RATES = (2e-3, 4e-3, 8e-3)
SEEDS = (0, 1, 2)
BASE = "low-rank + SiLU"
STUDENT = 4.303  # two-sided 95 % of two degrees of freedom


def methods() -> dict[str, Llama]:
    """Name -> model, those with a rank matched to LOST's parameters."""
    lost = Lost("1m", rank=26, density=0.05, **SHAPE)
    goal = count_parameters(lost, 1).projections

    def matched(model: Llama) -> Llama:
        return dataclasses.replace(model, **{"rank": rank_for_parameters(model, goal)})

    return {
        "dense": Llama("1m", **SHAPE),
        "low-rank": matched(LowRank("1m", rank=1, **SHAPE)),
        BASE: matched(LowRank("1m", rank=1, activation="silu", **SHAPE)),
        "CoLA": matched(LowRank("1m", rank=1, activation="silu", init="cola", **SHAPE)),
        "SLTrain": matched(SLTrain("1m", rank=1, density=0.03, **SHAPE)),
        "LOST + SiLU": lost,
        "LOST + SiLU, random channels": dataclasses.replace(lost, select="random"),
        "LOST without SiLU": dataclasses.replace(lost, activation="none"),
    }


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
    files = ((str(folder / "a.bin"), str(folder / "a.rows.parquet"), len(ids)),)
    return PackedRows(files, LENGTH, "uint16", END, WORDS), rows_of(held)[:256]


def rows_of(texts: list[str]) -> np.ndarray:
    joined = b"".join(bytes(min(byte + 1, 255) for byte in text.encode()) + b"\0" for text in texts)
    flat = np.frombuffer(joined, np.uint8).astype(np.int64)
    return flat[: len(flat) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)


def run(rows: PackedRows, held: np.ndarray, model: Llama, lr: float, seed: int, steps: int) -> float:
    """Held-out nats per byte after a training; infinite where it ended in no number."""
    job = Job(
        sources=(RowSource("rows", rows, 1.0),), model=model, reweight=Uniform(),
        optimizer=AdamW(lr=lr, weight_decay=0.0), lr_schedule=Cosine(), steps=steps, batch_rows=8, micro_batches=1,
        seed=seed, attend="row", precision="fp32", reduce="tree", shard=1, threads=1, device="cpu",
        checkpoint_every=steps, log_interval=steps, scratch=rows.files[0][0] + ".scratch",
    )  # fmt: skip
    trainer = Trainer(job, 0, 1, torch.device("cpu"))
    try:
        while trainer.step < steps:
            trainer.train_step()
    except Exception as error:  # a loss that is no number is a result, too
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


def measure(records: Records, folder: Path, *, small: bool) -> list[dict]:
    """Runs all of it; returns a line for each method."""
    torch.set_num_threads(1)
    steps, seeds = (12, SEEDS[:2]) if small else (200, SEEDS)
    rows, held = corpus(folder)
    say(f"{rows.files[0][2]:,} rows of {LENGTH} bytes, {held[:, 1:].size:,} held-out bytes, {steps} steps of 8 rows")
    table: list[dict] = []
    for name, model in methods().items():
        began = time.process_time()
        grid = {lr: run(rows, held, model, lr, seeds[0], steps) for lr in RATES}
        lr = min(grid, key=lambda rate: grid[rate])
        losses = [grid[lr], *(run(rows, held, model, lr, seed, steps) for seed in seeds[1:])]
        counts = count_parameters(model, WORDS)
        table.append(
            {"method": name, "parameters": counts.total, "projections": counts.projections,
             "flops": count_flops(model, WORDS, LENGTH).projections, "grid": {str(k): v for k, v in grid.items()},
             "lr": lr, "losses": losses, "cpu": round(time.process_time() - began, 1)}
        )  # fmt: skip
        said = " ".join(f"{rate:g}: {loss:.4f}" for rate, loss in grid.items())
        say(f"  {name:30} {said}  seeds {' '.join(f'{loss:.4f}' for loss in losses)}  ({table[-1]['cpu']} CPU-s)")
    compare(records, table)
    return table


def compare(records: Records, table: list[dict]) -> None:
    """Differences to the equal low-rank model, seed by seed."""
    base = next(row for row in table if row["method"] == BASE)["losses"]
    say(f"\n{'method':30} {'params':>9} {'lr':>6} {'mean':>7} {'difference':>11}  95 % interval")
    for row in sorted(table, key=lambda row: float(np.mean(row["losses"]))):
        apart = np.array(row["losses"]) - np.array(base)
        half = STUDENT * apart.std(ddof=1) / math.sqrt(len(apart)) if len(apart) == 3 else math.nan
        row |= {"difference": float(apart.mean()), "half_width": float(half), "seeds_better": int((apart < 0).sum())}
        say(
            f"{row['method']:30} {row['parameters']:>9,} {row['lr']:>6g} {np.mean(row['losses']):>7.4f} "
            f"{apart.mean():>+11.4f}  {apart.mean() - half:+.4f} .. {apart.mean() + half:+.4f}"
        )
    lost = next(row for row in table if row["method"] == "LOST + SiLU")
    better, of = lost["seeds_better"], len(base)
    records.at_least("LOST-7", f"seeds on which LOST + SiLU beats low-rank + SiLU, of {of}", better, of, "")
    records.shown("LOST-7", "LOST + SiLU minus low-rank + SiLU, nats per byte", lost["difference"], "nats")
