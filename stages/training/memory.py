"""Whether a training fits the machine: what it will hold at its peak, against what is there, before it starts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.loss_choice import Form
from models.memory import PeakBytes, StateBytes, checkpoint_bytes, peak_bytes, state_bytes
from pipeline.errors import TooLittleMemory
from pipeline.quantities import size

if TYPE_CHECKING:
    import torch

    from stages.training.settings import TrainingSettings

CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def peak_of(run: TrainingSettings, vocab_size: int, length: int, processes: int) -> PeakBytes:
    """What the fullest of so many processes will hold."""
    form: Form | Literal["auto"] = getattr(run.objective, "form", "kept")
    return peak_bytes(
        run.model,
        vocab_size,
        tokens=run.batch_rows // run.micro_batches * length,
        micro_batches=-(-run.micro_batches // processes),
        processes=processes,
        shards=run.shard,
        bf16=run.precision == "bf16",
        recompute=run.recompute,
        optimizer=run.optimizer,
        adapter=run.adapter,
        form=None if form == "auto" else form,
        save_aside=run.save_aside,
    )


def file_bytes(run: TrainingSettings, vocab_size: int) -> int:
    """Of the published weights and the two checkpoints that are kept."""
    state = state_bytes(run.model, vocab_size, optimizer=run.optimizer, adapter=run.adapter)
    return state.weights + 2 * checkpoint_bytes(state, adapted=run.adapter is not None)


def check_memory(run: TrainingSettings, vocab_size: int, length: int, processes: int, device: torch.device) -> None:
    """Raises TooLittleMemory when the processes of this machine, or the one of this device, will hold too much."""
    here, peak = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), peak_of(run, vocab_size, length, processes)
    if device.type == "cuda":
        import torch

        refuse_above(replace(peak, saved=0), 1, torch.cuda.get_device_properties(device).total_memory, "this GPU")
        # a checkpoint is written from the machine's own memory
        nothing = StateBytes(weights=0, gradients=0, optimiser=0, indices=0)
        peak = PeakBytes(state=nothing, sums=0, gathered=0, activations=0, losses=0, libraries=0, saved=peak.saved)
    refuse_above(peak, here, machine_memory())


def refuse_above(peak: PeakBytes, processes: int, memory: int, place: str = "this machine") -> None:
    """Raises TooLittleMemory when so many processes together need more than the `memory` of a place."""
    if processes * peak.total <= memory:
        return
    parts = {
        "weights, gradients and optimiser": peak.state.total, "sums of gradients": peak.sums,
        "gathered shards": peak.gathered, "activations": peak.activations, "losses": peak.losses,
        "the copy for a checkpoint": peak.saved,
    }  # fmt: skip
    largest = max(parts, key=lambda name: parts[name])
    each = f" in each of {processes} processes" if processes > 1 else ""
    raise TooLittleMemory(
        "pretrain", f"about {size(peak.total)}{each}, of which {largest} {size(parts[largest])}",
        f"at most {size(memory)}, which is what {place} has",
        "more micro_batches, recompute: true, shards over machines, or a smaller model; siftloom budget shows each",
    )  # fmt: skip


def machine_memory() -> int:
    """Bytes of this machine, or of the group of processes that it is confined to."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for place in CGROUPS:
        try:
            found.append(int(Path(place).read_text()))
        except (OSError, ValueError):
            continue  # no such group, or no limit ("max")
    return min(found)
