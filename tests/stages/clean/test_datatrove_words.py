"""`words: datatrove` gives the verdicts of datatrove's own English filters."""

import gzip
import json
import random
from importlib.resources import files

import pytest
from rows import DOCS, applied

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
        ]  # fmt: skip
    return found + [text for text in worse if text.strip()]


@pytest.mark.parametrize(
    ("node", "oracle", "least"),
    [
        (GopherQuality(docs=DOCS, words="datatrove"), filters.GopherQualityFilter(), 8),
        (GopherRepetition(docs=DOCS, words="datatrove"), filters.GopherRepetitionFilter(), 8),
    ],
    ids=["quality", "repetition"],
)
def test_verdicts_are_equal(node, oracle, least):
    from datatrove.data import Document

    texts = pages()
    theirs = [oracle.filter(Document(text=text, id="")) for text in texts]
    assert len({verdict for verdict in theirs if verdict is not True}) >= least
    _, reasons, _ = applied(node, texts)
    assert [reason is None for reason in reasons] == [verdict is True for verdict in theirs]
