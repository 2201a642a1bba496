"""One walk over the text of a batch: its words, its lines, and the counts of each document for the rules.

A word is kept as two 64-bit hashes of its code points, one as written (`exact`) and one in lower case (`folded`):
rules compare words of one document, or words with a list of some hundred, where a chance collision (below 1e-9 for a
document of 100,000 words) matters less than the memory of a dictionary of strings.

`stages.clean.cut` says what the columns of the arrays mean and makes them.
"""

import numpy as np
from numba import boolean, float64, int32, int64, uint8, uint16, uint32, uint64, void
from numba.types import UniTuple

from stages.loops.compile import inner, loop, read

U1, U29, U32 = np.uint64(1), np.uint64(29), np.uint64(32)
SEED, MIX = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15)

TEXT, PLACES, FLAGS, HASHES = read(uint8), read(int64), read(uint16), read(uint64)

# bits of a character
SPACE, LETTER, WORD, MARK, ALONE, UPPER, DIGIT, END, CLOSER = 1, 2, 4, 8, 16, 32, 64, 128, 256
# how a document is cut: at white space, or into runs of word characters with single characters of unspaced scripts
AT_SPACE, RUNS = 0, 1
# bits of a word
HAS_LETTER, IS_ALONE, HAS_LOWER = 1, 2, 4

A, Z = 97, 122
NEWLINE, HASH, DOT, ELLIPSIS, APOSTROPHE, QUOTE = 10, 35, 46, 0x2026, 39, 0x2019
UNDER = np.uint64(APOSTROPHE)
WIDE = 0x3000  # ideographic and full-width punctuation begins here
LONGEST_ABBREVIATION = 5  # characters, the dot included
BLOCK = 256  # bytes compared between two looks at the result


@inner
def finished(h):
    """A hash whose every bit depends on every character; never 0, which stands for an empty place."""
    h ^= h >> U32
    h *= MIX
    h ^= h >> U29
    return h if h != np.uint64(0) else U1


@inner
def decode(data, at):
    """(code point, bytes) of the character at a place of valid UTF-8."""
    b = np.int64(data[at])
    if b < 0x80:
        return b, 1
    if b < 0xE0:
        return ((b & 0x1F) << 6) | (np.int64(data[at + 1]) & 0x3F), 2
    if b < 0xF0:
        return ((b & 0xF) << 12) | ((np.int64(data[at + 1]) & 0x3F) << 6) | (np.int64(data[at + 2]) & 0x3F), 3
    high = ((b & 7) << 18) | ((np.int64(data[at + 1]) & 0x3F) << 12)
    return high | ((np.int64(data[at + 2]) & 0x3F) << 6) | (np.int64(data[at + 3]) & 0x3F), 4


@loop(void(TEXT, PLACES, FLAGS, float64, boolean[::1]))
def unspaced(data, offsets, flags, share, out):
    """Whether more than `share` of a document's letters belong to scripts without spaces; bool [D]."""
    for d in range(len(offsets) - 1):
        start, stop = offsets[d], offsets[d + 1]
        long = plain = 0
        for i in range(start, stop):
            long += data[i] >= 0xE0
            plain += np.uint8((data[i] | np.uint8(0x20)) - np.uint8(A)) < 26
        if long <= share * plain:  # each has one such byte, and these letters alone are too many
            out[d] = False
            continue
        letters = alone = 0
        at = start
        while at < stop:
            c, width = decode(data, at)
            at += width
            f = flags[c]
            letters += (f & LETTER) != 0
            alone += (f & ALONE) != 0
        out[d] = alone > share * letters


@loop(uint64(TEXT, read(uint32)))
def hash_of(word, lower):
    """The `folded` hash of an ASCII word."""
    low = SEED
    for c in word:
        low = (low ^ np.uint64(lower[c])) * MIX
    return finished(low)


@inner
def shortened(low, size, abbreviated):
    """Whether the word so far, its dot included, is one of the abbreviations (hashes of them in lower case)."""
    if size <= LONGEST_ABBREVIATION:
        h = finished(low)
        for i in range(len(abbreviated)):
            if abbreviated[i] == h:
                return True
    return False


