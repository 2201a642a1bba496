"""The keep rule and the anchor check against a plain restatement, and their laws."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup.anchors import judge, judge_copies, needed

PLACES = 12


@st.composite
def clusters(draw):
    sizes = draw(st.lists(st.integers(2, 9), min_size=0, max_size=4))
    n = sum(sizes)
    seed = draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng(seed)
    signatures = chance.integers(0, 3, (n, PLACES)).astype(np.uint32)
    signatures[:, :6] = 0  # so that many pairs agree in half of the places
    copies = chance.integers(0, max(n, 1), n) if n else np.zeros(0, int)
    same = chance.random(n) < 0.3
    exact = np.arange(2 * n, dtype=np.uint64).reshape(n, 2)
    signatures[same], exact[same] = signatures[copies[same]], exact[copies[same]]
    signatures[copies[same]], exact[copies[same]] = signatures[copies[same]], exact[copies[same]]
    order = chance.integers(0, 3, n)
    pinned = chance.random(n) < draw(st.sampled_from([0.0, 0.3]))
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return starts, order, signatures, exact, pinned


def plainly(starts, order, signatures, exact, pinned, limit, most):
    """anchor of every member, by the words of the docstring."""
    anchor = list(range(len(order)))
    for a, b in itertools.pairwise(starts):
        walk = sorted(range(a, b), key=lambda i: (not pinned[i], order[i], i))
        first = {}
        for i in walk:
            first.setdefault(tuple(exact[i]), i)
        anchors = []
        for i in walk:
            lead = first[tuple(exact[i])]
            if pinned[i]:
                if lead == i and len(anchors) < most:
                    anchors.append(i)
                continue
            if lead != i:
                continue
            for kept in anchors:
                if limit is None or np.mean(signatures[i] == signatures[kept]) >= limit:
                    anchor[i] = kept
                    break
            else:
                if len(anchors) < most:
                    anchors.append(i)
        for i in walk:
            lead = first[tuple(exact[i])]
            if lead != i and not pinned[i]:
                anchor[i] = anchor[lead]
    return anchor


@settings(max_examples=300)
@given(clusters(), st.sampled_from([None, 0.5, 0.6, 0.75, 1.0]), st.sampled_from([1, 2, 4096]))
def test_judgement_is_the_plain_one(some, limit, most):
    starts, order, signatures, exact, pinned = some
    found = judge(starts, order, signatures, exact, min_jaccard=limit, max_anchors=most, bands=4, rows=3, pinned=pinned)
    assert found.anchor.tolist() == plainly(starts, order, signatures, exact, pinned, limit, most)


@settings(max_examples=300)
@given(clusters(), st.sampled_from([0.5, 0.6, 0.75, 1.0]), st.sampled_from([1, 3, 4096]))
def test_who_goes_resembles_a_document_that_stays(some, limit, most):
    starts, order, signatures, exact, pinned = some
    found = judge(starts, order, signatures, exact, min_jaccard=limit, max_anchors=most, pinned=pinned, bands=4, rows=3)
    cluster = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    gone = np.flatnonzero(found.anchor != np.arange(len(order)))
    assert not pinned[gone].any()
    for i in gone:
        kept = found.anchor[i]
        assert found.anchor[kept] == kept
        assert cluster[kept] == cluster[i]
        agree = np.mean(signatures[i] == signatures[kept])
        assert agree >= limit
        assert found.estimate[i] == np.float32(agree)
        assert found.same[i] == np.array_equal(exact[i], exact[kept])
    assert np.isnan(np.delete(found.estimate, gone)).all()


@given(clusters(), st.sampled_from([0.5, 1.0]))
def test_pairs_are_those_of_a_cluster_with_its_first(some, limit):
    """What the report draws beside the curve: by estimate, how many there are and how many of them share a band."""
    starts, order, _, exact, pinned = some
    # No band that all have in common.
    signatures = np.random.default_rng(len(order)).integers(0, 2, (len(order), PLACES)).astype(np.uint32)
    found = judge(starts, order, signatures, exact, min_jaccard=limit, pinned=pinned, bands=4, rows=3)
    plain = np.zeros_like(found.pairs)
    for a, b in itertools.pairwise(starts):
        leads = {}
        for i in sorted(range(a, b), key=lambda i: (not pinned[i], order[i], i)):
            leads.setdefault(tuple(exact[i]), i)
        first, *others = leads.values()
        for i in (i for i in others if not pinned[i]):
            same = signatures[i] == signatures[first]
            at = min(int(same.sum()) * len(plain) // PLACES, len(plain) - 1)
            plain[at] += 1, same.reshape(4, 3).all(axis=1).any()
    assert found.pairs.tolist() == plain.tolist()


@given(clusters())
def test_copies_keep_the_first_of_each(some):
    starts, order, _, exact, pinned = some
    found = judge_copies(starts, order, exact, pinned)
    cluster = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    groups = {}
    for i in sorted(range(len(order)), key=lambda i: (not pinned[i], order[i], i)):
        lead = groups.setdefault((cluster[i], *exact[i].tolist()), i)
        assert found.anchor[i] == (i if pinned[i] else lead)


@pytest.mark.parametrize(("limit", "places", "count"), [(0.6, 112, 68), (0.5, 112, 56), (1.0, 112, 112), (None, 9, 0)])
def test_places_that_must_agree(limit, places, count):
    assert needed(limit, places) == count


def test_a_cluster_of_copies_is_one_test_each_at_most():
    n = 200_000
    signatures = np.ones((n, 112), np.uint32)
    exact = np.ones((n, 2), np.uint64)
    found = judge(np.array([0, n]), np.zeros(n, np.int64), signatures, exact)
    assert found.same.sum() == n - 1
    assert (found.anchor == 0).all()
    assert found.pairs.sum() == 0
