"""The documents of a run: by node, reason, language, source, band of a score, words in the text; and one of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from siftloom.ask.scores import ScoredDocuments
from siftloom.ask.why import trace
from siftloom.ui.shelf import Shelf
from siftloom.ui.thresholds import numbers_of

if TYPE_CHECKING:
    from siftloom.run import Run

PAGE = 20  # documents of one answer
SEARCH_SECONDS = 0.6  # of reading texts; then the answer says how far it came
LETTERS = 400  # of a text in the list
WHOLE = 200_000  # letters of the one document


def listed(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """Documents that a node saw and that fit what is asked: `state`, `reason`, `lang`, `source`, `column` with `low`
    and `high`, `text`; from the place `after` on. `next` is where to go on, null at the end.
    """
    run = shelf.run(asked["run"])
    view = run[asked.get("node") or _last(run)]
    scores = shelf.scores(view)
    places = np.flatnonzero(_mask(scores, asked))
    fit, after = len(places), _number(asked, "after", 0)
    rest = places[np.searchsorted(places, after) :]
    piece = asked.get("text", "").strip()
    at, following = _searched(scores, rest, piece) if piece else (rest[:PAGE], _at(rest, PAGE))
    column = asked.get("column", "")
    values = numbers_of(scores, column) if column else None
    rows = [
        {"id": scores.table["id"][place].as_py(), "reason": scores.now[place].as_py(),
         **{name: scores.table[name][place].as_py() for name in scores.groups},
         "value": None if values is None or not np.isfinite(values[place]) else float(values[place]),
         "text": text[:LETTERS]}
        for place, text in zip(at.tolist(), scores.texts(at.tolist()), strict=True)
    ]  # fmt: skip
    return {
        "node": view.label, "seen": len(scores.now), "fit": fit, "rows": rows, "next": following,
        "looked": int(np.searchsorted(places, following)) if following is not None else fit,
    }  # fmt: skip


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


def _searched(scores: ScoredDocuments, places: np.ndarray, piece: str) -> tuple[np.ndarray, int | None]:
    """The first places whose text holds a piece, case aside, within the time that there is; and where to go on."""
    import pyarrow.compute as pc

    end, found, looked = time.monotonic() + SEARCH_SECONDS, [], 0
    for at, texts in scores.text_batches(places):
        hits = at[
            pc.fill_null(pc.match_substring(texts, piece, ignore_case=True), False).to_numpy(zero_copy_only=False)
        ]
        found += hits.tolist()
        looked += len(at)
        if len(found) > PAGE:
            return np.array(found[:PAGE], np.int64), found[PAGE]
        if time.monotonic() > end:
            return np.array(found, np.int64), _at(places, looked)
    return np.array(found, np.int64), None


def _at(places: np.ndarray, number: int) -> int | None:
    return int(places[number]) if number < len(places) else None


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
