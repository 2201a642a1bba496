"""How many good pages of each language stay, how many others go, and what language identification costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from benchmarks.curation.corpus import EIGHT
from benchmarks.curation.peers import DOCS, ROUNDS, _median, _reasons
from stages.clean.garbled import Garbled
from stages.clean.gopher_quality import GopherQuality
from stages.clean.gopher_repetition import GopherRepetition
from stages.clean.language import Language
from stages.documents import LANG


def kept_shares(pages: pa.Table) -> dict[str, tuple[int, float]]:
    """Language, "others", or the source of a kind of others -> (documents, share that stays) of the default rules."""
    labelled = Language(docs=DOCS)
    quality = GopherQuality(docs=labelled)
    table = pages.select(["text", LANG])
    stays = [True] * len(table)
    for node in (Garbled(docs=DOCS), quality, GopherRepetition(docs=DOCS)):
        reasons = _reasons(node, node.open(None)(table))  # pyright: ignore[reportArgumentType]
        stays = [stay and reason is None for stay, reason in zip(stays, reasons, strict=True)]
    found: dict[str, list[bool]] = {}
    rows = zip(stays, *(pages[name].to_pylist() for name in (LANG, "good", "source")), strict=True)
    for stay, lang, good, source in rows:
        for name in (lang if lang in EIGHT else "other languages",) if good else ("no prose", source):
            found.setdefault(name, []).append(stay)
    return {name: (len(each), sum(each) / len(each)) for name, each in found.items()}


def identification(texts: Sequence[str]) -> dict[str, float]:
    """Microseconds of CPU a document: our node, fastText alone on as many characters, fastText on whole pages."""
    from stages.fasttext_models import bundled_language_model, load

    node, model = Language(docs=DOCS), load(bundled_language_model())
    function, table = node.open(None), pa.table({"text": pa.array(texts)})  # pyright: ignore[reportArgumentType]
    whole = [text.replace("\n", " ") for text in texts]
    head = [text[: node.max_chars] for text in whole]
    work: dict[str, Any] = {
        "language": lambda: function(table),
        "fastText on 1,000 characters": lambda: model.predict(head, k=1),
        "fastText on the page, one by one (datatrove)": lambda: [model.predict([text], k=-1) for text in whole],
    }
    for each in work.values():
        each()
    return {name: _median(each, ROUNDS) / len(texts) * 1e6 for name, each in work.items()}


def now() -> str:
    return time.strftime("%Y-%m-%d")
