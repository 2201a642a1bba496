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
from pipeline.errors import BalanceError, DataError, DriftError
from pipeline.fingerprint import canonical_json, digest
from pipeline.store.faults import point
from pipeline.store.objects import Store, sha256_of

FACTS_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Receipt:
    """What a finished task read, wrote and counted.

    `files`: name below `data/<phase>/` -> {"size", "sha256"}. `reads`: [node, phase, key, digest of that receipt's
    files].
    """

    phase: str
    key: str
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reads: Sequence[Sequence[str]] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Identity of what the task wrote; what its readers record."""
        return digest([[name, entry["sha256"]] for name, entry in sorted(self.files.items())] + [dict(self.facts)])[:24]

    def form(self) -> dict[str, Any]:
        return {
            "phase": self.phase, "key": self.key, "files": dict(self.files),
            "reads": sorted([*read] for read in self.reads), "counts": dict(self.counts), "facts": dict(self.facts),
        }  # fmt: skip

    @staticmethod
    def parse(data: bytes) -> Receipt:
        return Receipt(**json.loads(data))


def receipt_name(folder: str, phase: str, key: str) -> str:
    return f"{folder}/receipts/{phase}/{key}.json"


def data_name(folder: str, phase: str, file: str) -> str:
    return f"{folder}/data/{phase}/{file}"


def read_receipt(store: Store, folder: str, phase: str, key: str) -> Receipt | None:
    data = store.read(receipt_name(folder, phase, key))
    return None if data is None else Receipt.parse(data)


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
) -> Receipt:
    """Publish a task's files, then its receipt. `outputs`: file name below `data/<phase>/` -> finished local file.

    Raises `DriftError` when the key is done already with other bytes. Of a node that is not `deterministic`, what was
    committed first stays and is returned.
    """
    if len(canonical_json(dict(result.facts))) > FACTS_LIMIT:
        raise DataError(f"{folder} {phase}/{key}", "facts of more than 64 KiB", "a file for anything that large")
    files = {name: {"size": path.stat().st_size, "sha256": sha256_of(path)} for name, path in sorted(outputs.items())}
    fresh = Receipt(phase, key, files, [list(read) for read in reads], dict(result.counts), dict(result.facts))
    if (known := read_receipt(store, folder, phase, key)) is not None:
        if deterministic:
            _require_same(known, fresh, folder)
        return known
    place = f"{folder}/{phase}"
    point(place, "before-data")
    for name, path in outputs.items():
        store.publish(path, data_name(folder, phase, name))
    point(place, "before-receipt")
    store.write(receipt_name(folder, phase, key), canonical_json(fresh.form()))
    point(place, "after-receipt")
    return fresh


def _require_same(known: Receipt, fresh: Receipt, folder: str) -> None:
    for name, entry in fresh.files.items():
        before = known.files.get(name)
        if before is None or before["sha256"] != entry["sha256"]:
            raise DriftError(
                f"{folder} {fresh.phase}/{fresh.key}", f"other bytes for the finished file {name}",
                "the bytes that its receipt names", "siftloom verify, or raise the node's version",
            )  # fmt: skip


def totals(receipts: Iterable[Receipt]) -> dict[str, int]:
    """Counts added over receipts."""
    total: dict[str, int] = {}
    for receipt in receipts:
        for name, count in receipt.counts.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))


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
