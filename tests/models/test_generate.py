"""Written text against a loop without cache or batch, transformers' own rules, and the law of the draw."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from models.build import build
from models.fill import fill_in
from models.generate import TokenSampling, _repetition, _top_k, _top_p, generate
from models.objectives.infill import Sentinels
from models.presets import Llama, Lost
from tests.models.calls import logits

WORDS, END, LENGTH = 40, 0, 24
PROMPTS = [[5, 9, 3], [7], [], [4, 4, 2], [11, 12, 13, 14, 15, 16]]


@pytest.fixture(
    scope="module", params=[Llama("1m", layers=2, init_std=0.2), Lost("1m", layers=2, rank=16, density=0.1)]
)
def model(request):
    return build(request.param, WORDS, LENGTH, seed=0)


def by_loop(model, prompt, tokens):
    """The likeliest continuation, one forward over the whole text for each token."""
    text = [END, *prompt]
    for _ in range(tokens):
        chosen = int(logits(model, torch.tensor([text]))[0, -1].argmax())
        if chosen == END:
            break
        text.append(chosen)
    return text[1 + len(prompt) :]


def test_many_prompts_with_a_cache_give_what_a_plain_loop_gives(model) -> None:
    together = generate(model, PROMPTS, 12, END, sampling=TokenSampling(temperature=0.0))
    assert together == [by_loop(model, prompt, 12) for prompt in PROMPTS]


def test_a_gap_is_filled_behind_its_mark_until_the_span_is_closed(model) -> None:
    sentinels = Sentinels(masks=(1, 2), end=END, separator=6, end_span=8)
    gaps = [([5, 9], [3, 4]), ([], [7]), ([11], [])]
    found = fill_in(model, gaps, 9, sentinels, sampling=TokenSampling(temperature=0.0))
    for (before, after), filled in zip(gaps, found, strict=True):
        text, written = [END, *before, 1, *after, END, 6, 1], []
        while len(written) < 9:
            chosen = int(logits(model, torch.tensor([[*text, *written]]))[0, -1].argmax())
            if chosen == 8:
                break
            written.append(chosen)
        assert filled == written


def test_a_drawn_text_depends_on_its_number_and_the_seed_and_not_on_its_neighbours(model) -> None:
    how = {"sampling": TokenSampling(temperature=1.0), "seed": 3}
    together = generate(model, PROMPTS, 10, END, **how)
    for number, prompt in enumerate(PROMPTS):
        assert generate(model, [prompt], 10, END, numbers=[number], **how) == [together[number]]
    assert generate(model, PROMPTS, 10, END, sampling=TokenSampling(temperature=1.0), seed=4) != together


def test_draws_follow_the_models_law(model) -> None:
    many = 3000
    drawn = generate(model, [[5]] * many, 1, END, sampling=TokenSampling(temperature=1.0))
    counts = Counter(text[0] if text else END for text in drawn)
    shares = torch.softmax(logits(model, torch.tensor([[END, 5]]))[0, -1], -1).tolist()
    for token, share in enumerate(shares):
        assert abs(counts[token] / many - share) < 5 * math.sqrt(share / many) + 1e-9


def test_a_text_ends_with_the_models_length_and_a_prompt_keeps_its_end(model) -> None:
    class Counted:
        longest = 0

        def __call__(self, ids, logits_bv):
            self.longest = max(self.longest, *(len(text) for text in ids))
            logits_bv[:, END] = -math.inf
            return logits_bv

    rule = Counted()
    [text] = generate(model, [list(range(1, 39))], 10, END, sampling=TokenSampling(temperature=0.0), rules=[rule])
    assert len(text) == 10
    assert rule.longest == LENGTH - 1
    [text] = generate(model, [[1]], 100, END, sampling=TokenSampling(temperature=0.0), rules=[rule])
    assert len(text) == LENGTH - 1


def test_the_rules_are_those_of_transformers() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor, TopKLogitsWarper, TopPLogitsWarper

    scores = torch.randn(3, WORDS, generator=torch.Generator().manual_seed(0)).double()
    ids = [[1, 2, 2], [5, 6, 7], [8, 9, 1]]
    assert torch.equal(_top_k(scores, 7), TopKLogitsWarper(7)(None, scores))
    assert torch.equal(_top_p(scores, 0.6), TopPLogitsWarper(0.6)(None, scores))
    expected = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor(ids), scores)
    torch.testing.assert_close(_repetition(ids, scores, 1.3), expected)
