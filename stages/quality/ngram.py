"""An n-gram language model with modified Kneser-Ney smoothing, in numpy: counts, ARPA files, and log-probabilities.

The estimate is the interpolated one of Chen and Goodman (1998, section 4.1.6), as KenLM's `lmplz` makes it: three
discounts an order from the counts of counts, continuation counts below the highest order (raw counts for n-grams that
begin a sentence, which nothing can precede), and a uniform share for unknown words under the single words.

An n-gram is a number: its place in the sorted list of all n-grams of its order. The key of an n-gram is
`place of its first n - 1 words * vocabulary + last word`, so all lookups are binary searches over int64, and a whole
text is scored by a few of them.

Letters: n words of an order, m n-grams of it, t words of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
SPECIAL = (UNKNOWN, BEGIN, END)  # ids 0, 1, 2
MISSING = -1
NEVER = -99.0  # log10 of the probability that `<s>` is generated, as ARPA files write it


@dataclass(frozen=True)
class NgramOrder:
    """The n-grams of one order, ascending by key.

    keys      int64 [m]
    logp      float32 [m], log10 of the probability of the last word behind the others
    backoff   float32 [m], log10 of the weight of the lower order behind this n-gram; zeros in the highest order
    """

    keys: np.ndarray
    logp: np.ndarray
    backoff: np.ndarray

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Places of keys, `MISSING` where there is none; a negative key is in no order."""
        at = np.searchsorted(self.keys, keys)
        at[at == len(self.keys)] = 0
        return np.where((keys >= 0) & (self.keys[at] == keys), at, MISSING) if len(self.keys) else np.full_like(at, -1)


@dataclass(frozen=True)
class NgramModel:
    """`words` by id, the special ones first; `orders[0]` are single words."""

    words: tuple[str, ...]
    orders: tuple[NgramOrder, ...]

    def ids(self, words: Sequence[str]) -> np.ndarray:
        """int64 ids; unknown words are 0."""
        known = self.__dict__.get("_ids")
        if known is None:
            known = _numbers(self.words)
            object.__setattr__(self, "_ids", known)
        return np.array([known.get(word, 0) for word in words], np.int64)

    def log10(self, words: Sequence[str]) -> np.ndarray:
        """float64 `[len(words) + 1]`: log10 probability of every word of a sentence, and of its end."""
        ids = np.concatenate([[1], self.ids(words), [2]])
        vocabulary, order = len(self.words), len(self.orders)
        # places[k][i]: the (k+1)-gram that ends at word i
        places = [ids]
        for k in range(1, order):
            before = np.concatenate([[MISSING], places[-1][:-1]])
            keys = np.where(before >= 0, before * vocabulary + ids, MISSING)
            places.append(self.orders[k].find(keys))
        total = np.zeros(len(ids))
        found = np.zeros(len(ids), bool)
        for k in range(order - 1, -1, -1):
            here = ~found & (places[k] >= 0)
            total[here] += self.orders[k].logp[places[k][here]]
            found |= here
            if k:  # back off: the weight of the context of k words that ends before
                context = np.concatenate([[MISSING], places[k - 1][:-1]])
                back = ~found & (context >= 0)
                total[back] += self.orders[k - 1].backoff[context[back]]
        return total[1:]

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> float | None:
        """Of all sentences together, their ends included; None when there is none."""
        scores = [self.log10(words) for words in sentences]
        return float(10.0 ** -np.concatenate(scores).mean()) if scores else None


def estimate(sentences: Iterable[Sequence[str]], order: int, min_count: int = 1) -> NgramModel:
    """A model of the sentences. Words seen fewer than `min_count` times are unknown, and share what they have together.

    Raises ValueError when there is no sentence. With too little text to estimate the discounts of an order (a count of
    counts is zero), it takes 0.5, 1 and 1.5, as lmplz does when told to fall back.
    """
    texts = [list(words) for words in sentences]
    if not texts:
        raise ValueError("no sentence to count")
    counted: dict[str, int] = {}
    for words in texts:
        for word in words:
            counted[word] = counted.get(word, 0) + 1
    kept = sorted(word for word, count in counted.items() if count >= min_count and word not in SPECIAL)
    words = (*SPECIAL, *kept)
    known = _numbers(words)
    stream = np.concatenate([np.array([1, *(known.get(w, 0) for w in words_), 2], np.int64) for words_ in texts])
    starts = stream == 1
    counts = _count(stream, starts, order, len(words))
    return NgramModel(words, _shared(_smooth(counts, len(words)), len(words), len(counted.keys() - set(kept))))


