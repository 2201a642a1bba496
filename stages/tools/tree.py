"""Trees of steps: how an answer may go on from each of its beginnings, and what that is worth (UCT).

A step is the tokens up to the next boundary. A node's children are drawn once, all at one time, and the trees of many
prompts grow together: each level is one batch of requests. A draw is keyed by the prompt's name, the path from the root
and the number of the expansion, so no two nodes are asked alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from stages.generate.lm import GeneratedText, Prompt, Sampling


class StepWriter(Protocol):
    """What a tree asks of a model. `end`: the token that ends a text."""

    @property
    def end(self) -> int: ...

    def generate(
        self, prompts: Sequence[Prompt], keys: Sequence[str], sampling: Sampling
    ) -> list[list[GeneratedText]]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How a tree grows.

    branch      continuations that are drawn at a node; equal ones count once
    depth       steps from the root, at most
    boundaries  texts that end a step; without one a step is a whole answer
    rollouts    whole answers from each new node, whose mean reward is its value
    c           how much UCT looks at what was seldom tried: `value + c p sqrt(ln(N + 1) / (n + 1))`
    expansions  nodes of a tree that are given children, at most
    sampling    of steps and rollouts
    """

    branch: int
    depth: int
    boundaries: tuple[str, ...]
    rollouts: int
    c: float
    expansions: int
    sampling: Sampling


@dataclass(eq=False)
class StepNode:
    """A beginning of an answer.

    ids     of the whole beginning; `step` of them are the last step
    path    its place among its parent's children, and theirs, from the root
    p       exp of the mean log-probability of the step's tokens
    ended   whether the model ended the text here
    total, visits  sum and number of the rewards of rollouts from here and below
    best    reward and text of the best of them
    """

    ids: tuple[int, ...] = ()
    step: int = 0
    path: tuple[int, ...] = ()
    p: float = 1.0
    ended: bool = False
    total: float = 0.0
    visits: int = 0
    best: tuple[float, str] = (-math.inf, "")
    children: list[StepNode] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The mean reward, not the sum, which would grow with every visit."""
        return self.total / self.visits if self.visits else 0.0

    def closed(self, depth: int) -> bool:
        """Whether nothing can be tried from here any more."""
        if self.ended or len(self.path) >= depth:
            return True
        return bool(self.children) and all(child.closed(depth) for child in self.children)

    def visited(self, reward: float, text: str) -> None:
        self.total, self.visits = self.total + reward, self.visits + 1
        if reward > self.best[0]:
            self.best = (reward, text)


class StepPair(NamedTuple):
    """Two steps from one beginning, the one that is worth more first."""

    before: StepNode
    chosen: StepNode
    rejected: StepNode

    @property
    def margin(self) -> float:
        return self.chosen.value - self.rejected.value


def grow(
    lm: StepWriter,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    score: Callable[[int, str], float],
    how: Growth,
) -> list[StepNode]:
    """The tree of each prompt; `score` is told the prompt's number and an answer."""
    roots = [StepNode() for _ in prompts]
    for number in range(how.expansions):
        ways = {at: _way(root, how) for at, root in enumerate(roots) if not root.closed(how.depth)}
        if not ways:
            break
        asked = [[*prompts[at], *way[-1].ids] for at, way in ways.items()]
        keys = [f"{names[at]}/{_place(way[-1])}/{number}" for at, way in ways.items()]
        steps = lm.generate(asked, keys, replace(how.sampling, samples=how.branch, stop=how.boundaries))
        for way, drawn in zip(ways.values(), steps, strict=True):
            way[-1].children = list(_children(lm, way[-1], drawn, how.boundaries))
        new = [(at, way, child) for at, way in ways.items() for child in way[-1].children]
        goes_on = [bool(how.boundaries) and not child.ended for _, _, child in new]
        open_ = [(at, child) for (at, _, child), open_ in zip(new, goes_on, strict=True) if open_]
        asked = [[*prompts[at], *child.ids] for at, child in open_]
        keys = [f"{names[at]}/{_place(child)}/{number}/rollout" for at, child in open_]
        ends = iter(lm.generate(asked, keys, replace(how.sampling, samples=how.rollouts)) if asked else [])
        for (at, way, child), open_ in zip(new, goes_on, strict=True):
            # a whole answer is its own and only rollout, and weighs as much as those of others
            more = [answer.ids for answer in next(ends)] if open_ else [()] * how.rollouts
            for ids in more:
                text = lm.decode([*child.ids, *ids])
                reward = score(at, text)
                for node in (*way, child):
                    node.visited(reward, text)
    return roots


def uct(parent: StepNode, child: StepNode, c: float) -> float:
    """What the search goes by."""
    return child.value + c * child.p * math.sqrt(math.log(parent.visits + 1) / (child.visits + 1))


def nodes_of(root: StepNode) -> Iterator[StepNode]:
    """All nodes of a tree, a parent before its children."""
    yield root
    for child in root.children:
        yield from nodes_of(child)


def pairs_of(root: StepNode, gap: float, says: Callable[[StepNode], str]) -> Iterator[StepPair]:
    """Of each node the best child against the worst, where their values are `gap` apart and they say two things."""
    for node in nodes_of(root):
        if len(node.children) < 2:
            continue
        chosen = max(node.children, key=lambda child: child.value)
        rejected = min(node.children, key=lambda child: child.value)
        if chosen.value - rejected.value >= gap and says(chosen) != says(rejected):
            yield StepPair(node, chosen, rejected)


def _way(root: StepNode, how: Growth) -> list[StepNode]:
    """From the root to the node that is given children next."""
    way = [root]
    while way[-1].children:
        open_ = [child for child in way[-1].children if not child.closed(how.depth)]
        way.append(max(open_, key=lambda child: uct(way[-1], child, how.c)))
    return way


def _children(
    lm: StepWriter, parent: StepNode, drawn: Sequence[GeneratedText], boundaries: Sequence[str]
) -> Iterator[StepNode]:
    """The different continuations among those drawn, in the order of the draws."""
    seen = set[tuple[str, bool]]()
    for one in drawn:
        text = lm.decode(one.ids)
        ended = one.finish == "stop" and not any(boundary in text for boundary in boundaries)
        if (text, ended) in seen or not (one.ids or ended):
            continue
        path = (*parent.path, len(seen))
        seen.add((text, ended))
        p = math.exp(-(one.nats or 0.0) / max(1, len(one.ids)))
        yield StepNode((*parent.ids, *one.ids), len(one.ids), path, p, ended)


def _place(node: StepNode) -> str:
    return ".".join(map(str, node.path))
