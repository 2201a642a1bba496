"""`attend: document` as one call for each document against one mask over the row: where the one passes the other."""

from __future__ import annotations

import time

import torch

from benchmarks.dedup.records import say
from models.attention import LONG_DOCUMENT, View, attend, document_pieces, view_mask
from models.batch import Batch

HEADS, WIDTH = 8, 64


def views(rows: int, length: int, document: int) -> tuple[View, View]:
    """Calls and mask for rows of documents of one length."""
    documents_bt = (torch.arange(length) // document + 1).expand(rows, length).contiguous()
    batch = Batch(ids_bt=documents_bt, documents_bt=documents_bt, cut=True)
    pieces = tuple((row, start, end, 0) for row, start, end in document_pieces(documents_bt))
    return View(pieces=pieces), View(mask_bits=view_mask(batch))


def measure(*, small: bool) -> None:
    torch.set_num_threads(1)
    say(f"attention inside documents, {HEADS} heads of {WIDTH}, one thread, CPU ms, least of 5 rounds; calls / mask")
    say(f"in use: calls from a mean length of {LONG_DOCUMENT} tokens on")
    for bf16 in (False, True):
        for rows, length in ((8, 256), (2, 1024))[: 1 if small else None]:
            cells = []
            for document in (8, 16, 32, 64, 96, 128, 256):
                found = [float("inf")] * 2
                q, k, v = (torch.randn(rows, HEADS, length, WIDTH, requires_grad=True) for _ in range(3))
                both = views(rows, length, document)
                for turn in range(6):
                    for at, view in enumerate(both):
                        began = time.process_time()
                        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                            half = (x.bfloat16() if bf16 else x for x in (q, k, v))
                            attend(*half, view).sum().backward()
                        if turn:
                            found[at] = min(found[at], time.process_time() - began)
                cells.append(f"{document}: {1e3 * found[0]:.1f}/{1e3 * found[1]:.1f} = {found[0] / found[1]:.2f}")
            say(f"  {'bf16' if bf16 else 'fp32'} {rows} x {length}   " + "   ".join(cells))
