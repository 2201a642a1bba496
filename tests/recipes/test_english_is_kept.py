"""What language identification and the Gopher rules do to the demo corpus and to manuals it does not hold."""

import gzip
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pytest
from data_debian import MANUALS, DebianUnavailable, debian_pages
from local_context import LocalContext

from stages.clean.gopher_quality import GopherQuality
from stages.clean.gopher_repetition import GopherRepetition
from stages.clean.language import Language
from stages.read.read import Read

DOCS = Read(paths=("unread",))


def reasons(texts: list[str], folder: Path) -> list[str | None]:
    """The first reason for removal of each text, by the three nodes with their defaults."""
    found: list[str | None] = [None] * len(texts)
    for kind in (Language, GopherQuality, GopherRepetition):
        node = kind(docs=DOCS)
        context = LocalContext(node, folder, files={"model": []} if kind is Language else None)
        added = node.open(context)(pa.table({"text": pa.array(texts, pa.string())})).added
        types = {name: type_ for name, type_ in node.adds().items() if name in added}
        removed = node.decide(pa.table({name: pa.array(added[name], type_) for name, type_ in types.items()}))
        if removed is not None:
            found = [old or new for old, new in zip(found, removed.reason.to_pylist(), strict=True)]
    return found


def test_the_demo_corpus_loses_its_noise_and_keeps_its_prose(tmp_path):
    corpus = files("recipes") / "corpus"
    documents, truth = [], gzip.decompress((corpus / "truth.jsonl.gz").read_bytes()).splitlines()
    for number in range(4):
        documents += gzip.decompress((corpus / f"corpus-{number:02}.jsonl.gz").read_bytes()).splitlines()
    kinds = [json.loads(row)["kind"] for row in truth]
    all_reasons = reasons([json.loads(row)["text"] for row in documents], tmp_path)
    total = Counter(kinds)
    removed = Counter(kind for kind, reason in zip(kinds, all_reasons, strict=True) if reason)
    share = {kind: removed[kind] / total[kind] for kind in total}
    assert min(share["language"], share["gibberish"], share["repetition"]) >= 0.95
    assert share["clean"] <= 0.02
    # At least 40 near copies in each tenth of Jaccard must be left to find: 48 were planted in each.
    assert removed["near"] <= 8


@pytest.mark.parametrize("package", MANUALS)
def test_english_manuals_are_kept(package, tmp_path):
    try:
        pages = list(debian_pages(package))
    except DebianUnavailable as reason:
        pytest.skip(str(reason))
    found = reasons([page.text for page in pages], tmp_path)
    removed = [(page.id, reason) for page, reason in zip(pages, found, strict=True) if reason]
    assert pages
    assert len(removed) <= 0.02 * len(pages), removed
