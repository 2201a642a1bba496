"""Quality models on pages of kinds they were trained on and of kinds they have never seen."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.curation.corpus import PIECE
from benchmarks.curation.peers import ROUNDS, _median
from stages.chance import draws, share_limit
from stages.fasttext_models import good_shares
from stages.quality.auc import auc
from stages.quality.drawing import LabelledLine
from stages.quality.fitting import Fit
from stages.quality.lines import Normaliser

ESSAYS = "anarchism"  # good pages of a kind that the manuals are not
JUNK_SOURCES = ("javadoc", "wordnet", "miscfiles", "changelogs")  # each in turn is the junk that no model has seen
LINES = Normaliser(3000, 20)
# measures of form, a minus where little of it is good: what `by_form` of recipes/nemotron-levels.yaml takes
FORM = (
    "rps_doc_stop_word_fraction", "-rps_doc_frac_no_alph_words", "-rps_doc_symbol_to_word_ratio",
    "-rps_doc_frac_all_caps_words", "-rps_doc_curly_bracket", "-rps_doc_frac_chars_top_2gram",
    "-rps_doc_frac_chars_top_3gram", "-rps_doc_frac_chars_dupe_5grams", "fineweb_line_ends", "-fineweb_short_lines",
    "-fineweb_newlines", "-fineweb_dup_line_chars",
)  # fmt: skip
JUNK = 0.1  # share of junk that may pass, where recall is taken


@dataclass
class Pages:
    """The beginnings of English pages: their texts, which are good, their sources, and whether each is tested on (else
    it is trained on), unseen."""

    text: list[str]
    good: np.ndarray
    source: np.ndarray
    tested: np.ndarray
    unseen: np.ndarray
    draw: np.ndarray

    @classmethod
    def of(cls, table: pa.Table, unseen: Sequence[str] = (), test_share: float = 0.2) -> Pages:
        english = table.filter(pa.compute.equal(table["lang"], "en"))
        ids, source = english["id"].to_pylist(), np.array(english["source"].to_pylist())
        drawn = draws(ids, 0, "benchmark")
        tested = draws(ids, 0, "benchmark test") < share_limit(test_share)
        good = np.array(english["good"].to_pylist())
        return cls(
            [text[:PIECE] for text in english["text"].to_pylist()],
            good,
            source,
            tested,
            np.isin(source, list(unseen)),
            drawn,
        )

    def table(self, rows: np.ndarray) -> pa.Table:
        return pa.table({"text": [self.text[i] for i in rows]})


def scores(pages: Pages) -> dict[str, np.ndarray]:
    """Model -> a score for every page, trained on the pages of the seen sources that are not for the test."""
    lines = [line or "" for line in LINES.lines(pa.array(pages.text))]
    train = np.flatnonzero(~pages.tested & ~pages.unseen)
    most = min(int(pages.good[train].sum()), int((~pages.good[train]).sum()))
    sides = [train[pages.good[train] == side] for side in (True, False)]
    chosen = np.concatenate([side[np.argsort(pages.draw[side])][:most] for side in sides])
    rows = chosen[np.argsort(pages.draw[chosen])]
    label = {True: "good", False: "bad"}
    documents = [LabelledLine(0, "", label[bool(pages.good[i])], lines[i], False, False) for i in rows]
    found = {}
    for name in ("word", "char"):
        model = Fit(name, 16, 200_000, None, 0.1).run(documents)  # pyright: ignore[reportArgumentType]
        found[name] = good_shares(model, lines).astype(np.float64)
    usual = form(pages.text, rows[pages.good[rows]])
    best = np.maximum(rank(found["char"]), rank(usual))
    return {**found, "form": usual, "ensemble": best}


def form(texts: Sequence[str], good: np.ndarray) -> np.ndarray:
    """The rank of a page's worst measure of form among some good ones (`ensemble` with `among` and `rule: min`)."""
    from stages.clean.fineweb_quality import FinewebQuality
    from stages.clean.signals import Signals
    from stages.read.read import Read

    table, docs = pa.table({"text": pa.array(texts)}), Read(paths=("unread",))
    scores = {**Signals(docs=docs)._signals(table), **FinewebQuality(docs=docs)._scores(table["text"])}
    ranks = []
    for name in FORM:
        values = pa.array(scores[name.removeprefix("-")]).to_numpy(zero_copy_only=False).astype(np.float64)
        values = np.nan_to_num(values) * (-1 if name[0] == "-" else 1)
        among = np.sort(values[good])
        ranks.append(sum(np.searchsorted(among, values, side=side) for side in ("left", "right")) / (2 * len(among)))
    return np.min(ranks, axis=0)


