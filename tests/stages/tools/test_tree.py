"""Trees of steps over a stub model whose every value is known."""

from __future__ import annotations

import itertools
import math

import pytest

from stages.generate.lm import GeneratedText, Sampling, draw
from stages.tools.reward import Reward, ToolCall
from stages.tools.tree import Growth, StepNode, grow, nodes_of, pairs_of, uct

WORDS, LEVELS = "abc", 3  # an answer is three letters, each closed by a dot
END = 0
HOW = Growth(
    branch=16, depth=LEVELS, boundaries=(".",), rollouts=4, c=0.5, expansions=9,
    sampling=Sampling(temperature=1.0, max_tokens=16, seed=3),
)  # fmt: skip
BEST = "c.a.b."
VALUES = {f"{a}.{b}.{c}.": round((1 + (a == "c") * 3 + (b == "a") * 2 + (c == "b")) / 7, 3)
          for a, b, c in itertools.product(WORDS, repeat=3)}  # fmt: skip
DOT, LETTERS = 1, {letter: 2 + at for at, letter in enumerate(WORDS)}


class Letters:
    """Writes letters with dots between them, each letter as likely; after three it ends the text. `asked`: the keys of
    its requests, by call.
    """

    end = END

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def decode(self, ids) -> str:
        names = {DOT: ".", **{number: letter for letter, number in LETTERS.items()}}
        return "".join(names.get(one, "") for one in ids)

    def generate(self, prompts, keys, sampling):
        self.asked.append(list(keys))
        assert len(set(keys)) == len(keys)
        return [
            [self._write(list(prompt), key, sample, sampling) for sample in range(sampling.samples)]
            for prompt, key in zip(prompts, keys, strict=True)
        ]

    def _write(self, prompt, key, sample, sampling) -> GeneratedText:
        ids, stop = [], False
        while len(prompt) + len(ids) < 1 + 2 * LEVELS and not stop:
            drawn = int(draw(sampling.seed, key, sample, len(ids)) * len(WORDS))
            ids.append(LETTERS[WORDS[drawn]] if (len(prompt) + len(ids)) % 2 else DOT)
            stop = any(one in self.decode(ids) for one in sampling.stop)
        nats = math.log(len(WORDS)) * sum(one != DOT for one in ids)
        return GeneratedText(self.decode(ids).removesuffix("."), "stop", len(prompt), len(ids), tuple(ids), nats)


class Known(Reward):
    def score(self, answer, row):
        return VALUES.get(answer, 0.0)


def trees(how=HOW, names=("p", "q", "r", "s"), lm=None):
    return grow(lm or Letters(), [[9]] * len(names), names, lambda at, text: VALUES.get(text, 0.0), how)


def said(node: StepNode) -> str:
    return Letters().decode(node.ids)


def test_the_best_path_is_found_in_every_tree():
    for root in trees():
        assert root.best == (1.0, BEST)
        node = root
        for letter in BEST.split(".")[:-1]:
            if not node.children:  # not every node is given children
                break
            node = max(node.children, key=lambda child: child.value)
            assert said(node).split(".")[-2] == letter
        assert len(node.path) >= 2


def test_a_value_is_the_mean_of_the_rewards_below_and_every_visit_reaches_the_root():
    for root in trees():
        assert 0 < root.value <= 1
        for node in nodes_of(root):
            if node.children and node is not root:
                own = node.visits - sum(child.visits for child in node.children)
                assert own == HOW.rollouts
            elif node is root:
                assert node.visits == sum(child.visits for child in node.children)
        leaves = [node for node in nodes_of(root) if len(node.path) == LEVELS]
        assert all(leaf.value == pytest.approx(VALUES[said(leaf)]) for leaf in leaves)


def test_the_same_completion_never_stands_twice_under_a_node_and_no_two_requests_are_alike():
    lm = Letters()
    for root in trees(lm=lm):
        for node in nodes_of(root):
            below = [child.ids for child in node.children]
            assert len(set(below)) == len(below) <= len(WORDS)
            assert [child.path[-1] for child in node.children] == list(range(len(below)))
    keys = [key for call in lm.asked for key in call]
    assert len(set(keys)) == len(keys)
    # one batch of steps and one of rollouts for each level, over all prompts
    assert len(lm.asked) <= 2 * HOW.expansions
    assert {key.partition("/")[0] for key in lm.asked[0]} == {"p", "q", "r", "s"}


def test_a_pair_goes_on_from_one_beginning_and_is_the_best_child_against_the_worst():
    reward = Known()
    for root in trees():
        pairs = list(pairs_of(root, 0.1, lambda one: reward.canonical(said(one))))
        assert pairs
        for before, chosen, rejected in pairs:
            assert chosen.ids[: len(before.ids)] == rejected.ids[: len(before.ids)] == before.ids
            assert chosen.step == len(chosen.ids) - len(before.ids) > 0
            values = [child.value for child in before.children]
            assert chosen.value == max(values)
            assert rejected.value == min(values)
            assert chosen.value - rejected.value >= 0.1
        assert not list(pairs_of(root, 0.99, said))


def test_a_tree_hangs_on_its_own_prompt_and_seed_alone():
    alone, [_, beside, *_] = trees(names=("q",))[0], trees()
    told = [[(node.ids, node.value) for node in nodes_of(root)] for root in (alone, beside)]
    assert told[0] == told[1]
    other = trees(Growth(**{**vars(HOW), "sampling": Sampling(temperature=1.0, max_tokens=16, seed=4)}), ("q",))[0]
    assert [(node.ids, node.value) for node in nodes_of(other)] != told[0]


def test_uct_is_its_formula_and_looks_at_what_was_seldom_tried():
    parent = StepNode(total=6.0, visits=12)
    often, seldom = StepNode(p=0.5, total=5.0, visits=10), StepNode(p=0.5, total=0.8, visits=2)
    assert uct(parent, often, 2.0) == pytest.approx(0.5 + 2 * 0.5 * math.sqrt(math.log(13) / 11))
    assert uct(parent, often, 0.0) > uct(parent, seldom, 0.0)
    assert uct(parent, seldom, 2.0) > uct(parent, often, 2.0)


def test_steps_that_say_the_same_in_another_order_are_no_pair():
    texts = {1: "f(a=1, b=2, ", 2: "f(b=2, a=1, ", 3: "f(b=3, a=1, "}
    root = StepNode(children=[
        StepNode(ids=(1,), total=1.0, visits=1), StepNode(ids=(2,), total=0.0, visits=1),
    ])  # fmt: skip
    says = lambda one: ToolCall().canonical(texts[one.ids[0]])  # noqa: E731
    assert not list(pairs_of(root, 0.1, says))
    root.children[1].ids = (3,)
    assert len(list(pairs_of(root, 0.1, says))) == 1
