"""What an adapter costs against training all of a model: numbers, bytes, a checkpoint as it is written, a step.

    python -m benchmarks.training.adapters [--size 9m] [--rounds 9]

Steps are taken in turn, one of each training a round, and the least of each is told: other programs only add to it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.training.rows import random_rows, training_on
from models.adapters.adalora import AdaLora
from models.adapters.bottleneck import Bottleneck
from models.adapters.ia3 import Ia3
from models.adapters.lora import Lora
from models.adapters.norms import Norms
from models.build import build
from models.files import save
from models.memory import state_bytes
from models.presets import Llama
from pipeline.files.open_store import file_on_disk
from stages.training.worker import Trainer

KINDS = {
    "all of it": None, "lora q, v": Lora(), "lora everywhere": Lora(targets="all"),
    "dora": Lora(targets="all", dora=True), "adalora": AdaLora(),
    "ia3": Ia3(), "norms": Norms(), "bottleneck": Bottleneck(),
}  # fmt: skip


def main() -> None:
    wish = argparse.ArgumentParser(prog="benchmarks.training.adapters")
    wish.add_argument("--size", default="1m")
    wish.add_argument("--rounds", type=int, default=9)
    wish = wish.parse_args()
    words, length = 1024 if wish.size == "1m" else 32_000, 128
    torch.set_num_threads(1)
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}"
    )
    with tempfile.TemporaryDirectory(prefix="siftloom-adapters-") as temporary:
        folder, config = Path(temporary), Llama(wish.size)
        rows = random_rows(folder / "rows", rows=512, length=length, vocab_size=words)
        save(folder / "base.safetensors", build(config, words, length, 0))
        trainers = {}
        for name, adapter in KINDS.items():
            fields = {"model": config, "adapter": adapter, "batch_rows": 16, "steps": 10_000}
            training = training_on(rows, str(folder / name), start=file_on_disk(folder / "base.safetensors"), **fields)
            trainers[name] = Trainer(training, 0, 1, torch.device("cpu"))
        seconds: dict[str, list[float]] = {name: [] for name in KINDS}
        for _ in range(wish.rounds):
            for name, trainer in trainers.items():
                began = time.perf_counter()
                trainer.train_step()
                seconds[name].append(time.perf_counter() - began)
        print("training | numbers trained | gradients | optimiser | checkpoint | least ms of a step | of all of it")
        for name, adapter in KINDS.items():
            state = state_bytes(config, words, adapter=adapter)
            (folder / f"{name}-saved").mkdir()
            trainers[name].written()(folder / f"{name}-saved")
            saved = sum(path.stat().st_size for path in (folder / f"{name}-saved").iterdir())
            least = min(seconds[name])
            share = least / min(seconds["all of it"])
            print(f"{name} | {state.gradients // 4:,} | {state.gradients:,} | {state.optimiser:,} | {saved:,} | "
                  f"{1000 * least:.0f} | {share:.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
