"""The kernel against datasketch, `re`, the same in numpy, and itself on other Arrow layouts."""

import itertools
import re
import subprocess
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from datasketch import LeanMinHash, MinHash, MinHashLSH

from stages.hashing.code_points import code_points, draw
from stages.hashing.scheme import Scheme
from stages.hashing.shingles import permutations, shingle_hash32, shingles, token_hash, words
from stages.hashing.sketch import byte_hashes, sketch, word_hashes
from tests.stages.dedup.texts import texts
from tests.stages.hashing import kernel_in_numpy

SAME_UNICODE = pytest.mark.skipif(
    unicodedata.unidata_version != code_points().unicode,
    reason="the frozen table is of another Unicode version than this Python",
)


def plain_words(text: str) -> list[str]:
    """What the `word` unit promises, said with the standard library."""
    return re.findall(r"\w+", text.replace("\u0130", "i").lower().replace("\u03c2", "\u03c3"))


def minhash(text: str, scheme: Scheme) -> MinHash:
    made = MinHash(num_perm=scheme.places, seed=scheme.seed, hashfunc=shingle_hash32)
    made.update_batch(shingles(text, scheme))
    return made


@pytest.mark.parametrize("unit", ["word", "char", "auto"])
@pytest.mark.parametrize("ngram", [1, 3, 5, 13])
def test_signatures_are_datasketchs(unit, ngram):
    scheme = Scheme(unit=unit, ngram=ngram, seed=ngram)
    some = texts(ngram, 120)
    made = sketch(pa.array(some), scheme, signatures=True)
    for text, row, count in zip(some, made.signatures, made.words, strict=True):
        assert count == len(words(text, unit))
        assert np.array_equal(row, minhash(text, scheme).hashvalues), text


@pytest.mark.parametrize(("bands", "rows"), [(1, 1), (2, 8), (4, 8), (6, 8), (20, 5), (9, 13), (18, 8)])
def test_signatures_of_every_width_are_datasketchs(bands, rows):
    """One to nine vectors of sixteen places, the last one full or not."""
    scheme = Scheme(bands=bands, rows=rows)
    some = texts(bands, 20)
    made = sketch(pa.array(some), scheme, signatures=True)
    for text, row in zip(some, made.signatures, strict=True):
        assert np.array_equal(row, minhash(text, scheme).hashvalues), text


def test_words_of_every_length_wherever_they_begin():
    """Eight words at once, in two halves and a rest; sections of 4,096 bytes, whose borders words end at and cross."""
    chance = np.random.default_rng(5)
    letters = "".join(chance.choice(list("abcdefgh"), 30_000))
    sizes = [*range(1, 36), 100]
    some = [" ".join(letters[i : i + n] for i, n in enumerate(np.roll(sizes, shift).tolist())) for shift in sizes]
    some += [
        " ".join([letters[:lead], letters[7 : 7 + size], "behind", "it"])
        for lead in (1, 40, 4080, 4094, 4095, 4096, 4097)
        for size in (1, 2, 16, 17, 4093, 4095, 4096, 4097, 8190, 20_000)
    ]
    scheme = Scheme(ngram=2)
    made = sketch(pa.array(some), scheme, signatures=True)
    for text, row, count in zip(some, made.signatures, made.words, strict=True):
        assert count == text.count(" ") + 1
        assert np.array_equal(row, minhash(text, scheme).hashvalues), (len(text), text[:60])


@SAME_UNICODE
def test_words_are_those_of_re():
    for text in texts(1, 400):
        assert words(text) == plain_words(text)


@SAME_UNICODE
def test_table_is_the_one_that_the_script_draws():
    drawn, table = draw(), code_points()
    assert str(drawn["unicode"]) == table.unicode
    assert len(drawn["word"]) > 700
    for c, low in drawn["lower"]:
        assert table.lower[c] == low
    assert sum(int(stop - first) for first, stop in drawn["word"]) == np.count_nonzero(table.lower)


@SAME_UNICODE
def test_every_seventh_code_point_alone_and_inside_a_word():
    points = [chr(c) for c in range(0, sys.maxunicode + 1, 7) if c >> 11 != 27]
    some = points + [f"a{c}b" for c in points]
    found = sketch(pa.array(some), signatures=True)
    stated = [" ".join(plain_words(text)) for text in some]
    expected = sketch(pa.array(stated), signatures=True)
    assert np.array_equal(found.words, [len(text.split()) for text in stated])
    assert np.array_equal(found.signatures, expected.signatures)
    assert np.array_equal(found.exact, expected.exact)


