"""Pairs of steps of a model's own answers, of which one leads further than the other: what it can learn from its
mistakes.

Source: Zeng et al. 2025 (iTool, arXiv 2501.09766), whose released code is not followed in four places. There every
request has one seed, so that a node asked twice gets the same children; steps are joined with blanks, so that what is
learned was never sampled; a reward counts words in common and the model's own grade; values are sums, which grow with
every visit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from pipeline.bounds import Amount, AmountAboveZero, Positive, ShareAboveZero
from pipeline.contract import Context, Node, Resources, Result, TaskPhase, one, runtime
from pipeline.errors import DataError, RecipeError
from stages.documents import ID, TEXT, columns_of
from stages.generate.lm import Sampling
from stages.generate.loading import check_model, libraries_of, open_model
from stages.generate.over_rows import whole_batches
from stages.generate.prompt import Template
from stages.new_base import NewBaseNode, NewRowsWriter
from stages.tools.forest import OWN, FolderWriter, Forest, TreeWriter
from stages.tools.reward import Reward
from stages.tools.tree import Growth
from stages.wants import ModelOrFolder


@dataclass(frozen=True, kw_only=True, eq=False)
class StepTree(NewBaseNode):
    """Grow a tree of steps for each prompt, and make a document of every two steps from one beginning of which one is
    worth `gap` more: the best child of a node against the worst one.

    model       a `pretrain`, `hf_model`, `export` or `model_folder` node
    prompt      with columns in braces: `{asked}`
    reward      what an answer is worth (`stages.tools.reward`)
    branch      continuations that are drawn at a node, to the next boundary; equal ones count once
    depth       steps of an answer that are looked at; with 1 and no boundaries whole answers are compared (best of n)
    boundaries  texts that end a step
    rollouts    whole answers from each new node; its value is their mean reward
    c           how much the search looks at what was seldom tried: `value + c p sqrt(ln(N + 1) / (n + 1))`
    expansions  nodes of a tree that are given children
    gap         how much two steps differ in value, at least
    max_tokens, temperature, top_p, seed  how steps and rollouts are drawn
    carry       columns of the document that its pairs have too
    max_chars   how much of the text is put into the prompt, from its beginning
    batch_rows  prompts whose trees grow together, and requests at once; part of the identity, as sums depend on it

    Adds to every pair: `prompt`, `chosen` and `rejected` as text; `prompt_ids`, `chosen_ids` and `rejected_ids`
    list<int32>, the tokens as they were drawn, with the one that ends a text where a step ended it (for `pack_samples`
    with `sample: preference`); `margin` float32, the difference in value, and `depth` int32, from 1. `text` is the
    prompt with the best answer that was found behind the chosen step. Steps that say the same make no pair, and neither
    do two of one value. Errors: `DataError` for a reward that is the same everywhere, or that is no number.
    """

    docs: Node
    model: ModelOrFolder
    prompt: str
    reward: Reward
    branch: Annotated[int, Ge(2)] = 4
    depth: Positive = 4
    boundaries: tuple[str, ...] = ("(", ", ")
    rollouts: Positive = 2
    c: Amount = 1.0
    expansions: Positive = 4
    gap: AmountAboveZero = 0.1
    max_tokens: Positive = 64
    temperature: AmountAboveZero = 1.0
    top_p: ShareAboveZero = 1.0
    seed: int = 0
    carry: tuple[str, ...] = ()
    max_chars: Positive = 3000
    batch_rows: Positive = 64
    device: Literal["cpu", "cuda"] = "cpu"
    commit_rows: Positive | None = runtime(256)

    version = 2  # what prompts have in common is read once

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return libraries_of(self.model)

    def check(self) -> None:
        check_model(self.model, "step_tree.model")
        self._template().check("step_tree.prompt", self.docs)
        if not all(self.boundaries) or (self.depth > 1 and not self.boundaries):
            raise RecipeError(
                "step_tree.boundaries", f"{list(self.boundaries)} and depth {self.depth}", "texts that end a step",
                "depth: 1 compares whole answers",
            )  # fmt: skip
        have = columns_of(self.docs)
        for name in self.reward.columns:
            if have.get(name) != "string":
                names = ", ".join(sorted(each for each, type_ in have.items() if type_ == "string"))
                raise RecipeError("step_tree.reward", f"no string column {name!r}", f"one of {names}")
        for name in self.carry:
            if name not in have or name in (ID, TEXT, *OWN):
                free = ", ".join(sorted(set(have) - {ID, TEXT, *OWN}))
                raise RecipeError("step_tree.carry", f"{name!r}", f"columns that a pair has not itself: {free}")

    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._template().needs(), *self.reward.columns, *self.carry)))

    def columns(self) -> Mapping[str, str]:
        have = columns_of(self.docs)
        return {**OWN, **{name: have[name] for name in self.carry if name in have}}

    def resources(self) -> Resources:
        return Resources(gpus=1.0) if self.device == "cuda" else Resources(actors=(1, 2))

    def phases(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        trees = self.rows_phase(
            batch_rows=self.batch_rows, commit_rows=whole_batches(self.commit_rows, self.batch_rows)
        )
        return (trees, TaskPhase(name="rewards", keys=one, run=self._rewards))

    @property
    def writer(self) -> type[NewRowsWriter]:
        return TreeWriter

    def _template(self) -> Template:
        return Template(self.prompt, self.max_chars)

    def _growth(self) -> Growth:
        sampling = Sampling(
            max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p, seed=self.seed
        )  # fmt: skip
        return Growth(
            branch=self.branch, depth=self.depth, boundaries=self.boundaries, rollouts=self.rollouts, c=self.c,
            expansions=self.expansions, sampling=sampling,
        )  # fmt: skip

    def open(self, ctx: Context) -> Forest:
        from stages.generate.folder import FolderLM

        lm = open_model(ctx, "model", self.batch_rows, self.device)
        assert isinstance(lm, FolderLM), "checked"
        return Forest(
            lm=FolderWriter(lm), template=self._template(), reward=self.reward, growth=self._growth(), gap=self.gap,
            carry=self.carry,
        )  # fmt: skip

    def _rewards(self, ctx: Context, key: str) -> Result:
        """Look at all rewards: one that never differs teaches nothing."""
        parts = [ctx.result("shards", name) for name in ctx.keys("shards")]
        ranges = [part.facts["rewards"] for part in parts if part.facts["rewards"] is not None]
        low, high = min((r[0] for r in ranges), default=0.0), max((r[1] for r in ranges), default=0.0)
        if ranges and low == high:
            raise DataError(
                "step_tree.reward", f"{type(self.reward).__name__} is {low:g} for every answer of every tree",
                "a reward that tells answers apart", "siftloom samples, of a generate node with the same prompt",
            )  # fmt: skip
        depths: Counter[str] = Counter()
        for part in parts:
            depths.update(part.facts["depths"])
        facts = {"low": low, "high": high, "depths": dict(sorted(depths.items()))}
        with ctx.create(".json") as path:
            path.write_text(json.dumps(facts, sort_keys=True) + "\n", encoding="utf-8")
        return Result(counts={"pairs": depths.total()}, facts=facts)

    def figures(self, ctx: Context):
        facts = ctx.read_json("rewards")
        note = f"Rewards of answers lie between {facts['low']:g} and {facts['high']:g}."
        rows = [[int(depth), number] for depth, number in facts["depths"].items()]
        yield {"kind": "table", "title": "Pairs of steps", "columns": ["depth", "pairs"], "rows": rows, "note": note}
