"""`attend: document` in groups, with a mask over the row, and as one call for each document, against whole rows."""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.dedup.records import say
from models.attention import LONG_ROW, View, attend, view_mask
from models.batch import Batch, document_pieces
from models.grouped_attention import groups_of

HEADS, WIDTH = 8, 64
MEANS = (8, 16, 32, 64, 128, 256)


def documents(rows: int, length: int, mean: int) -> torch.Tensor:
    """Numbers of documents whose lengths spread widely (lognormal, sigma 1) around a mean: int64 [rows, length]."""
    draw, found = np.random.default_rng(0), []
    for _ in range(rows):
        lengths = np.maximum(2, draw.lognormal(np.log(mean) - 0.5, 1.0, length)).astype(int)
        found.append(np.repeat(np.arange(1, length + 1), lengths)[:length])
    return torch.from_numpy(np.stack(found))


def views(documents_bt: torch.Tensor) -> dict[str, View]:
    """The forms of attention inside documents, and attention over the row."""
    pieces = document_pieces(documents_bt)
    batch = Batch(ids_bt=documents_bt, documents_bt=documents_bt, cut=True)
    return {
        "groups": View(groups=groups_of(pieces, documents_bt.shape[1], documents_bt.device)),
        "mask": View(mask_bits=view_mask(batch)),
        "calls": View(pieces=tuple((row, start, end, 0) for row, start, end in pieces)),
        "row": View(causal=True),
    }


def measure(*, small: bool) -> None:
    torch.set_num_threads(1)
    say(f"attention inside documents, {HEADS} heads of {WIDTH}, one thread, CPU ms of forward and backward, least of 4")
    say(f"in use: groups in rows of {LONG_ROW} tokens and more, else the mask")
    for bf16 in (False, True)[: 1 if small else None]:
        for rows, length in ((8, 256), (4, 512), (2, 1024)):
            for mean in MEANS[:: 2 if small else 1]:
                forms = views(documents(rows, length, mean))
                found = dict.fromkeys(forms, float("inf"))
                q, k, v = (torch.randn(rows, length, HEADS, WIDTH).transpose(1, 2).requires_grad_() for _ in range(3))
                for turn in range(5):
                    for name, view in forms.items():
                        began = time.process_time()
                        a, b, c = ((x.bfloat16() if bf16 else x) for x in (q, k, v))
                        attend(a, b, c, view).sum().backward()
                        if turn:
                            found[name] = min(found[name], time.process_time() - began)
                cells = "   ".join(f"{name} {1e3 * value:.0f}" for name, value in found.items())
                say(f"  {'bf16' if bf16 else 'fp32'} {rows} x {length}, mean {mean}: {cells}")