def test_rows_go_straight_into_datasketch_indexes():
    scheme = Scheme()
    base = texts(3, 1)[0] + " ".join(f"word{i % 211}" for i in range(400))
    some = [base, base + " tail", " ".join(f"other{i}" for i in range(300))]
    made = sketch(pa.array(some), scheme, signatures=True)
    index = MinHashLSH(num_perm=scheme.places, params=(scheme.bands, scheme.rows))
    for i, row in enumerate(made.signatures):
        index.insert(i, MinHash(hashvalues=row, scheme="affine32", seed=scheme.seed))
    assert sorted(index.query(minhash(base, scheme))) == [0, 1]
    lean = LeanMinHash(MinHash(hashvalues=made.signatures[0], scheme="affine32", seed=scheme.seed))
    assert lean.jaccard(LeanMinHash(minhash(some[1], scheme))) == np.mean(made.signatures[0] == made.signatures[1])


@pytest.mark.parametrize("places", [112, 117, 39, 1])
def test_draws_are_datasketchs_for_any_number_of_places(places):
    scheme = Scheme(bands=1, rows=places, seed=9)
    a, b = permutations(scheme)
    theirs = MinHash(num_perm=places, seed=9).permutations
    assert np.array_equal(a, theirs[0])
    assert np.array_equal(b, theirs[1])
    assert np.array_equal(
        sketch(pa.array(["one two three four five six seven"]), scheme, signatures=True).signatures[0],
        minhash("one two three four five six seven", scheme).hashvalues,
    )


@pytest.mark.parametrize("unit", ["word", "char", "auto"])
@pytest.mark.parametrize("ngram", [1, 5])
def test_numpy_and_every_arrow_layout_give_equal_numbers(unit, ngram):
    scheme = Scheme(unit=unit, ngram=ngram, bands=13, rows=3)
    some = [*texts(7, 250), None, "", "x" * 100, "y" * 17 + " " + "z" * 24, "word " * 5000, None]
    whole = pa.array(some)
    layouts = [
        whole,
        whole.cast(pa.large_string()),
        pa.chunked_array([whole[:100], whole[100:]]),
        whole.cast(pa.string_view()),
        whole.dictionary_encode(),
    ]
    first = sketch(whole, scheme, signatures=True)
    for layout in layouts:
        same(sketch(layout, scheme, signatures=True), first)
        assert np.array_equal(byte_hashes(layout)[0], byte_hashes(whole)[0])
    same(kernel_in_numpy.sketches(whole, scheme), first)
    assert np.array_equal(kernel_in_numpy.byte_hashes(whole), byte_hashes(whole)[0])
    part = sketch(whole[17:200], scheme, signatures=True)
    assert np.array_equal(part.signatures, first.signatures[17:200])
    assert np.array_equal(byte_hashes(whole[17:200])[0], byte_hashes(whole)[0][17:200])


def same(one, other):
    full = one.words > 0
    assert np.array_equal(one.words, other.words)
    assert np.array_equal(one.signatures, other.signatures)
    assert np.array_equal(one.exact, other.exact)
    assert np.array_equal(one.keys[full], other.keys[full])


@pytest.mark.parametrize("length", [50, 1000])  # shorter than a lane of the kernel, and many lanes
@pytest.mark.parametrize("damage", [0.01, 1])
def test_bytes_that_are_no_utf8_are_separators(length, damage):
    chance = np.random.default_rng(1)
    few = np.frombuffer("aé漢😀Σ b".encode() + bytes([0xED, 0xA0, 0xC0, 0xF8, 0xFF, 0x80, 0xF4, 0x90]), np.uint8)
    whole = "Слово и дело: 漢字かなカナ, ÉTÉ 😀 Ⱥⱥ. " * (60_000 // 57)
    data = np.frombuffer(whole.encode()[:50_000], np.uint8).copy()
    hit = chance.random(len(data)) < damage
    data[hit] = chance.choice(few, hit.sum())
    offsets = np.arange(0, 50_001, length)
    column = pa.Array.from_buffers(
        pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes())]
    )
    cuts = [data[a:b].tobytes() for a, b in itertools.pairwise(offsets)]
    replaced = pa.array([cut.decode("utf-8", "replace") for cut in cuts])
    for unit in ("word", "char", "auto"):
        scheme = Scheme(unit=unit)
        first = sketch(column, scheme, signatures=True)
        same(kernel_in_numpy.sketches(column, scheme), first)
        same(sketch(replaced, scheme, signatures=True), first)


