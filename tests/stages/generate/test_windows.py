"""Windows over long sequences: every token once, behind enough context."""

from hypothesis import given
from hypothesis import strategies as st

from stages.generate.windows import windows


@given(st.integers(1, 200), st.integers(1, 60), st.integers(2, 40))
def test_every_token_is_counted_once_behind_half_a_window_or_all_that_stands_before_it(tokens, first, length):
    counted = []
    for window in windows(tokens, first, length):
        assert 0 <= window.start < window.first <= window.end <= min(window.start + length, tokens - 1)
        for token in range(window.first, window.end + 1):
            assert token - window.start >= min(token, length // 2)
            counted.append(token)
    assert counted == list(range(first, tokens))


def test_what_fits_is_seen_whole_and_a_long_prompt_leaves_a_short_target_all_the_room():
    assert windows(9, 1, 8) == windows(9, 1, None) == [(0, 8, 1)]
    assert windows(100, 95, 8) == [(91, 99, 95)]
    assert windows(5, 5, 8) == []
