"""The documents of a run: by node, reason, language, source, band of a score, words in the text; in any order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.files.secrets import masked_json
from siftloom.ask.scores import ScoredDocuments
from siftloom.ask.why import trace
from siftloom.ui.shelf import Shelf
from siftloom.ui.thresholds import numbers_of

if TYPE_CHECKING:
    from siftloom.run import Run

PAGE = 20  # documents of one answer
SEARCH_SECONDS = 0.6  # of reading texts; then the answer says how far it came
LETTERS = 400  # of a text in the list
BEFORE = 80  # of them, before the words that were searched for
CHUNK = 1024  # documents whose texts are read together, where they are not in the order of the files
WHOLE = 200_000  # letters of the one document


def listed(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """A page of the documents that a `selection` holds; `after` is how many are before it, `next` where to go on, null
    at the end.
    """
    chosen = selection(shelf, asked)
    after, piece = max(0, _number(asked, "after", 0)), asked.get("text", "").strip()
    places, fit = chosen.places, len(chosen.places)
    if piece:
        at, following = _searched(chosen, after, piece)
    else:
        at, following = places[after : after + PAGE], after + PAGE if after + PAGE < fit else None
    texts = chosen.scores.texts(at.tolist())
    rows = [
        {**row, "text": _around(text, piece)} for row, text in zip(chosen.rows(at.tolist()), texts, strict=True)
    ]  # fmt: skip
    looked = following if following is not None else fit
    return {
        "node": chosen.scores.view.label, "seen": len(chosen.scores.now), "fit": fit, "rows": rows, "next": following,
        "looked": looked,
    }  # fmt: skip


def exported(shelf: Shelf, asked: Mapping[str, str]) -> Iterator[bytes]:
    """All documents that a `selection` holds, as lines of JSON with their whole texts."""
    return _lines(selection(shelf, asked), asked.get("text", "").strip().lower())  # what is wrong is raised here


def _lines(chosen: Selection, piece: str) -> Iterator[bytes]:
    for start in range(0, len(chosen.places), CHUNK):
        at = chosen.places[start : start + CHUNK].tolist()
        for row, text in zip(chosen.rows(at), chosen.scores.texts(at), strict=True):
            if piece in text.lower():
                yield masked_json({**row, "text": text}, uris=False).encode() + b"\n"


def one(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """One document: its way through every node, its text as it was read, and as the last node saw it."""
    run, document = shelf.run(asked["run"]), asked.get("id", "")
    base, shard, row = run.find(document)
    text = run.documents.text_of(base.manifest, shard, row)
    later = text
    for view in run.nodes:
        if view.finished and view.manifest["changes_text"] and base.fingerprint in run.manifests.chains(view.manifest):
            later = run.documents.text_of(view.manifest, shard, row)
    return {
        "id": document, "steps": trace(run, document), "text": text[:WHOLE],
        "changed": later[:WHOLE] if later != text else None, "letters": len(text),
    }  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Documents that a node saw and that fit what is asked, by their places in `scores`, in the order that is asked."""

    scores: ScoredDocuments
    places: np.ndarray
    sorted: bool  # whether the places ascend
    values: np.ndarray | None  # of the score that is asked for

    def rows(self, at: list[int]) -> list[dict[str, Any]]:
        """What is said of some documents, beside their texts."""
        table, values = self.scores.table, self.values
        return [
            {"id": table["id"][place].as_py(), "reason": self.scores.now[place].as_py(),
             **{name: table[name][place].as_py() for name in self.scores.groups},
             "value": None if values is None or not np.isfinite(values[place]) else float(values[place])}
            for place in at
        ]  # fmt: skip


def selection(shelf: Shelf, asked: Mapping[str, str]) -> Selection:
    """The documents that fit `state`, `reason`, `lang`, `source`, and `column` with `low` and `high`. `order` is empty
    for that of the input, `low` or `high` for the lowest or the highest score first, or `random` with a `seed`.
    """
    run = shelf.run(asked["run"])
    scores = shelf.scores(run[asked.get("node") or _last(run)])
    column, order = asked.get("column", ""), asked.get("order", "")
    values = numbers_of(scores, column) if column else None
    places = np.flatnonzero(_mask(scores, asked))
    if order == "random":
        places = np.random.default_rng(max(0, _number(asked, "seed", 0))).permutation(places)
    elif order and values is not None:  # documents without a score come last
        places = places[np.argsort(values[places] * (1 if order == "low" else -1), kind="stable")]
    return Selection(scores, places, order not in ("random", "low", "high"), values)


