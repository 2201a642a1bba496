"""`siftloom ablate`: a small model on each of several sets of documents of a recipe, and which model is the better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.contract import Node, RowPhase
from pipeline.errors import RecipeError

LENGTH, BATCH_ROWS = 256, 16
VOCABULARY = 2048


@dataclass(frozen=True)
class Budget:
    """What every arm gets: `seeds` models of the shape `preset`, `tokens` to train each on, `sample_bytes` to test."""

    tokens: int = 400_000
    seeds: int = 2
    preset: str = "1m"
    sample_bytes: int = 1_000_000

    @property
    def steps(self) -> int:
        """Optimiser steps of one training."""
        return max(1, round(self.tokens / (LENGTH * BATCH_ROWS)))


def arms_of(
    nodes: Mapping[str, Node], arms: Sequence[str], budget: Budget, judge: str | None = None
) -> dict[str, Node]:
    """The nodes of an ablation by name; the last one, `ablation`, is its table.

    judge  the node whose held-out documents judge all arms: the split behind them unless another is named, such as one
           that has left the bad documents behind

    The tokenizer is that of the split behind the arms, so that nothing but the documents differs. Raises RecipeError
    for names that are no documents, and where no arm has a split behind it.
    """
    from models.optim_config import AdamW
    from models.presets import Llama
    from siftloom import stages as s
    from stages.documents import HELD_OUT, columns_of
    from stages.training.compare import split_behind

    if len(set(arms)) < 2 or len(set(arms)) < len(arms):
        raise RecipeError("ablate", f"the arms {', '.join(arms) or '(none)'}", "two or more different nodes")
    documents = [name for name, node in nodes.items() if _gives_rows(node)]
    for arm in (*arms, *([judge] if judge else [])):
        if arm not in documents:
            raise RecipeError(f"ablate {arm}", "no node of documents of this name", f"one of {', '.join(documents)}")
    split = next((found for arm in arms if (found := split_behind(nodes[arm], set())) is not None), None)
    if split is None:
        raise RecipeError(
            "ablate", "arms without a split behind them", "held-out documents to compare on",
            "put `{use: split, docs: ..., held_out: 0.05}` before the selection",
        )  # fmt: skip
    tokenizer = s.Tokenizer(docs=split, vocab_size=VOCABULARY)
    made: dict[str, Node] = {"ablation_tokenizer": tokenizer}
    runs: list[Node] = []
    for arm in arms:
        docs = nodes[arm]
        holdout = {} if HELD_OUT in columns_of(docs) else {"holdout": split}
        rows = s.Pack(docs=docs, tokenizer=tokenizer, length=LENGTH, **holdout)
        made[f"{arm}_rows"] = rows
        for seed in range(budget.seeds):
            # at a width of 128 the usual start of 0.02 and rate of 0.001 are too small; see recipes/demo.yaml
            model = s.Pretrain(
                rows=rows, model=Llama(budget.preset, init_std=0.06), optimizer=AdamW(lr=0.01), steps=budget.steps,
                batch_rows=BATCH_ROWS, seed=seed,
            )  # fmt: skip
            score = s.Evaluate(
                model=model, docs=nodes[judge] if judge else split, sample_bytes=budget.sample_bytes, samples=0
            )
            made |= {f"{arm}_model_{seed}": model, f"{arm}_score_{seed}": score}
            runs.append(score)
    made["ablation"] = s.Ablation(runs=tuple(runs), labels=tuple(arms))
    return made


def _gives_rows(node: Node) -> bool:
    return node.new_base is not None or any(isinstance(phase, RowPhase) for phase in node.phases())
