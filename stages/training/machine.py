"""What the machine that builds a graph has, for fields that say "auto": asked without importing torch.

The answer enters the node's identity, so a run on another kind of machine is another node. A cluster whose head lacks
what its workers have says so in the recipe (`device: cuda`).
"""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path


@functools.cache
def has_gpu() -> bool:
    """Whether an NVIDIA device is there and not hidden."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return False
    return any(Path("/proc/driver/nvidia/gpus").glob("*")) or any(Path("/dev").glob("nvidia[0-9]*"))


@functools.cache
def multiplies_bf16() -> bool:
    """Whether the CPU multiplies matrices of bfloat16 faster than of fp32."""
    if platform.system() != "Linux":
        return False
    try:
        words = set(Path("/proc/cpuinfo").read_text().replace("\n", " ").split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
