"""The laws of packing: nothing lost or doubled, nothing cut that fits, and a tight fit."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.tokens.packing import Piece, best_fit, cut

lengths = st.lists(st.integers(1, 60), max_size=80)


@given(lengths=lengths, capacity=st.integers(1, 40))
@settings(max_examples=200)
def test_every_token_stands_in_one_row_once_and_no_row_overflows(lengths, capacity):
    rows = best_fit(cut(lengths, capacity), capacity)
    assert all(0 < sum(piece.length for piece in row) <= capacity for row in rows)
    places = Counter((piece.document, piece.offset + i) for row in rows for piece in row for i in range(piece.length))
    assert places == Counter((document, i) for document, length in enumerate(lengths) for i in range(length))


@given(lengths=lengths, capacity=st.integers(1, 40))
@settings(max_examples=100)
def test_only_documents_longer_than_a_row_are_cut(lengths, capacity):
    pieces = Counter(piece.document for piece in cut(lengths, capacity))
    assert all((pieces[i] > 1) == (length > capacity) for i, length in enumerate(lengths))


@given(lengths=lengths, capacity=st.integers(1, 40))
@settings(max_examples=100)
def test_fits_as_best_fit_by_brute_force(lengths, capacity):
    """The same number of rows with the same free room as a plain search for the fullest row with room."""
    pieces = cut(lengths, capacity)
    room: list[int] = []
    for piece in sorted(pieces, key=lambda piece: -piece.length):
        fitting = [i for i, left in enumerate(room) if left >= piece.length]
        if fitting:
            room[min(fitting, key=lambda i: room[i])] -= piece.length
        else:
            room.append(capacity - piece.length)
    found = [capacity - sum(piece.length for piece in row) for row in best_fit(pieces, capacity)]
    assert sorted(found) == sorted(room)


def test_order_of_rows_is_a_function_of_the_pieces():
    pieces = [Piece(0, 0, 5), Piece(1, 0, 3), Piece(2, 0, 5), Piece(3, 0, 2)]
    assert best_fit(pieces, 8) == [[pieces[0], pieces[3]], [pieces[2], pieces[1]]]