def rank(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(values)


def judged(pages: Pages, score: np.ndarray, rows: np.ndarray) -> tuple[float | None, float]:
    """(AUC, share of good pages kept where `JUNK` of the others pass) among some rows."""
    good, bad = score[rows][pages.good[rows]], score[rows][~pages.good[rows]]
    return auc(good, bad), float((good > np.quantile(bad, 1 - JUNK)).mean())


def kept_of(pages: Pages, score: np.ndarray, source: str) -> float:
    """Share kept of a source, at the threshold that `JUNK` of the tested junk of seen sources passes."""
    cut = np.quantile(score[pages.tested & ~pages.unseen & ~pages.good], 1 - JUNK)
    return float((score[pages.source == source] > cut).mean())


def speed(pages: Pages) -> dict[str, float]:
    """Documents per CPU second: our node's function, and the model alone on the lines it is given."""
    texts = pa.table({"text": pages.text})
    lines = [line for line in LINES.lines(texts["text"]) if line is not None]
    train = [
        LabelledLine(0, "", "good" if pages.good[i] else "bad", lines[i][:3000], False, False)
        for i in range(len(lines))
    ]
    found = {}
    for name in ("word", "char"):
        model = Fit(name, 16, 200_000, 5, 0.1).run(train[::4])  # pyright: ignore[reportArgumentType]

        def ours(model: Any = model) -> None:
            good_shares(model, [line for line in LINES.lines(texts["text"]) if line is not None])

        for label, work in ((name, ours), (f"{name}, fastText alone", lambda model=model: model.predict(lines, k=-1))):
            work()
            found[label] = len(lines) / _median(work, ROUNDS)
    return found


def for_chain(pages: pa.Table, labelled: pa.Table, folder: Path, many: int) -> tuple[Path, Path]:
    """(Parquet file of English pages, classifier of words that was trained on the other labelled ones) for `chain`."""
    import pyarrow.parquet as pq

    def english(table: pa.Table) -> pa.Table:
        found = table.filter(pa.compute.equal(table["lang"], "en"))
        return found.take(np.argsort(draws(found["id"].to_pylist(), 0, "chain")))

    chosen = english(pages)[:many].select(["id", "text"])
    pq.write_table(chosen, folder / "text.parquet", row_group_size=1000)
    rest = english(labelled)
    rest = rest.filter(pa.compute.invert(pa.compute.is_in(rest["id"], chosen["id"].combine_chunks())))
    rows = zip(LINES.lines(rest["text"]), rest["good"].to_pylist(), strict=True)
    documents = [LabelledLine(0, "", "good" if good else "bad", line, False, False) for line, good in rows if line]
    Fit("word", 16, 200_000, None, 0.1).run(documents).save_model(str(folder / "model.bin"))
    return folder / "text.parquet", folder / "model.bin"


def encoding(texts: Sequence[str]) -> tuple[dict[str, float], float, float]:
    """MB of text per CPU second of each way; share of texts with equal ids; share with a text that both encode.

    One of our own tokenizers with 32,768 tokens, trained on every fifth text.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import pre_tokenizers, trainers

    from stages.tokens.encoder import MAY_PART, Encoder
    from stages.tokens.kitoken_library import kitoken
    from stages.tokens.tokenizer import untrained

    made = untrained()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(texts[::5], trainers.BpeTrainer(vocab_size=32_768, initial_alphabet=alphabet))
    ours, alone = Encoder(made.to_str()), kitoken().Kitoken.from_tokenizers(made.to_str().encode())
    size = sum(len(text.encode()) for text in texts) / 1e6
    ways = {
        "ours": lambda: ours.encode(texts),
        "kitoken": lambda: alone.encode_all(list(texts), False),
        "tokenizers": lambda: made.encode_batch_fast(list(texts), add_special_tokens=False),
        "tokenizers, one by one": lambda: [made.encode(text, add_special_tokens=False) for text in texts],
    }
    found, speed = {}, dict.fromkeys(ways, 0.0)
    for _ in range(3):
        for name, encode in ways.items():
            start = time.process_time()
            found[name] = encode()
            speed[name] = max(speed[name], size / (time.process_time() - start))
    wanted = [one.ids for one in found["tokenizers"]]
    equal = sum(np.array_equal(ids, others) for ids, others in zip(found["ours"], wanted, strict=True)) / len(texts)
    return speed, equal, sum(MAY_PART.search(text) is not None for text in texts) / len(texts)
