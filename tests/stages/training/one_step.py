"""One training process of a test: the whole gradient of one step of several jobs, for comparison with another layout.

    python -m tests.stages.training.one_step JOB

JOB is a pickled `Training`; its step is done for every model and precision of `VARIANTS`.
"""

import pickle
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from models.presets import Llama, Lost
from models.sltrain_config import SLTrain
from stages.training.launch import leave
from stages.training.worker import Trainer
from tests.stages.training.rows import changed

TINY = {"hidden": 32, "inter": 48, "layers": 2, "heads": 2}
VARIANTS = {
    "llama": {"model": Llama("1m", **TINY)},
    "lost": {"model": Lost("1m", rank=8, density=0.1, **TINY)},
    "sltrain": {"model": SLTrain("1m", rank=8, density=0.05, **TINY)},
    "bf16": {"model": Lost("1m", rank=8, density=0.1, **TINY), "precision": "bf16"},
}


def gradients(job, process_rank, processes):
    """Variant -> name of a parameter -> its gradient, whole, and the norm that was recorded under ""."""
    found = {}
    for name, changes in VARIANTS.items():
        trainer = Trainer(changed(job, **changes), process_rank, processes, torch.device("cpu"))
        trainer.train_step()
        held = {key: parameter.grad for key, parameter in trainer.model.named_parameters()}
        found[name] = {key: grad.full_tensor() if hasattr(grad, "full_tensor") else grad for key, grad in held.items()}
        found[name][""] = torch.tensor(trainer.record["gradient_norm"])
    return found


if __name__ == "__main__":
    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    dist.init_process_group()
    found = gradients(job, dist.get_rank(), dist.get_world_size())
    if dist.get_rank() == 0:
        torch.save(found, Path(job.scratch) / "gradients.pt")
    dist.destroy_process_group()
    leave()