def _mask(scores: ScoredDocuments, asked: Mapping[str, str]) -> np.ndarray:
    import pyarrow.compute as pc

    mask = np.ones(len(scores.now), bool)

    def must(found: Any) -> None:
        np.logical_and(mask, pc.fill_null(found, False).to_numpy(zero_copy_only=False), out=mask)

    if asked.get("state") in ("kept", "removed"):
        must(pc.is_null(scores.now) if asked["state"] == "kept" else pc.is_valid(scores.now))
    if asked.get("reason"):
        must(pc.equal(scores.now, asked["reason"]))
    for name in ("lang", "source"):
        if asked.get(name) and name in scores.groups:
            must(pc.equal(scores.table[name].combine_chunks().cast("string"), asked[name]))
    if column := asked.get("column", ""):
        values = numbers_of(scores, column)
        if values is None:
            raise UserError(scores.view.label, f"no number column {column!r}", f"one of {', '.join(scores.own)}")
        low, high = _number(asked, "low", -np.inf), _number(asked, "high", np.inf)
        if np.isfinite(low) or np.isfinite(high):
            mask &= (values >= low) & (values <= high)
    return mask


def _searched(chosen: Selection, after: int, piece: str) -> tuple[np.ndarray, int | None]:
    """The first documents whose text holds a piece, case aside, within the time that there is; and where to go on."""
    end, found = time.monotonic() + SEARCH_SECONDS, []
    places, step = chosen.places, len(chosen.places) if chosen.sorted else CHUNK
    for start in range(after, len(places), max(1, step)):
        part = places[start : start + step]
        order = np.argsort(part, kind="stable")
        hits, looked = _hits(chosen.scores, part[order], piece, end, enough=PAGE if chosen.sorted else len(part))
        numbers = np.sort(order[hits])  # in the asked order
        found += (start + numbers).tolist()
        if len(found) > PAGE:
            return places[found[:PAGE]], found[PAGE]
        if looked < len(part):
            return places[found], start + looked
        if time.monotonic() > end and start + len(part) < len(places):
            return places[found], start + len(part)
    return places[np.array(found, np.int64)], None


def _hits(scores: ScoredDocuments, at: np.ndarray, piece: str, end: float, enough: int) -> tuple[list[int], int]:
    """Numbers in `at`, which ascends, of the texts that hold a piece, and how many were looked at; of places in order
    it stops when there are more than enough, or when the time is over.
    """
    import pyarrow.compute as pc

    found: list[int] = []
    looked = 0
    for some, texts in scores.text_batches(at):
        holds = pc.fill_null(pc.match_substring(texts, piece, ignore_case=True), False).to_numpy(zero_copy_only=False)
        found += (looked + np.flatnonzero(holds)).tolist()
        looked += len(some)
        if enough < len(at) and (len(found) > enough or time.monotonic() > end):
            break
    return found, looked


def _around(text: str, piece: str) -> str:
    """The start of a text, or what is around the first hit of a search."""
    at = text.lower().find(piece.lower()) if piece else -1
    if at < BEFORE:
        return text[:LETTERS]
    return "\u2026" + text[at - BEFORE : at - BEFORE + LETTERS]


def _number(asked: Mapping[str, str], name: str, default: float) -> Any:
    text = asked.get(name, "").strip()
    try:
        return type(default)(float(text)) if text else default
    except (ValueError, OverflowError):
        raise UserError(name, repr(text), "a number") from None


def _last(run: Run) -> str:
    """The last finished node that has documents. Raises UserError where none has."""
    having = [v.label for v in run.nodes if v.finished and (v.manifest["row_phase"] or v.manifest["new_base"])]
    if not having:
        raise UserError(f"run {run.name}", "no finished node with documents", "wait until one is finished")
    return having[-1]
