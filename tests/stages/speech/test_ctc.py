"""The rule by which frames become units, against every alignment there is; distances against jiwer."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.speech.clusterings import Agreement, paired, parsed
from stages.speech.ctc import frames_needed, merged
from stages.speech.encoder import smoothed
from stages.speech.unit_distance import distance

BLANK = 3


@pytest.mark.parametrize("frames", [1, 3, 6])
@pytest.mark.parametrize("units", [1, 2, 3])
def test_the_loss_of_torch_is_the_sum_over_all_alignments_that_merge_to_the_target(frames, units):
    draw = np.random.default_rng(frames * 10 + units)
    scores = torch.from_numpy(draw.standard_normal((frames, units + 1))).log_softmax(-1)
    chances: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(units + 1), repeat=frames):
        said = tuple(merged(np.array(path), units).tolist())
        chances[said] = chances.get(said, 0.0) + math.exp(sum(float(scores[t, label]) for t, label in enumerate(path)))
    assert sum(chances.values()) == pytest.approx(1, abs=1e-12)
    for target in itertools.chain(*(itertools.product(range(units), repeat=n) for n in range(frames + 1))):
        loss = torch.nn.functional.ctc_loss(
            scores[:, None], torch.tensor([target], dtype=torch.long), torch.tensor([frames]),
            torch.tensor([len(target)]), blank=units, reduction="none",
        )  # fmt: skip
        possible = frames_needed(np.array(target, np.int64)) <= frames
        assert possible == (target in chances)
        wanted = -math.log(chances[target]) if possible else math.inf
        assert float(loss[0]) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("labels", "units"),
    [([1, 3, 1], [1, 1]), ([1, 1], [1]), ([3, 3], []), ([], []), ([1, 1, 2, 3, 3, 2, 2, 1], [1, 2, 2, 1])],
)
def test_equal_neighbours_are_one_and_then_blanks_go(labels, units):
    assert merged(np.array(labels, np.int64), BLANK).tolist() == units


def test_the_distance_is_of_merged_sequences_over_the_length_of_the_clean_one():
    def of(clean, changed):
        one, other = (merged(np.array(each), None).tolist() for each in (clean, changed))
        return distance(one, other)

    assert of([1, 1, 2, 3], [1, 2, 2, 3]) == 0
    assert of([1, 2, 3], [1, 9, 3]) == pytest.approx(100 / 3)
    assert of([1], [2, 3, 4]) == 300


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.lists(st.integers(0, 9), max_size=12))
def test_a_distance_is_the_word_error_rate_of_the_sentence(clean, changed):
    import jiwer

    words = [" ".join(map(str, each)) for each in (clean, changed)]
    assert distance(clean, changed) == pytest.approx(100 * jiwer.wer(*words))


def test_a_frame_takes_the_commonest_label_around_it():
    assert smoothed(np.array([1, 1, 2, 1, 1, 5, 5]), 3).tolist() == [1, 1, 1, 1, 1, 5, 5]
    assert smoothed(np.array([1, 2]), 1).tolist() == [1, 2]


def test_a_unit_belongs_to_the_phone_at_the_middle_of_its_frames():
    phones = parsed("a", "0 100 x\n100 200 y\n200 210 z\n")
    assert paired(np.array([0, 0, 1, -1]), phones, 400) == [(0, "y"), (1, "z")][:1], "the last one is behind all phones"
    assert paired(np.array([4, -1, 4, 4]), phones, 160) == [(4, "x"), (4, "y")]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=40))
def test_purity_and_mutual_information_are_those_of_the_table_of_both(pairs):
    found = Agreement.of(pairs)
    by_unit = [[phone for unit, phone in pairs if unit == number] for number in range(4)]
    assert found.purity == pytest.approx(sum(max(map(each.count, each)) for each in by_unit if each) / len(pairs))
    shares = {pair: pairs.count(pair) / len(pairs) for pair in pairs}
    units, phones = (
        {x: sum(s for p, s in shares.items() if p[at] == x) for x in {p[at] for p in pairs}} for at in (0, 1)
    )
    mutual = sum(share * math.log2(share / units[u] / phones[p]) for (u, p), share in shares.items())
    entropies = [-sum(share * math.log2(share) for share in each.values()) for each in (units, phones)]
    assert found.entropy == pytest.approx(entropies[0], abs=1e-12)
    assert found.nmi == pytest.approx(2 * mutual / sum(entropies) if min(entropies) > 1e-12 else 0, abs=1e-9)