@loop(UniTuple(int64, 2)(
    TEXT, PLACES, FLAGS, read(uint32), HASHES, PLACES, uint64[::1], uint64[::1], int32[::1], uint8[::1], int64[::1],
    int64[:, ::1], int32[:, ::1], int64[::1], int64[:, ::1],
))  # fmt: skip
def cut(
    data, offsets, flags, lower, abbreviated, modes, exact, folded, lengths, kinds, word_starts, line_bytes, line_facts,
    line_starts, facts,
):  # fmt: skip
    """Fill the arrays of `stages.clean.cut.Cut`; how many words and lines there are."""
    w = n = 0
    for d in range(len(offsets) - 1):
        stop, runs = offsets[d + 1], modes[d] == RUNS
        word_starts[d], line_starts[d] = w, n
        chars = hashes = ellipses = letters = digits = 0
        e, low, size, kind, pending = SEED, SEED, 0, 0, 0  # the word that is open
        at = offsets[d]
        first_word, line_at, line_chars, upper, line_digits, longest = w, at, 0, 0, 0, 0
        inner_at, inner_stop, before, through, first, last = at, at, 0, 0, -1, -1  # without the white space around it
        run, dots, sentences, ended, boundary = 0, 0, 0, 0, at
        while at <= stop:
            if size > 0 and pending == 0 and ended == 0:  # most characters: small letters of ASCII inside a word
                began = at
                while at < stop and A <= data[at] <= Z:
                    e, low = (e ^ np.uint64(data[at])) * MIX, (low ^ np.uint64(data[at])) * MIX
                    at += 1
                if at > began:
                    taken = at - began
                    kind |= HAS_LETTER | HAS_LOWER
                    size, chars, letters = size + taken, chars + taken, letters + taken
                    line_chars += taken
                    last, inner_stop, through, dots, run = np.int64(data[at - 1]), at, line_chars, 0, 0
            if at < stop:
                c, width = decode(data, at)
            else:
                c, width = NEWLINE, 1  # the last line ends with the document
            f = flags[c]
            space = (f & SPACE) != 0
            quote = c == APOSTROPHE or c == QUOTE
            alone = runs and (f & ALONE) != 0
            inside = not space if not runs else (f & WORD) != 0 and not alone
            if inside and not (runs and size == 0 and (f & MARK) != 0):
                for _ in range(pending):  # apostrophes inside a word belong to it
                    e, low, size = (e ^ UNDER) * MIX, (low ^ UNDER) * MIX, size + 1
                pending = 0
                e, low, size = (e ^ np.uint64(c)) * MIX, (low ^ np.uint64(lower[c])) * MIX, size + 1
                if f & LETTER:
                    kind |= HAS_LETTER if f & UPPER else HAS_LETTER | HAS_LOWER
            elif runs and quote and size:
                pending += 1
            else:
                if size:
                    exact[w], folded[w], lengths[w], kinds[w] = finished(e), finished(low), size, kind
                    longest = max(longest, size)
                    w += 1
                    e, low, size, kind = SEED, SEED, 0, 0
                pending = 0
                if alone:
                    h = finished((SEED ^ np.uint64(c)) * MIX)
                    exact[w], folded[w], lengths[w], kinds[w] = h, h, 1, HAS_LETTER | HAS_LOWER | IS_ALONE
                    w += 1
            if c != NEWLINE:
                chars += 1
                line_chars += 1
                hashes += c == HASH
                letters += (f & LETTER) != 0
                digits += (f & DIGIT) != 0
                line_digits += (f & DIGIT) != 0
                upper += (f & UPPER) != 0
                run = run + 1 if c == DOT else 0
                ellipses += (c == DOT and run % 3 == 0) or c == ELLIPSIS
                if not space:
                    if first < 0:
                        first, inner_at, boundary, before = c, at, at, line_chars - 1
                    last, inner_stop, through, dots = c, at + width, line_chars, run
                if f & END:
                    # the dot of an initial or a title ends no sentence
                    if c == DOT and run == 1 and ended == 0 and (size == 2 or shortened(low, size, abbreviated)):
                        pass
                    else:
                        ended = 2 if c > WIDE else max(ended, 1)
                elif ended and (f & CLOSER) == 0:
                    if space or ended == 2:  # ideographic marks end a sentence without white space behind them
                        sentences, boundary = sentences + 1, at
                    ended = 0
                at += width
                continue
            sentences += ended > 0 or inner_stop > boundary
            line_bytes[n, 0], line_bytes[n, 1], line_bytes[n, 2] = line_at, at, inner_at
            line_bytes[n, 3], line_bytes[n, 4] = inner_stop, first_word
            line_facts[n, 0], line_facts[n, 1], line_facts[n, 2] = line_chars, through - before, upper
            line_facts[n, 3], line_facts[n, 4], line_facts[n, 5] = line_digits, first, last
            line_facts[n, 6], line_facts[n, 7], line_facts[n, 8] = dots, longest, sentences
            n += 1
            chars += at < stop
            at += 1
            first_word, line_at, line_chars, upper, line_digits, longest = w, at, 0, 0, 0, 0
            inner_at, inner_stop, before, through, first, last = at, at, 0, 0, -1, -1
            run, dots, sentences, ended, boundary = 0, 0, 0, 0, at
        facts[d, 0], facts[d, 1], facts[d, 2], facts[d, 3], facts[d, 4] = chars, hashes, ellipses, letters, digits
    word_starts[len(offsets) - 1], line_starts[len(offsets) - 1] = w, n
    return w, n


@loop(boolean(TEXT, PLACES, PLACES, TEXT, PLACES, PLACES, int64[::1]))
def part_of(data, starts, stops, whole, whole_starts, whole_stops, out):
    """Whether the documents are some of another batch, in its order, byte for byte; their places there into `out`."""
    k = 0
    for d in range(len(starts)):
        size = stops[d] - starts[d]
        found = False
        while k < len(whole_starts) and not found:
            if whole_stops[k] - whole_starts[k] == size:
                different = 0
                a, b = starts[d], whole_starts[k]
                for i in range(0, size, BLOCK):
                    for j in range(i, min(i + BLOCK, size)):
                        different |= data[a + j] ^ whole[b + j]
                    if different:
                        break
                found = different == 0
            k += 1
        if not found:
            return False
        out[d] = k - 1
    return True


@loop(void(HASHES, PLACES, PLACES, PLACES, read(uint64, 2), int64[::1], int64[::1]))
def listed(folded, starts, stops, rows, table, found, distinct):
    """How many words of a document stand in its row of `table`, uint64 [lists, 64 places], and how many distinct ones.

    rows: int64 [D], the row for each document, -1: none.
    """
    for d in range(len(starts)):
        row = rows[d]
        count, bits = 0, np.uint64(0)
        if row >= 0:
            for i in range(starts[d], stops[d]):
                place = np.int64(folded[i] & np.uint64(63))
                while table[row, place] != np.uint64(0):
                    if table[row, place] == folded[i]:
                        count += 1
                        bits |= U1 << np.uint64(place)
                        break
                    place = (place + 1) & 63
        found[d] = count
        many = 0
        while bits:
            bits &= bits - U1
            many += 1
        distinct[d] = many