def test_a_lane_that_begins_inside_nothing_begins_a_new_word():
    """Whole lanes of ASCII, then a byte that goes on where nothing began."""
    cuts = [b"a" * size + b"\x80" + "слово ".encode() * 40 for size in range(60, 70)]
    offsets = np.cumsum([0, *map(len, cuts)], dtype=np.int32)
    column = pa.StringArray.from_buffers(len(cuts), pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(cuts)))
    made = sketch(column, signatures=True)
    assert made.words.tolist() == [41] * len(cuts)
    same(kernel_in_numpy.sketches(column, Scheme()), made)


def test_the_end_of_a_buffer_is_never_passed():
    """The same document at the very end of its buffer and with text behind it."""
    for size in range(1, 140):
        text = "".join(chr(97 + i * 7 % 26) if i % 6 else " " for i in range(size))
        alone = pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(np.array([0, size], np.int32).tobytes()), pa.py_buffer(text.encode())]
        )
        followed = pa.array([text, "A behind B" * 30])[:1]
        same(sketch(alone, signatures=True), sketch(followed, signatures=True))
        assert np.array_equal(byte_hashes(alone)[0], byte_hashes(followed)[0])


BEHIND_A_WALL = """
import ctypes, mmap
import numpy as np, pyarrow as pa
from stages.hashing.sketch import byte_hashes, sketch

pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
wall = start + mmap.PAGESIZE
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(wall), mmap.PAGESIZE, 0) == 0  # whoever reads there dies
for word in (b"abcde ", "\u00e9t\u00e9 ".encode(), "\u6f22\u5b57".encode()):
    for size in range(1, 300):
        text = (word * size)[:size]
        ctypes.memmove(wall - size, text, size)
        offsets = pa.py_buffer(np.array([0, size], np.int32).tobytes())
        one = pa.StringArray.from_buffers(1, offsets, pa.foreign_buffer(wall - size, size))
        sketch(one)
        byte_hashes(one)
print("alive")
"""


def test_nothing_behind_a_buffer_is_read():
    """Behind it lies memory that must not be touched. In a process of its own, which would end."""
    run = subprocess.run([sys.executable, "-c", BEHIND_A_WALL], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "alive\n"), run.stderr


def test_documents_without_words_and_short_ones():
    made = sketch(pa.array(["", None, "... !!", "one two", "One, TWO!", "one two three"]), signatures=True)
    assert made.words.tolist() == [0, 0, 0, 2, 2, 3]
    assert (made.signatures[:3] == 0xFFFFFFFF).all()
    assert np.array_equal(made.signatures[3], made.signatures[4])
    assert np.array_equal(made.exact[3], made.exact[4])
    assert not np.array_equal(made.exact[3], made.exact[5])
    assert not (made.signatures[3] == made.signatures[5]).any()


def test_exact_hashes_see_order_and_every_byte():
    some = ["a b c d", "b a c d", "a b c d d", "a b c  d", "A b c d", "a b c dd"]
    by_words = sketch(pa.array(some), keys=False).exact
    assert len({row.tobytes() for row in by_words}) == 4
    by_bytes, sizes = byte_hashes(pa.array(some))
    assert len({row.tobytes() for row in by_bytes}) == 6
    assert sizes.tolist() == [7, 7, 9, 8, 7, 8]


def test_one_long_document_is_the_sum_of_its_shingles():
    """Longer than every section and chunk of the kernel; words that cross their borders included."""
    text = " ".join(f"w{i * i % 9973}{'x' * (i % 40)}" for i in range(60_000))
    made = sketch(pa.array([text]), signatures=True)
    assert made.words[0] == 60_000
    assert np.array_equal(made.signatures[0], minhash(text, Scheme()).hashvalues)


@pytest.mark.parametrize("unit", ["word", "char", "auto"])
def test_word_hashes_are_those_of_the_units(unit):
    """Lone surrogates too: they are separators."""
    for text in [*texts(11, 150), "a\ud800b", "x" * 10_000 + " y" * 5_000]:
        assert word_hashes(text, unit).tolist() == [token_hash(word.encode()) for word in words(text, unit)]


def test_text_of_another_type_is_refused():
    with pytest.raises(TypeError, match="int64"):
        sketch(pa.array([1, 2]))
