"""`python -m benchmarks.curation [--small] [--corpus tuned|unseen] [--only ROW,...] [--json FILE] [--cache FOLDER]`

Builds the corpus, runs our rule sets and datatrove's filters on the same English pages in one process, and prints CPU a
document, verdicts side by side, the share of pages that stays per language, quality models on seen and unseen kinds of
pages, what a small language model makes of their choice, a whole recipe run three ways, a corpus that grows and one
that is larger than memory, HTML to text, encoding, the whole chain against datatrove's, and the acceptance rows.
`--small`: 100 pages for the peers and one round, else 300 and three. `--only C-3,C-6` measures some of them. The peers
need the extra `parity`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks.curation import arms, extraction, languages, other_junk, peers, quality, runs, whole
from benchmarks.curation.corpus import CORPORA, EIGHT, UNSEEN, build
from benchmarks.dedup.records import Records, say

ROWS = (*(f"C-{number}" for number in range(1, 11)), "encoding", "chain")
UNLABELLED = ("C-1", "C-8", "C-10", "encoding", "chain")  # what pages without a label can show
GROWN = {"first": "20 files", "more": "a 21st", "fresh": "all anew"}
LEAST_GAIN = {"random - cascade": 0.25, "word - cascade": 0.08}  # bits per byte


def main() -> None:
    wish = argparse.ArgumentParser(prog="benchmarks.curation")
    wish.add_argument("--small", action="store_true")
    wish.add_argument("--json", type=Path)
    wish.add_argument(
        "--only", help=f"rows, commas between, of {', '.join(ROWS)}; all that the corpus allows without it"
    )
    wish.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "siftloom-curation")
    wish.add_argument("--corpus", choices=CORPORA, default="tuned", help="unseen: packages that no rule was set on")
    wish = wish.parse_args()
    rows = UNLABELLED if wish.corpus == "unseen" else ROWS
    records, only = Records(), set(wish.only.split(",") if wish.only else rows)
    if unlabelled := sorted(only - set(UNLABELLED)) if wish.corpus == "unseen" else []:
        raise SystemExit(
            f"{', '.join(unlabelled)}: needs pages with labels, and the corpus `unseen` has none; expected some of "
            f"{', '.join(UNLABELLED)}"
        )
    if "C-10" in only:
        pages_to_text(records, wish.cache, wish.corpus)
    pages = build(wish.cache, wish.corpus)
    good = sum(pages["good"].to_pylist())
    say(f"corpus: {wish.corpus}, {len(pages):,} pages, {good:,} good ones; {pages['text'].nbytes / 1e6:.0f} MB")
    say(f"machine: {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; {languages.now()}; all in this one process")
    english = [
        text for text, lang in zip(pages["text"].to_pylist(), pages["lang"].to_pylist(), strict=True) if lang == "en"
    ]
    english = english[:: max(len(english) // (100 if wish.small else 300), 1)]
    if "C-5" in only:
        kept(records, pages)
    if "C-2" in only:
        identification(records, english)
    if only & {"C-2", "C-3"}:
        models(records, pages, only, wish.cache)
    if "C-6" in only:
        choices(records, wish.cache)
    if only & {"C-4", "C-7"}:
        recipe(records)
    if "C-8" in only:
        for where in ("here", "ray"):
            growth(records, wish.cache, wish.corpus, where, copies=1 if wish.small else 4)
    if "C-9" in only:
        more_than_memory(records, wish.cache)
    if "encoding" in only:
        encoding(records, pages)
    if "chain" in only:
        whole_chain(records, pages, build(wish.cache), 300 if wish.small else 1000)
    if "C-1" in only:
        rule_sets(records, english, rounds=1 if wish.small else 3)
    say("\nrows")
    for row in records.rows:
        said = "holds" if row["holds"] else "MISSED"
        say(f"{row['row']:6} {said:7} {row['what']}: {row['value']} {row['unit']} (must be {row['must']})")
    if wish.json:
        wish.json.write_text(json.dumps(records.rows, indent=1) + "\n")


def rule_sets(records: Records, texts: list[str], rounds: int) -> None:
    """C-1."""
    mean = sum(map(len, texts)) / len(texts)
    say(f"\n{len(texts):,} English pages of {mean:,.0f} characters; us of CPU a document")
    say(f"{'':18} datatrove    ours      x  shared   equal   its words      x   equal")
    must = {"gopher_quality": 100, "gopher_repetition": 50}
    for name, (oracle, node, parity) in peers.pairs().items():
        their, our = peers.theirs(oracle, texts, rounds), peers.ours(node, texts)
        shared = peers.ours(node, texts, after=peers.FinewebQuality(docs=peers.DOCS))
        equal = same(their.kept, our.kept)
        line = f"{name:18} {their.us:9,.0f} {our.us:7.1f} {their.us / our.us:6.0f} {shared.us:7.1f} {equal:7.2%}"
        if name in must:
            records.at_least("C-1", f"{name} against datatrove, per core", their.us / our.us, must[name])
        if parity is not None:
            exact = peers.ours(parity, texts)
            line += f"   {exact.us:9.1f} {their.us / exact.us:6.0f} {same(their.kept, exact.kept):7.2%}"
            if name in must:
                what = f"equal verdicts of {name} with `words: datatrove` ({their.us / exact.us:.0f} x its speed)"
                records.at_least("C-1", what, same(their.kept, exact.kept), 0.999, "")
        say(line)
    say("shared: the words and lines were cut for a rule before it, as in a pass")


def same(one: list[bool], other: list[bool]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def identification(records: Records, texts: list[str]) -> None:
    """C-2, the part of language identification."""
    say("\nlanguage, us of CPU a document")
    spent = languages.identification(texts)
    for name, us in spent.items():
        say(f"{name:46} {us:7.1f}")
    records.at_least("C-2", "language identification, documents/s per core", 1e6 / spent["language"], 8_000, "")


def kept(records: Records, pages) -> None:
    """C-5."""
    shares = languages.kept_shares(pages)
    say("\nshare that stays after garbled, gopher_quality, gopher_repetition")
    for name, (documents, share) in sorted(shares.items(), key=lambda item: -item[1][1]):
        say(f"{name:18} {documents:6,} {share:7.1%}")
    for name in EIGHT:
        records.at_least("C-5", f"good pages kept, {name}", shares[name][1], 0.95, "")
    records.at_least("C-5", "pages of no prose removed", 1 - shares["no prose"][1], 0.25, "")


def models(records: Records, table, only: set[str], cache: Path) -> None:
    """C-2, the part of quality models, and C-3."""
    if "C-2" in only:
        say("\nquality, documents per second and core")
        spent = quality.speed(quality.Pages.of(table))
        for name, value in spent.items():
            say(f"{name:46} {value:9,.0f}")
        for name in ("word", "char"):
            records.at_least("C-2", f"quality scoring, {name}, documents/s per core", spent[name], 10_000, "")
            ratio = spent[name] / spent[f"{name}, fastText alone"]
            records.at_least("C-2", f"quality scoring, {name}, of raw fastText", ratio, 0.8)
    if "C-3" in only:
        ranking(records, table, other_junk.build(cache))


def choices(records: Records, cache: Path) -> None:
    """C-6."""
    pool = arms.Pool.of(arms.english(cache))
    score = quality.scores(pool.pages)
    say(f"\nbits per byte of essays and novels, n-grams of {arms.ORDER} characters, {arms.BYTES:,} bytes an arm")
    say(pool.shape)
    for seed in (1, 2):
        shown, pairs = arms.differences(pool, score, seed)
        say(
            f"seed {seed}  "
            + ", ".join(f"{name} {bits:.3f} ({good:.0%} prose)" for name, (good, bits) in shown.items())
        )
        for pair, (gain, low, high) in pairs.items():
            say(f"seed {seed}  {pair:20} {gain:+.3f}  95 % {low:+.3f} to {high:+.3f}")
            if pair in LEAST_GAIN:
                records.at_least("C-6", f"{pair}, seed {seed}", gain, LEAST_GAIN[pair], "bits/byte")
                records.equal("C-6", f"{pair}, seed {seed}: the interval excludes 0", low > 0)


def ranking(records: Records, table, others) -> None:
    """C-3: essays, and each kind of junk in turn, are what no model has seen; then four kinds that the corpus lacks."""
    import numpy as np
    import pyarrow as pa

    say("\nAUC on seen sources, on unseen essays and junk; essays kept at 10 % junk; share of that junk kept")
    found: dict[str, list] = {}
    for junk in quality.JUNK_SOURCES:
        pages = quality.Pages.of(table, (quality.ESSAYS, junk))
        for name, score in quality.scores(pages).items():
            seen, never = np.flatnonzero(pages.tested & ~pages.unseen), np.flatnonzero(pages.unseen)
            one, (other, recall) = quality.judged(pages, score, seen)[0], quality.judged(pages, score, never)
            kept_ = quality.kept_of(pages, score, junk)
            found.setdefault(name, []).append((one, other, recall, kept_))
            say(f"{name:12} without {junk:12} {one:.3f}   {other:.3f} / {recall:.2f}   {kept_:6.1%}")
    more: dict[str, list] = {}
    pages = quality.Pages.of(pa.concat_tables([table, others.cast(table.schema)]), (quality.ESSAYS, *other_junk.KINDS))
    for name, score in quality.scores(pages).items():
        for junk in other_junk.KINDS:
            two = np.flatnonzero(np.isin(pages.source, (quality.ESSAYS, junk)))
            other, recall = quality.judged(pages, score, two)
            more.setdefault(name, []).append((other, quality.kept_of(pages, score, junk)))
            say(f"{name:12} against {junk:12}         {other:.3f} / {recall:.2f}   {more[name][-1][1]:6.1%}")
    means = {name: np.mean(rows, axis=0).tolist() for name, rows in found.items()}
    for name, test, outside in (("char", 0.96, 0.95), ("ensemble", 0.975, 0.96)):
        records.at_least("C-3", f"AUC, {name}, seen sources", means[name][0], test, "")
        records.at_least("C-3", f"AUC, {name}, unseen sources", means[name][1], outside, "")
        worst = max(row[3] for row in found[name])
        records.at_most("C-3", f"most that is kept of an unseen kind of junk, {name}", worst, 0.5, "")
    records.at_least("C-3", "unseen good pages kept at 10 % junk, ensemble", means["ensemble"][2], 0.9, "")
    records.at_least("C-3", "AUC of char above word, unseen sources", means["char"][1] - means["word"][1], 0.03, "")
    aucs = {name: float(np.mean([row[0] for row in rows])) for name, rows in more.items()}
    best = max(value for name, value in aucs.items() if name != "ensemble")
    records.at_least("C-3", "four kinds beyond: AUC of the ensemble", aucs["ensemble"], best - 0.005, "")
    worst = max(row[1] for row in more["ensemble"])
    records.at_most("C-3", "four kinds beyond: most that is kept of one, ensemble", worst, 0.5, "")


def recipe(records: Records) -> None:
    """C-4 and C-7."""
    with tempfile.TemporaryDirectory() as name:
        for way, same_ in whole.bytes_are_equal(Path(name)).items():
            records.equal("C-4", f"data files of {whole.NAME} on one CPU and {way}", same_)
        removed, right, balanced = whole.answers(Path(name))
        records.at_least(
            "C-7", f"share of {removed:,} removed documents that `why` answers for", right / removed, 1.0, ""
        )
        records.equal("C-7", "documents read = kept + removed", balanced)
        again = whole.nodes_that_score(Path(name))
        records.equal("C-7", "a new share of the selection runs no other node", not again)


def growth(records: Records, cache: Path, corpus: str, where: str, copies: int) -> None:
    """C-8."""
    with tempfile.TemporaryDirectory() as name:
        found = runs.measured("runs", "grow", name, cache, corpus, where, copies)
    parts = ", ".join(f"{what} {found[name]:.1f}" for name, what in GROWN.items())
    say(f"\n{found['pages']:,} pages, {where}, CPU seconds: {parts}")
    share = found["more"] / found["fresh"]
    records.at_most("C-8", f"CPU of a run over a file more, of that over all, {where}", share, 0.1, "")
    records.equal("C-8", f"data files of the two are equal, {where}", found["equal"])


def more_than_memory(records: Records, cache: Path) -> None:
    """C-9."""
    with tempfile.TemporaryDirectory() as name:
        found = runs.measured("runs", "large", name, cache)
    times = found["text"] / found["store"]
    records.at_least("C-9", "text through `tokenizer` and `pack`, times the object store", times, 10, "")
    records.equal("C-9", f"all {found['documents']:,} documents packed", found["packed"] == found["documents"])
    records.shown("C-9", f"largest process of that run ({found['cpu']:.0f} CPU s)", found["memory"] / 1e6, "MB")


def pages_to_text(records: Records, cache: Path, corpus: str) -> None:
    """C-10."""
    pages = extraction.manuals(cache, UNSEEN, 600) if corpus == "unseen" else extraction.manuals(cache)
    found = extraction.measured(pages)
    rates = {name: found["pages"] * extraction.ROUNDS / found[name] for name in ("alone", "ours")}
    say(f"\n{found['pages']} manuals, {found['bytes'] / 1e6:.1f} MB, the largest {found['largest'] / 1e3:.0f} kB")
    say(f"pages per second of CPU: resiliparse alone {rates['alone']:,.0f}, `extract` {rates['ours']:,.0f}")
    records.at_most("C-10", "CPU of `extract`, of that of resiliparse alone", found["ours"] / found["alone"], 1.5, "")
    records.equal("C-10", "no manual is removed", not found["errors"])
    records.equal("C-10", "texts are those of the library", not found["others"])


def encoding(records: Records, pages) -> None:
    """Tokens: ours against `tokenizers`, on one core, over the whole corpus."""
    speed, same_, twice = quality.encoding(pages["text"].to_pylist())
    say("\nencoding, MB/s of CPU: " + ", ".join(f"{name} {value:.1f}" for name, value in speed.items()))
    say(f"{twice:.1%} of the documents have words that both libraries encode")
    records.at_least("encoding", "against `tokenizers`, per core", speed["ours"] / speed["tokenizers"], 4)
    records.at_least("encoding", "documents with equal ids", same_, 1.0, "")


def whole_chain(records: Records, pages, labelled, many: int) -> None:
    """From Parquet to a selection, ours and datatrove's in one process."""
    with tempfile.TemporaryDirectory() as name:
        source, model = quality.for_chain(pages, labelled, Path(name), many)
        found = runs.measured("chain", source, model, name)
    ours = found["ours"]
    decode, whole_ = ours["read (decode Parquet)"], sum(ours.values())
    say(f"\n{found['documents']:,} English pages, us of CPU a document; kept: ours {found['kept'][0]:,}, datatrove's "
        f"{found['kept'][1]:,}")  # fmt: skip
    for step, us in ours.items():
        say(f"{step:24} {us:8.1f}   {us / decode:6.1f} x the decode")
    say(f"{'all of it':24} {whole_:8.1f}   {whole_ / decode:6.1f} x; datatrove {found['theirs']:,.0f}")
    records.at_least("chain", "whole curation against datatrove's pipeline, per core", found["theirs"] / whole_, 40)


if __name__ == "__main__":
    main()
