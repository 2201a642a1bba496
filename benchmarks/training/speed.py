"""Steps of one training, ours and its peers', in turns in one process.

Times are CPU time of this process, since a shared machine's clock says more of its other users; each figure is the
median of the rounds, each ratio that of the rounds' ratios. All train the same shape on the same rows under bf16
autocast with AdamW and clipping: `transformers` as a plain loop over the whole batch, and with the same micro-batches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.dedup.records import Records, say
from benchmarks.training.rows import random_rows, training_on
from models.accounting import count_flops
from models.presets import Llama, Lost
from models.reweight_config import LinUpper
from stages.training.training import Training
from stages.training.worker import Trainer

Step = Callable[[], Any]


class Task(NamedTuple):
    """What all train."""

    model: Llama
    rank: int  # of LOST
    vocab_size: int
    length: int
    rows: int  # of a step
    micro_batches: int

    @property
    def tokens(self) -> int:
        return self.rows * self.length


SMALL = Task(Llama("1m", hidden=256, inter=688, layers=4, heads=4), 64, 8192, 256, 8, 2)
LARGE = (Task(Llama("60m"), 128, 32_000, 256, 16, 4), Task(Llama("60m"), 128, 32_000, 1024, 4, 4))


def training_of(task: Task, folder: Path, **changes: Any) -> Training:
    rows = random_rows(folder, rows=4 * task.rows, length=task.length, vocab_size=task.vocab_size)
    fields: dict[str, Any] = {
        "model": task.model, "steps": 10_000, "batch_rows": task.rows, "micro_batches": task.micro_batches,
        "precision": "bf16", "threads": torch.get_num_threads(), "checkpoint_every": 10_000, "log_interval": 10_000,
    }  # fmt: skip
    return training_on(rows, str(folder / "scratch"), **(fields | changes))


def ours(made: Training) -> Step:
    trainer = Trainer(made, 0, 1, torch.device("cpu"))
    return trainer.train_step


def transformers(task: Task, micro_batches: int, *, compiled: bool = False) -> Step:
    """The usual loop, with torch's own AdamW as it is by default."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = task.model.shape
    config = LlamaConfig(
        vocab_size=task.vocab_size, hidden_size=shape.hidden, intermediate_size=shape.inter,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, max_position_embeddings=task.length,
        tie_word_embeddings=False, attn_implementation="sdpa", use_cache=False,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    ids = torch.randint(0, task.vocab_size, (task.rows, task.length + 1))

    def step() -> None:
        optimizer.zero_grad()
        for part in ids.chunk(micro_batches):
            labels = part[:, 1:].contiguous()
            with torch.autocast("cpu", torch.bfloat16):
                loss = run(input_ids=part[:, :-1], labels=labels, shift_labels=labels).loss / micro_batches
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def litgpt(task: Task, micro_batches: int) -> Step:
    """litgpt's model and its chunked loss in the same loop, with fused AdamW."""
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    shape = task.model.shape
    config = Config(
        block_size=task.length, padded_vocab_size=task.vocab_size, vocab_size=task.vocab_size, n_layer=shape.layers,
        n_head=shape.heads, n_embd=shape.hidden, intermediate_size=shape.inter, rotary_percentage=1.0, bias=False,
        parallel_residual=False, norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP", norm_eps=1e-6,
    )  # fmt: skip
    model = GPT(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(0, task.vocab_size, (task.rows, task.length + 1))

    def step() -> None:
        optimizer.zero_grad()
        for part in ids.chunk(micro_batches):
            with torch.autocast("cpu", torch.bfloat16):
                loss = chunked_cross_entropy(model(part[:, :-1]), part[:, 1:].contiguous()) / micro_batches
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def contestants(task: Task, folder: Path, *, compiled: bool) -> dict[str, Step]:
    """Those that can be made here, by name."""

    def made_of(**changes: Any) -> Step:
        return ours(training_of(task, folder, **changes))

    shape = {name: getattr(task.model, name) for name in ("hidden", "inter", "layers", "heads")}
    lost = Lost(task.model.size, rank=task.rank, density=0.05, **shape)
    makers: dict[str, Callable[[], Step]] = {
        "siftloom": made_of,
        "siftloom, reweighted": lambda: made_of(reweight=LinUpper()),
        "siftloom, LOST": lambda: made_of(model=lost),
        "transformers, same micro-batches": lambda: transformers(task, task.micro_batches),
        "transformers, plain loop": lambda: transformers(task, 1),
        "litgpt, same micro-batches": lambda: litgpt(task, task.micro_batches),
    }
    if compiled:
        makers["siftloom, compiled"] = lambda: made_of(compile="on")
        makers["transformers, compiled"] = lambda: transformers(task, task.micro_batches, compiled=True)
    made = {}
    for name, make in makers.items():
        try:
            made[name] = make()
            made[name]()  # a first step compiles, and makes the optimiser's state
        except Exception as error:  # a peer that is not installed, or does not compile here; our own failure is one
            if name.startswith("siftloom"):
                raise
            made.pop(name, None)
            say(f"  {name}: not here ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})")
    return made


def gemm_peak(tokens: int, task: Task) -> float:
    """FLOP per CPU second of the best bf16 product of the model's shapes."""
    shape, best = task.model.shape, 0.0
    for wide in (shape.hidden, shape.inter, task.vocab_size):
        a = torch.randn(tokens, shape.hidden).bfloat16()
        b = torch.randn(shape.hidden, wide).bfloat16()
        for _ in range(5):
            began = time.process_time()
            a @ b
            best = max(best, 2 * tokens * shape.hidden * wide / (time.process_time() - began))
    return best


def measure(records: Records, task: Task, folder: Path, *, rounds: int, compiled: bool) -> None:
    shape = task.model.shape
    say(
        f"\nstep of {task.tokens:,} tokens at {task.length}, {task.micro_batches} micro-batches, width {shape.hidden}, "
        f"{shape.layers} layers, {task.vocab_size:,} words, bf16 autocast, {torch.get_num_threads()} thread(s)"
    )
    made = contestants(task, folder, compiled=compiled)
    spent: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, step in made.items():
            began = time.process_time()
            step()
            spent[name].append(time.process_time() - began)
    peak = gemm_peak(task.tokens // task.micro_batches, task)
    flops = task.tokens * count_flops(task.model, task.vocab_size, task.length).training
    base = "siftloom"
    say(f"{'':34} {'CPU s':>8} {'tokens/CPU-s':>13} {'MFU':>5} {'siftloom is faster by':>22}")
    ratios = {}
    for name, seconds in spent.items():
        middle = statistics.median(seconds)
        ratios[name] = statistics.median(theirs / mine for theirs, mine in zip(seconds, spent[base], strict=True))
        share = "" if "LOST" in name else f"{flops / middle / peak:.2f}"
        say(f"{name:34} {middle:8.3f} {task.tokens / middle:13,.0f} {share:>5} {ratios[name]:22.2f}")
    say(f"products of these shapes reach {peak / 1e9:,.0f} GFLOP per CPU-s")
    where = f"{task.tokens:,} tokens at {task.length}"
    for name, least in (("transformers, same micro-batches", 1.2), ("litgpt, same micro-batches", 1.1)):
        if name in ratios:
            records.at_least("T-3", f"against {name}, {where}", ratios[name], least)
    if "transformers, compiled" in ratios and "siftloom, compiled" in ratios:
        apart = ratios["transformers, compiled"] / ratios["siftloom, compiled"]
        records.at_least("T-3", f"compiled against transformers compiled, {where}", apart, 1.1)
    records.at_most("T-4", f"reweighting on against off, {where}", ratios["siftloom, reweighted"] - 1, 0.02, "")
    records.at_most("T-4", f"LOST's time over dense, {where}", ratios["siftloom, LOST"], 1.0)
