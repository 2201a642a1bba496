"""The two kinds of words in which RedPajama-v2's signals count, and its sentences.

Raw words are those of NLTK's WordPunctTokenizer, `\\w+|[^\\w\\s]+`: runs of letters, digits and `_`, and runs of other
signs. Normalised words are what stands between white space when the punctuation of ASCII is taken out of it and
capitals are made small; their characters are those of the form NFD. Sentences are those of `\\b[^.!?]+[.!?]*`.
"""

import numpy as np
from numba import int32, int64, uint8, uint32, uint64, void

from stages.loops.compile import inner, loop, read
from stages.loops.cuts import FLAGS, LETTER, MARK, MIX, PLACES, SEED, SPACE, TEXT, UPPER, WORD, decode, finished

UNDERLINE = 95
SPACES, LETTERS, SIGNS = 0, 1, 2  # what a raw word is made of


@inner
def in_table(table, row, h):
    """Whether a row of a table in open addressing, 64 places, holds a hash."""
    place = np.int64(h & np.uint64(63))
    while table[row, place] != np.uint64(0):
        if table[row, place] == h:
            return True
        place = (place + 1) & 63
    return False


@inner
def is_latin(c):
    return 65 <= c <= 90 or 97 <= c <= 122


@inner
def is_punctuation(c):
    """Whether a character is one of `string.punctuation`."""
    return 33 <= c <= 47 or 58 <= c <= 64 or 91 <= c <= 96 or 123 <= c <= 126


@loop(void(TEXT, PLACES, FLAGS, read(uint64, 2), PLACES, int64[:, ::1]))
def raw_words(data, offsets, flags, stop_words, rows, found):
    """Of each document, int64 [D, 5]: raw words, those with a Latin letter, those all in capitals, those that are stop
    words as they are written, and sentences.

    stop_words, rows: as in `cuts.listed`.
    """
    for d in range(len(offsets) - 1):
        words = latin = capitals = stops = sentences = 0
        open_kind, h, any_latin, any_upper, any_small, wordy = SPACES, SEED, False, False, False, False
        at, stop = offsets[d], offsets[d + 1]
        while at <= stop:
            c, width, kind, f = 0, 1, SPACES, 0
            if at < stop:
                c, width = decode(data, at)
                f = np.int64(flags[c])
                if (f & WORD and f & MARK == 0) or c == UNDERLINE:
                    kind = LETTERS
                elif f & SPACE == 0:
                    kind = SIGNS
            if kind != open_kind:
                if open_kind != SPACES:
                    words += 1
                    latin += any_latin
                    capitals += any_upper and not any_small
                    if open_kind == LETTERS and rows[d] >= 0:
                        stops += in_table(stop_words, rows[d], finished(h))
                open_kind, h, any_latin, any_upper, any_small = kind, SEED, False, False, False
            if kind == LETTERS:
                h = (h ^ np.uint64(c)) * MIX
                any_latin |= is_latin(c)
                any_upper |= f & UPPER != 0
                any_small |= f & LETTER != 0 and f & UPPER == 0
            if at == stop or c == 46 or c == 33 or c == 63:  # . ! ?
                sentences += wordy
                wordy = False
            else:
                wordy |= kind == LETTERS
            at += width
        found[d, 0], found[d, 1], found[d, 2], found[d, 3], found[d, 4] = words, latin, capitals, stops, sentences


@loop(int64(TEXT, PLACES, FLAGS, read(uint32), read(uint8), uint64[::1], int32[::1], int64[::1]))
def normalised_words(data, offsets, flags, lower, decomposed, words, lengths, starts):
    """The hash of every normalised word, its characters, and where each document's begin, int64 [D + 1]; how many.

    decomposed: uint8 [0x110000], the characters of a character in the form NFD.
    """
    w = 0
    for d in range(len(offsets) - 1):
        starts[d] = w
        h, size = SEED, 0
        at, stop = offsets[d], offsets[d + 1]
        while at <= stop:
            c, width, space = 0, 1, True
            if at < stop:
                c, width = decode(data, at)
                space = flags[c] & SPACE != 0
            if space:
                if size:
                    words[w], lengths[w] = finished(h), size
                    w += 1
                    h, size = SEED, 0
            elif not is_punctuation(c):
                small = lower[c]
                h, size = (h ^ np.uint64(small)) * MIX, size + decomposed[small]
            at += width
    starts[len(offsets) - 1] = w
    return w
