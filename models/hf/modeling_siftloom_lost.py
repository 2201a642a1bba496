"""A Llama whose projections are low-rank factors plus a few kept input channels (LOST), for Hugging Face
transformers.

    AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)

Every projection is `y = B act(A x) + W_s x[I]`, its mixing weight folded into B and W_s. With an activation
between the factors no dense matrix computes the same, hence this file. It is copied into exported folders and
depends on torch and transformers alone; siftloom itself never imports it. Source: LOST, Low-rank and Sparse
Pre-training for Large Language Models (arXiv 2508.02668).
"""

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM


class SiftloomLostConfig(LlamaConfig):
    """A Llama's configuration and `lost`: rank, activation ("silu" or "none"), kept channels of every
    projection.
    """

    model_type = "siftloom_lost"

    def __init__(self, lost=None, **kwargs):
        self.lost = lost
        super().__init__(**kwargs)


class LostLinear(nn.Module):
    """`[..., in] -> [..., out]`."""

    def __init__(self, in_features, out_features, rank, kept, activation):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.act = nn.SiLU() if activation == "silu" else nn.Identity()
        self.A = nn.Parameter(torch.empty(rank, in_features))
        self.B = nn.Parameter(torch.empty(out_features, rank))
        self.W_s = nn.Parameter(torch.empty(out_features, kept)) if kept else None
        self.register_buffer("I", torch.zeros(kept, dtype=torch.int64) if kept else None)

    def forward(self, x):
        y = nn.functional.linear(self.act(nn.functional.linear(x, self.A)), self.B)
        if self.W_s is None:
            return y
        return y + nn.functional.linear(x.index_select(-1, self.I), self.W_s)


class SiftloomLostForCausalLM(LlamaForCausalLM):
    """`LlamaForCausalLM` with its seven projections per block replaced."""

    config_class = SiftloomLostConfig

    def __init__(self, config):
        super().__init__(config)
        lost = config.lost
        for layer in self.model.layers:
            for path, kept in lost["kept"].items():
                parent_path, name = path.rsplit(".", 1)
                parent = layer.get_submodule(parent_path)
                dense = getattr(parent, name)
                linear = LostLinear(dense.in_features, dense.out_features, lost["rank"], kept, lost["activation"])
                setattr(parent, name, linear)
