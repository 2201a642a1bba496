"""`python -m benchmarks.curation [--small] [--json FILE] [--cache FOLDER]`

Builds the corpus, runs our rule sets and datatrove's filters on the same English pages in one process, and prints CPU a
document, verdicts side by side, the share of pages that stays per language, and the acceptance rows C-1, C-2 (language
identification) and C-5. `--small`: 100 pages for the peers and one round, else 300 and three. Needs the extra `parity`.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from benchmarks.curation import languages, peers
from benchmarks.curation.corpus import EIGHT, build
from benchmarks.dedup.records import Records, say


def main() -> None:
    wish = argparse.ArgumentParser(prog="benchmarks.curation")
    wish.add_argument("--small", action="store_true")
    wish.add_argument("--json", type=Path)
    wish.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "siftloom-curation")
    wish = wish.parse_args()
    pages = build(wish.cache)
    good = sum(pages["good"].to_pylist())
    say(f"corpus: {len(pages):,} pages, {good:,} good ones; {pages['text'].nbytes / 1e6:.0f} MB")
    say(f"machine: {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; {languages.now()}; all in this one process")
    english = [
        text for text, lang in zip(pages["text"].to_pylist(), pages["lang"].to_pylist(), strict=True) if lang == "en"
    ]
    english = english[:: max(len(english) // (100 if wish.small else 300), 1)]
    records = Records()
    kept(records, pages)
    identification(records, english)
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


if __name__ == "__main__":
    main()
