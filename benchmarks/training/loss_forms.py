"""The forms of the cross-entropy side by side: CPU time of forward and backward by vocabulary and tokens."""

from __future__ import annotations

import time

import torch

from benchmarks.dedup.records import say
from models.loss_choice import Form, choose
from models.loss_forms import token_losses

FORMS: tuple[Form, ...] = ("full", "kept", "chunked", "fused")
HIDDEN = 512


def once(form: Form, x: torch.Tensor, head: torch.Tensor, labels: torch.Tensor, bf16: bool) -> None:
    x.grad = head.grad = None
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        losses = token_losses(x.bfloat16() if bf16 else x, head, labels, form=form)
    losses.sum().backward()


def measure(*, small: bool) -> None:
    torch.set_num_threads(1)
    sizes = [(words, tokens) for words in (2048, 8192, 32_000) for tokens in (256, 2048)]
    say(f"cross-entropy, width {HIDDEN}, one thread, CPU ms, least of 4 rounds; * is what is chosen")
    say(f"{'dtype':6} {'words':>6} {'tokens':>7} " + " ".join(f"{form:>10}" for form in FORMS))
    for bf16 in (False, True):
        for words, tokens in sizes[: 2 if small else None]:
            x = torch.randn(1, tokens, HIDDEN, requires_grad=True)
            head = (0.05 * torch.randn(words, HIDDEN)).requires_grad_()
            labels = torch.randint(0, words, (1, tokens))
            found: dict[Form, float] = dict.fromkeys(FORMS, float("inf"))
            for turn in range(5):
                for form in FORMS:
                    began = time.process_time()
                    once(form, x, head, labels, bf16)
                    if turn:
                        found[form] = min(found[form], time.process_time() - began)
            chosen = choose(words, tokens)
            cells = " ".join(f"{1e3 * found[form]:9.1f}{'*' if form == chosen else ' '}" for form in FORMS)
            say(f"{'bf16' if bf16 else 'fp32':6} {words:>6} {tokens:>7} {cells}")
