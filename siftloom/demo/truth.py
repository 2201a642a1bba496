"""Planted faults against what the run removed: recall and precision per kind.

Everything is counted over the documents that reached the rule: a copy whose original was removed before is no copy any
more. `exact` and `near` are judged by groups of planted copies: of n members that reach a dedup, n - 1 should go. The
other kinds are judged by the rules that are there for them; a rule is right about any document that is no prose, so a
list of names that the repetition rules removed does not count against them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.run import StoredRun

NO_PROSE = ("language", "gibberish", "repetition", "listing")
RULES = {
    "language": ("language.other",),
    "gibberish": ("language.unsure", "gopher_quality."),
    "repetition": ("gopher_repetition.",),
}
EXACT_REASONS, NEAR_REASONS = ("exact_dedup.copy", "minhash_dedup.exact"), ("minhash_dedup.near",)
BINS = (0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Removal:
    """The reason for which a document was removed."""

    node: str
    reason: str


Truth = Mapping[str, Mapping[str, Any]]


def planted_truth() -> dict[str, dict[str, Any]]:
    """Return the truth of the corpus: id of a document -> kind, and for a copy its original and their similarity."""
    data = (resources.files("recipes") / "corpus" / "truth.jsonl.gz").read_bytes()
    lines = (json.loads(line) for line in gzip.decompress(data).splitlines())
    return {line["id"]: line for line in lines}


def removals(run: StoredRun, node: str) -> dict[str, Removal]:
    """Return the corpus' id -> reason of every document that was removed before a node or by it."""
    removed = run[node].removed().to_pylist()
    names = {row["id"]: row["source_id"] for row in run["docs"].rows(["id", "source_id"]).to_pylist()}
    return {names[row["id"]]: Removal(row["node"], row["reason"]) for row in removed}


def score(truth: Truth, gone: Mapping[str, Removal]) -> dict[str, Any]:
    """`planted` and `clean_removed` of the demo's result."""
    planted: dict[str, Any] = {
        "exact": copies(truth, gone, ("exact", "exact_normalised"), EXACT_REASONS),
        "near": copies(truth, gone, ("near",), NEAR_REASONS),
    }
    for kind, rules in RULES.items():
        caught = [d for d, removal in gone.items() if _is_rule(removal.reason, rules)]
        right = sum(truth[d]["kind"] in NO_PROSE for d in caught)
        members = [d for d, fact in truth.items() if fact["kind"] == kind]
        found = sum(d in gone and _by_rules(gone[d].reason) for d in members)
        planted[kind] = {"recall": _share(found, len(members)), "precision": _share(right, len(caught))}
    clean = [d for d, fact in truth.items() if fact["kind"] == "clean"]
    lost = sum(d in gone and _by_rules(gone[d].reason) for d in clean)
    return {"planted": planted | {"boilerplate": None, "leak": None}, "clean_removed": _share(lost, len(clean))}


def copies(truth: Truth, gone: Mapping[str, Removal], kinds: Iterable[str], reasons: tuple[str, ...]) -> dict[str, Any]:
    """Return recall and precision of the planted copies of some kinds; for near copies recall per similarity too."""
    kinds = tuple(kinds)
    pairs = [(d, fact["of"], fact["jaccard"]) for d, fact in truth.items() if fact["kind"] in kinds]
    relatives = _groups([(d, fact["of"]) for d, fact in truth.items() if "jaccard" in fact])

    def reached(document: str) -> bool:
        return document not in gone or not _by_rules(gone[document].reason)

    groups = _groups([(d, of) for d, of, _ in pairs if reached(d) and reached(of)])
    wanted = sum(len(group) - 1 for group in set(groups.values()))
    found = sum(
        min(len(group) - 1, sum(d in gone and not _by_rules(gone[d].reason) for d in group))
        for group in set(groups.values())
    )
    caught = [d for d, removal in gone.items() if removal.reason in reasons]
    right = sum(any(reached(other) for other in relatives.get(d, ()) if other != d) for d in caught)
    result: dict[str, Any] = {"recall": _share(found, wanted), "precision": _share(right, len(caught))}
    if kinds == ("near",):
        pairs = [(d, of, similarity) for d, of, similarity in pairs if reached(d) and reached(of)]
        result["bins"] = [_bin(low, pairs, gone) for low in BINS]
    return result


def _bin(low: float, pairs: Iterable[tuple[str, str, float]], gone: Mapping[str, Removal]) -> dict[str, Any]:
    inside = [(d, of) for d, of, similarity in pairs if max(b for b in BINS if b <= similarity) == low]
    found = sum(any(document in gone for document in pair) for pair in inside)
    return {"jaccard": low, "pairs": len(inside), "recall": _share(found, len(inside))}


def _groups(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Document -> everything that a chain of pairs joins it with, itself included."""
    members: dict[str, set[str]] = {}
    for one, other in pairs:
        joined = members.get(one, {one}) | members.get(other, {other})
        for document in joined:
            members[document] = joined
    return {document: frozenset(group) for document, group in members.items()}


def _is_rule(reason: str, rules: tuple[str, ...]) -> bool:
    return any(reason == rule or (rule.endswith(".") and reason.startswith(rule)) for rule in rules)


def _by_rules(reason: str) -> bool:
    """Return whether a rule about the document itself removed it, and no dedup or selection."""
    return reason.startswith(("language.", "gopher_"))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
