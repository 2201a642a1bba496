"""What it costs to read prompts that begin alike, on one core:

    python -m benchmarks.translation.reading [ROWS BEGINNING REST]

A model of SmolLM2-135M's shape with random weights reads a batch, each prompt whole and then the beginning once.
"""

from __future__ import annotations

import sys
import time

import torch

from stages.generate import first_pass

SHAPE = {
    "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
}  # fmt: skip


def main(rows: int = 12, beginning: int = 300, rest: int = 40) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    begun = torch.randint(SHAPE["vocab_size"], (beginning,)).tolist()
    prompts = [begun + torch.randint(SHAPE["vocab_size"], (rest,)).tolist() for _ in range(rows)]
    least, logits = first_pass.LEAST_SHARED, {}
    for name, shared in (("each prompt whole", sys.maxsize), ("the beginning once", least)):
        first_pass.LEAST_SHARED = shared
        before = time.process_time()
        logits[name] = first_pass.read_prompts(model, prompts, 0, "cpu").logits_bv
        print(f"{name}: {time.process_time() - before:.1f} s of processor time")
    first_pass.LEAST_SHARED = least
    one, other = logits.values()
    print(f"{rows} prompts of {beginning} + {rest} tokens; logits differ by {(one - other).abs().max():.1e} at most")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
