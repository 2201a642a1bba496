"""`python -m benchmarks.training.gpu [--size 350m] [--steps 20] [--json FILE]`: one GPU, under ten minutes.

Dense and LOST, bf16, compiled blocks: tokens/s, share of the card's peak (MFU) and peak memory, predicted and measured.
MFU counts the operations of `models.accounting`. The card's peak is that of its data sheet, or `--peak`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.dedup.records import Records, say
from benchmarks.training.speed import Task, training_of
from models.accounting import count_flops
from models.presets import Llama, Lost
from models.shapes import USUAL_RANK
from stages.training.memory import peak_of
from stages.training.worker import Trainer, prepare

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12}  # bf16, dense [FLOP/s]
WORDS, LENGTH, ROWS, MICRO_BATCHES = 32_000, 1024, 32, 2


def measure(records: Records, model: Llama, peak: float, steps: int, folder: Path) -> None:
    name = type(model).__name__
    task = Task(model, 0, WORDS, LENGTH, ROWS, MICRO_BATCHES)
    made = training_of(task, folder, device="cuda", compile="on")
    device = prepare(made.node)
    trainer = Trainer(made, 0, 1, device)
    for _ in range(3):  # compiles, and makes the optimiser's state
        trainer.train_step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    for _ in range(steps):
        trainer.train_step()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    trainer.feed.close()
    rate = steps * task.tokens / seconds
    share = rate * count_flops(model, WORDS, LENGTH).training / peak
    found = torch.cuda.max_memory_allocated()
    predicted = peak_of(made.node, WORDS, LENGTH, 1)
    on_card = predicted.total - predicted.libraries
    memory = f"peak {found / 1e9:.2f} GB, predicted {on_card / 1e9:.2f} GB"
    say(f"{name:6} {rate:12,.0f} tokens/s   MFU {share:.3f}   {memory}")
    records.shown("T-7", f"{name}: tokens/s", rate, "")
    records.shown("T-7", f"{name}: MFU", share, "")
    records.at_most("T-9", f"{name}: predicted peak over CUDA's counter, off 1 by", abs(on_card / found - 1), 0.05, "")


def main() -> int:
    wish = argparse.ArgumentParser(prog="benchmarks.training.gpu", description=__doc__)
    wish.add_argument("--size", default="350m", choices=sorted(USUAL_RANK))
    wish.add_argument("--steps", type=int, default=20)
    wish.add_argument("--peak", type=float, help="FLOP/s of the card in bf16")
    wish.add_argument("--json", type=Path)
    wish = wish.parse_args()
    if not torch.cuda.is_available():
        say("no CUDA device here: nothing is measured")
        return 1
    card = torch.cuda.get_device_name()
    peak = wish.peak or next((flops for name, flops in PEAKS.items() if name in card), None)
    if peak is None:
        say(f"the peak of a {card} is not known here: give it with --peak")
        return 1
    say(f"{time.strftime('%Y-%m-%d')}, {card}, torch {torch.__version__}, {wish.size}, {ROWS} rows of {LENGTH} a step")
    records = Records()
    models = (Llama(wish.size), Lost(wish.size, rank=USUAL_RANK[wish.size], density=0.05))
    for model in models:
        with tempfile.TemporaryDirectory(prefix="siftloom-gpu-") as folder:
            measure(records, model, peak, wish.steps, Path(folder))
        torch.cuda.empty_cache()
    if wish.json:
        wish.json.write_text(json.dumps({"card": card, "rows": records.rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
