"""`words: datatrove` gives the verdicts of datatrove's own English filters, and the texts that they leave."""

import gzip
import json
import random
from importlib.resources import files

import pytest
from rows import DOCS, applied

from stages.clean.c4 import C4
from stages.clean.fineweb_quality import FinewebQuality
from stages.clean.gopher_quality import GopherQuality
from stages.clean.gopher_repetition import GopherRepetition

pytest.importorskip("spacy")
filters = pytest.importorskip("datatrove.pipeline.filters")


def pages() -> list[str]:
    """Pages of the demo corpus, and some of them made worse, so that every rule has something to remove."""
    with files("recipes").joinpath("corpus/corpus-02.jsonl.gz").open("rb") as raw, gzip.open(raw, "rt") as lines:
        found = [json.loads(line)["text"] for line in lines][:250]
    chance = random.Random(1)
    worse = []
    for text in found[:120]:
        words, lines = text.split(" "), text.split("\n")
        worse += [
            " ".join(words[:70] + words[10:30] * 2), "\n".join(lines * 2), "\n\n".join([text[:300]] * 2),
            "\n".join(f"- {line}" for line in lines), "\n".join(f"{line[:40]}..." for line in lines),
            " ".join(word if chance.random() < 0.6 else "12" for word in words), " # ".join(words[::6]),
            "".join(words[:300]) + " " + text, text.replace(" the ", " ").replace(" of ", " ").replace(" and ", " "),
            " ".join(words[:12]), " ".join([words[0]] * 60), "   ".join(words) + "\n\n\n\n",
            "\n".join(f"  {line} [3]" for line in lines), "\r\n".join(f"{line} \x1d{line[:30]}" for line in lines),
            "\n".join(f"{line[:40]} \n{line[:40]}" for line in lines), text + "\nlorem ipsum dolor, it says here.",
            text + "\nif (a) { return b; }", "\n".join(f"{line} We use cookies." for line in lines),
            "Mr. A. Bird of St. Ives came.\n" * 2 + text[:200] + ".",
        ]  # fmt: skip
    return found + [text for text in worse if text.strip()]


@pytest.mark.long
@pytest.mark.parametrize(
    ("node", "oracle", "least"),
    [
        (GopherQuality(docs=DOCS, words="datatrove"), filters.GopherQualityFilter(), 8),
        (GopherRepetition(docs=DOCS, words="datatrove"), filters.GopherRepetitionFilter(), 8),
        (C4(docs=DOCS, words="datatrove"), filters.C4QualityFilter(), 3),
        (
            C4(docs=DOCS, words="datatrove", end_mark=False, min_line_words=None, min_sentences=2),
            filters.C4QualityFilter(filter_no_terminal_punct=False, min_words_per_line=-1, min_num_sentences=2),
            3,
        ),
        (FinewebQuality(docs=DOCS, words="datatrove"), filters.FineWebQualityFilter(), 3),
    ],
    ids=["quality", "repetition", "c4", "c4_without_ends", "fineweb"],
)
def test_verdicts_are_equal(node, oracle, least):
    from datatrove.data import Document

    texts = pages()
    documents = [Document(text=text, id="") for text in texts]
    theirs = [oracle.filter(document) for document in documents]
    assert len({verdict for verdict in theirs if verdict is not True}) >= least
    _, reasons, after = applied(node, texts)
    assert [reason is None for reason in reasons] == [verdict is True for verdict in theirs]
    left = [
        (text, document.text) for text, document, reason in zip(after, documents, reasons, strict=True) if not reason
    ]
    assert [text for text, _ in left] == [text for _, text in left]