def _shared(orders: tuple[NgramOrder, ...], vocabulary: int, unknown: int) -> tuple[NgramOrder, ...]:
    """Give each of so many unknown words its share of what they have together. Without it rare words, which are many,
    are one frequent word, and a list of names is the most likely text of all.
    """
    share = np.float32(np.log10(max(unknown, 1)))
    return tuple(
        NgramOrder(of.keys, np.where(of.keys % vocabulary == 0, of.logp - share, of.logp), of.backoff) for of in orders
    )


def _numbers(words: Sequence[str]) -> dict[str, int]:
    """The ids of words that a text may hold: one that is spelled as a special one is not that one, but unknown."""
    return {word: i for i, word in enumerate(words) if i >= len(SPECIAL)}


@dataclass(frozen=True)
class _Counts:
    """Of one order: sorted keys, raw counts, place of the first n - 1 words, place of the last n - 1 words."""

    keys: np.ndarray
    raw: np.ndarray
    prefix: np.ndarray
    suffix: np.ndarray


def _count(stream: np.ndarray, starts: np.ndarray, order: int, vocabulary: int) -> list[_Counts]:
    """Counts of all orders. No n-gram crosses the end of a sentence."""
    sentence = np.cumsum(starts)
    raw = np.bincount(stream, minlength=vocabulary)
    nothing = np.full(vocabulary, MISSING, np.int64)
    orders = [_Counts(np.arange(vocabulary, dtype=np.int64), raw, nothing, nothing)]
    places = stream
    for n in range(2, order + 1):
        whole = np.zeros(len(stream), bool)
        whole[n - 1 :] = sentence[n - 1 :] == sentence[: len(stream) - n + 1]
        before = np.concatenate([[MISSING], places[:-1]])
        keys, at, raw = np.unique(before[whole] * vocabulary + stream[whole], return_inverse=True, return_counts=True)
        prefix, last = np.divmod(keys, vocabulary)
        below = orders[-1]
        if n == 2:
            suffix = last
        else:  # without its first word: the suffix of the prefix, then the last word
            suffix = np.searchsorted(below.keys, below.suffix[prefix] * vocabulary + last)
        orders.append(_Counts(keys, raw, prefix, suffix))
        places = np.full(len(stream), MISSING, np.int64)
        places[whole] = at
    return orders


def _smooth(counts: list[_Counts], vocabulary: int) -> tuple[NgramOrder, ...]:
    adjusted = [_adjusted(counts, k, vocabulary) for k in range(len(counts))]
    made: list[NgramOrder] = []
    lower = np.full(vocabulary, 1.0 / (vocabulary - 1))  # `<s>` is never generated
    for k, (of, count) in enumerate(zip(counts, adjusted, strict=True)):
        discounts = _discounts(count)
        taken = discounts[np.minimum(count, 3)]
        if k == 0:
            total = np.array([float(count.sum())])
            context = np.zeros(len(count), np.int64)
        else:
            context = of.prefix
            total = np.bincount(context, count, len(counts[k - 1].keys)).astype(float)
        left = np.bincount(context, taken * (count > 0), len(total))
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(total > 0, left / total, 1.0)
            share = np.where(total[context] > 0, (count - taken * (count > 0)) / total[context], 0.0)
        p = share + weight[context] * (lower if k == 0 else lower[of.suffix])
        if k:
            previous = made[-1]
            made[-1] = NgramOrder(previous.keys, previous.logp, np.log10(np.maximum(weight, 1e-99)).astype(np.float32))
        logp = np.log10(np.maximum(p, 1e-99)).astype(np.float32)
        if k == 0:
            logp[1] = NEVER
        made.append(NgramOrder(of.keys, logp, np.zeros(len(of.keys), np.float32)))
        lower = p
    return tuple(made)


