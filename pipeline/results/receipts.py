"""One receipt per task, and the law that nothing gets lost.

A task's files are published first, its receipt after them; a key with a receipt is done for ever, a key without one
is to do. A receipt holds what the task read, what it wrote and what it counted, and nothing of when, where or by
whom, so a task that is done twice writes the same receipt twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.contract import Law, Result
from pipeline.errors import BalanceError, DataError, DriftError, StoreError
from pipeline.files.faults import point
from pipeline.files.objects import Store, sha256_of
from pipeline.fingerprint import canonical_json, digest

# A receipt is read whole by whoever needs one count of it; a task that lays down 20,000 shards stays below this.
FACTS_LIMIT = 4 * 1024**2


@dataclass(frozen=True)
class Receipt:
    """What a finished task read, wrote and counted.

    files    name below `data/<phase>/` -> {"size", "sha256"}
    reads    [node, phase, key, digest of that receipt's files]
    takes    of a task over a shard, digests of the shard and of all that it took (`pipeline.results.takes`); the second
             is None where that may be more than its rows
    columns  of a side-car: `state` -> digest of which rows are alive, column -> digest of its values in these
    """

    phase: str
    key: str
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reads: Sequence[Sequence[str]] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    takes: Sequence[str | None] = ()
    columns: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Identity of what the task wrote; what its readers record."""
        return digest([[name, entry["sha256"]] for name, entry in sorted(self.files.items())] + [dict(self.facts)])[:24]

    def form(self) -> dict[str, Any]:
        return {
            "phase": self.phase, "key": self.key, "files": dict(self.files),
            "reads": sorted([*read] for read in self.reads), "counts": dict(self.counts), "facts": dict(self.facts),
            "takes": list(self.takes), "columns": dict(self.columns),
        }  # fmt: skip

    @staticmethod
    def parse(data: bytes) -> Receipt:
        return Receipt(**json.loads(data))


def receipt_name(folder: str, phase: str, key: str) -> str:
    return f"{folder}/receipts/{phase}/{key}.json"


def data_name(folder: str, phase: str, file: str) -> str:
    return f"{folder}/data/{phase}/{file}"


def read_receipt(store: Store, folder: str, phase: str, key: str) -> Receipt | None:
    """The receipt of a task, None where it has none. Raises StoreError for a damaged one."""
    name = receipt_name(folder, phase, key)
    data = store.read(name)
    try:
        return None if data is None else Receipt.parse(data)
    except (ValueError, TypeError):
        raise StoreError(
            store.uri(name),
            "a damaged receipt",
            "JSON as a task wrote it",
            "siftloom verify, then siftloom run",
        ) from None


def finished_receipt(store: Store, folder: str, phase: str, key: str) -> Receipt:
    """The receipt of a finished task. Raises DataError where there is none."""
    receipt = read_receipt(store, folder, phase, key)
    if receipt is None:
        raise DataError(f"{folder} {phase}/{key}", "no receipt", "a finished task", "siftloom run")
    return receipt


def done_keys(store: Store, folder: str, phase: str) -> set[str]:
    """Keys of a phase that have a receipt."""
    names = store.names(f"{folder}/receipts/{phase}")
    return {name.removesuffix(".json") for name in names if name.endswith(".json")}


def commit(
    store: Store,
    folder: str,
    phase: str,
    key: str,
    outputs: Mapping[str, Path],
    reads: Iterable[Sequence[str]],
    result: Result,
    deterministic: bool = True,
    takes: Sequence[str | None] = (),
    columns: Mapping[str, str] | None = None,
) -> Receipt:
    """Publish a task's files, then its receipt. `outputs`: file name below `data/<phase>/` -> finished local file.

    Raises `DriftError` when the key is done already with other bytes. Of a node that is not `deterministic`, what was
    committed first stays and is returned.
    """
    if len(canonical_json(dict(result.facts))) > FACTS_LIMIT:
        raise DataError(
            f"{folder} {phase}/{key}",
            f"facts of more than {FACTS_LIMIT / 1e6:.1f} MB",
            "a file for anything that large",
        )
    files = {name: {"size": path.stat().st_size, "sha256": sha256_of(path)} for name, path in sorted(outputs.items())}
    read, counts, facts = [list(read) for read in reads], dict(result.counts), dict(result.facts)
    fresh = Receipt(phase, key, files, read, counts, facts, takes, columns or {})
    place = f"{folder}/{phase}"
    point(place, "before-data")
    for name, path in outputs.items():
        if store.publish_new(path, data_name(folder, phase, name)):
            continue
        # Who was here before us may have been killed before the receipt; then its file counts for nothing.
        if (known := read_receipt(store, folder, phase, key)) is not None:
            return _same(known, fresh, folder) if deterministic else known
        store.publish(path, data_name(folder, phase, name))
    point(place, "before-receipt")
    if not store.create(receipt_name(folder, phase, key), canonical_json(fresh.form())):
        known = read_receipt(store, folder, phase, key)
        return _same(known, fresh, folder) if known is not None and deterministic else known or fresh
    point(place, "after-receipt")
    return fresh


def _same(known: Receipt, fresh: Receipt, folder: str) -> Receipt:
    """Return the receipt that is there already. Raises `DriftError` unless bytes, facts and counts are the same."""
    found = next((f"bytes for the finished file {n}" for n, f in fresh.files.items() if known.files.get(n) != f), "")
    for part in ("facts", "counts"):
        if not found and canonical_json(known.form()[part]) != canonical_json(fresh.form()[part]):
            found = f"{part} for the finished task"
    if found:
        raise DriftError(
            f"{folder} {fresh.phase}/{fresh.key}", f"other {found}", "what its receipt says",
            "siftloom verify, or raise the node's version",
        )  # fmt: skip
    return known


@dataclass
class Summary:
    """What the receipts of a phase add up to.

    `sizes`: file -> bytes; `shards`: key -> base shards that the task laid down; `takes`: those of the tasks, in order;
    `histograms`: column -> counts, `removed_histograms`: the same of the rows that the node removed.
    """

    counts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    shards: dict[str, list[Any]] = field(default_factory=dict)
    takes: list[list[str | None]] = field(default_factory=list)
    histograms: dict[str, list[int]] = field(default_factory=dict)
    removed_histograms: dict[str, list[int]] = field(default_factory=dict)

    @staticmethod
    def of(receipts: Iterable[Receipt]) -> Summary:
        """Add receipts up. Each is read once, so an iterator over a hundred thousand of them will do."""
        found = Summary()
        for receipt in receipts:
            for name, count in receipt.counts.items():
                found.counts[name] = found.counts.get(name, 0) + count
            found.sizes |= {name: entry["size"] for name, entry in sorted(receipt.files.items())}
            if "shards" in receipt.facts:
                found.shards[receipt.key] = list(receipt.facts["shards"])
            if receipt.takes:
                found.takes.append(list(receipt.takes))
            for fact in ("histograms", "removed_histograms"):
                sums = getattr(found, fact)
                for column, numbers in receipt.facts.get(fact, {}).items():
                    before = sums.get(column, [0] * len(numbers))
                    sums[column] = [a + b for a, b in zip(before, numbers, strict=True)]
        found.counts = dict(sorted(found.counts.items()))
        return found


def check_law(law: Law, counts: Mapping[str, int], place: str) -> None:
    """Raise `BalanceError` unless `counts[law.total]` is the sum of the parts."""
    parts = {
        name: count
        for name, count in counts.items()
        if any(name == part or (part.endswith(".") and name.startswith(part)) for part in law.parts)
    }
    whole = counts.get(law.total, 0)
    if whole != sum(parts.values()):
        raise BalanceError(
            f"{place}: {whole} {law.unit} in ({law.total}) but {sum(parts.values())} out ({parts}); not committed"
        )


ROWS_LAW = Law("rows", "alive_in", ("alive_out", "removed."))
