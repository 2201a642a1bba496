"""Whether a text follows from another one, by a model with a head for pairs, or by a function of the user's.

The labels of such models come in any order: which of them is entailment is read from `id2label`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.contract import Context, Form, Node
from pipeline.errors import DataError, RecipeError
from stages.generate.loading import open_classifier

if TYPE_CHECKING:
    import numpy as np

ENTAILMENT = "entailment"
Judge = Callable[[Sequence[str], Sequence[str]], "np.ndarray"]  # premises, hypotheses -> probabilities, float32
FunctionName = Annotated[str, Form("the name of a function that workers can import, package.module:function")]


def check_judge(kind: str, model: Node | None, fn: str | None) -> None:
    """Raise RecipeError unless exactly one of the two is given."""
    if (model is None) == (fn is None):
        found = "neither" if model is None else "both"
        raise RecipeError(f"{kind}.model, fn", found, "a model_folder node, or a function of yours")
    if fn is not None and not all(fn.partition(":")):
        raise RecipeError(f"{kind}.fn", f"{fn!r}", "package.module:function")


def open_judge(ctx: Context, batch_rows: int, device: str, max_tokens: int) -> Judge:
    """The judge of the task's node, from its fields `model` and `fn`."""
    node: Any = ctx.node
    if node.fn is not None:
        return _function(node.kind(), node.fn)
    return _of_folder(ctx, batch_rows, device, max_tokens)


def _function(kind: str, name: str) -> Judge:
    import numpy as np

    module, _, function = name.partition(":")
    try:
        judge = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        expected = "a function that every worker can import"
        raise DataError(f"{kind}.fn", str(error), expected, "run from its folder, or install its package") from error

    def judged(premises: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
        found = np.asarray(judge(list(premises), list(hypotheses)), np.float32)
        if found.shape != (len(premises),) or not ((found >= 0) & (found <= 1)).all():
            what = f"{name} gave {found.shape} values for {len(premises)} pairs, or some that are no probabilities"
            raise DataError(f"{kind}.fn", what, "one number from 0 to 1 for each pair")
        return found

    return judged


def _of_folder(ctx: Context, batch_rows: int, device: str, max_tokens: int) -> Judge:
    import numpy as np
    import torch

    kind = ctx.node.kind()
    tokenizer, model = open_classifier(ctx, "model", device, "a head that classifies pairs")
    labels = {name.lower(): place for place, name in model.config.id2label.items()}
    if ENTAILMENT not in labels:
        raise DataError(
            f"{kind}.model", f"the labels {', '.join(map(repr, model.config.id2label.values()))}",
            f"{ENTAILMENT!r} among them, which a model of natural language inference has",
            "name the labels in `id2label` of config.json",
        )  # fmt: skip

    def judged(premises: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
        found = [np.empty(0, np.float32)]
        for start in range(0, len(premises), batch_rows):
            batch = tokenizer(
                list(premises[start : start + batch_rows]), list(hypotheses[start : start + batch_rows]), padding=True,
                truncation=True, max_length=max_tokens, return_tensors="pt",
            ).to(device)  # fmt: skip
            with torch.no_grad():
                probabilities_bl = model(**batch).logits.float().softmax(-1)
            found.append(probabilities_bl[:, labels[ENTAILMENT]].cpu().numpy())
        return np.concatenate(found)

    return judged