def _adjusted(counts: list[_Counts], k: int, vocabulary: int) -> np.ndarray:
    """Counts that the estimate of an order uses: how many words precede an n-gram, or how often it was seen."""
    of = counts[k]
    if k == len(counts) - 1:
        found = of.raw.astype(np.int64)
    else:
        found = np.bincount(counts[k + 1].suffix, minlength=len(of.keys)).astype(np.int64)
        begins = _first_word(counts, k) == 1
        found[begins] = of.raw[begins]
    if k == 0:
        found[1] = 0  # `<s>` is context only
    return found


def _first_word(counts: list[_Counts], k: int) -> np.ndarray:
    places = np.arange(len(counts[k].keys), dtype=np.int64)
    for n in range(k, 0, -1):
        places = counts[n].prefix[places]
    return places


def _discounts(count: np.ndarray) -> np.ndarray:
    """float64 `[4]`: the discount of a count of 0, 1, 2, and 3 or more."""
    n1, n2, n3, n4 = (int((count == c).sum()) for c in (1, 2, 3, 4))
    if min(n1, n2, n3, n4) == 0:
        return np.array([0.0, 0.5, 1.0, 1.5])
    y = n1 / (n1 + 2 * n2)
    found = np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    bad = (found < 0).any() or (found > np.arange(4)).any()
    return np.array([0.0, 0.5, 1.0, 1.5]) if bad else found


# ---------------------------------------------------------------------------------------------------------------------
# ARPA


def write_arpa(model: NgramModel, path: Path) -> None:
    """The text format that KenLM and SRILM read."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        for n, order in enumerate(model.orders, 1):
            file.write(f"ngram {n}={len(order.keys)}\n")
        for n, order in enumerate(model.orders, 1):
            file.write(f"\n\\{n}-grams:\n")
            for text, logp, backoff in zip(_texts(model, n), order.logp, order.backoff, strict=True):
                tail = f"\t{backoff:.7g}" if n < len(model.orders) else ""
                file.write(f"{logp:.7g}\t{text}{tail}\n")
        file.write("\n\\end\\\n")


def _texts(model: NgramModel, n: int) -> Iterator[str]:
    places, columns = np.arange(len(model.orders[n - 1].keys)), []
    for k in range(n - 1, 0, -1):
        places, last = np.divmod(model.orders[k].keys[places], len(model.words))
        columns.append(last)
    columns.append(places)
    words = np.array(model.words, object)
    yield from map(" ".join, zip(*(words[column] for column in reversed(columns)), strict=True))


def save(model: NgramModel, path: Path) -> None:
    """The arrays as they are (`.npz`), which load without parsing; the same bytes for the same model."""
    import json
    import zipfile

    arrays = {
        f"{name}{n}": getattr(of, name) for n, of in enumerate(model.orders) for name in ("keys", "logp", "backoff")
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        entries = {"words.json": json.dumps(model.words, ensure_ascii=False).encode()}
        for name, array in arrays.items():
            entries[f"{name}.{array.dtype.str[1:]}"] = np.ascontiguousarray(array).tobytes()
        for name, data in entries.items():  # a fixed date: a clock must not be in the bytes
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def load(path: Path) -> NgramModel:
    """What `save` wrote."""
    import json
    import zipfile

    with zipfile.ZipFile(path) as archive:
        words = tuple(json.loads(archive.read("words.json")))
        orders, n = [], 0
        while f"keys{n}.i8" in archive.namelist():
            read = {name: np.frombuffer(archive.read(f"{name}{n}.{kind}"), f"<{kind}")
                    for name, kind in (("keys", "i8"), ("logp", "f4"), ("backoff", "f4"))}  # fmt: skip
            orders.append(NgramOrder(**read))
            n += 1
    return NgramModel(words, tuple(orders))
