"""Which fields of a user's records hold prose, which one names them, and in which languages they are written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import MissingExtra

LIKELY_TEXT = ("text", "content", "body", "document", "raw_content", "markdown")
LIKELY_ID = ("id", "doc_id", "document_id", "url", "uuid", "_id")
SURE = 0.5  # probability from which on a document counts for its language
MARKUP = re.compile(r"(?is)<(script|style|head)\b.*?</\1\s*>|<[^>]*>|&\w+;")


def flat(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of a row; a field in a field is called `doc.text`."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def text_fields(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, int]:
    """Return column -> characters for the columns that hold prose: the likely names first, then the longest ones.

    Identifiers, addresses and dates are no prose: most of their values hold no space.
    """
    lengths: dict[str, int] = {}
    for column in columns:
        values = [value for row in rows if isinstance(value := row.get(column), str) and value.strip()]
        spaced = sum(any(letter.isspace() for letter in value.strip()) or not value.isascii() for value in values)
        if values and column not in LIKELY_ID and spaced * 2 > len(values):
            lengths[column] = sum(map(len, values))
    named = {name: number for number, name in enumerate(LIKELY_TEXT)}
    order = sorted(lengths, key=lambda column: (named.get(column.rpartition(".")[2], len(named)), -lengths[column]))
    return {column: lengths[column] for column in order}


def without_markup(html: str) -> str:
    """Return roughly the text of a page: enough to see its language."""
    return MARKUP.sub(" ", html)


def languages_of(texts: Sequence[str]) -> Counter[str]:
    """Return code -> number of the texts; empty where the model is not installed."""
    from stages.fasttext_models import bundled_language_model, load, predict

    try:
        model = load(bundled_language_model())
    except (MissingExtra, ImportError):
        return Counter()
    labels, shares = predict(model, [" ".join(text[:1000].split()) for text in texts], k=1)
    return Counter(label[0] for label, share in zip(labels, shares, strict=True) if label and share[0] >= SURE)
