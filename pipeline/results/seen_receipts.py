"""Receipts that a driver has seen: those its tasks returned, and those it read from the store, many at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.files.objects import Store
from pipeline.fingerprint import canonical_json
from pipeline.results.receipts import Receipt, read_receipt

READERS = 32  # an object store takes 20 to 100 ms for a receipt, whatever its size
AT_ONCE = 1024  # receipts that are asked for before the first is used


class KnownReceipts:
    """Receipts by folder, phase and key, kept packed. As Python objects, those of 10^5 shards would take gigabytes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._packed: dict[tuple[str, str], dict[str, bytes]] = {}
        self._returned: dict[tuple[str, str], set[str]] = {}

    def note(self, folder: str, receipt: Receipt) -> None:
        """Keep a receipt that a task of this driver has returned."""
        self._packed.setdefault((folder, receipt.phase), {})[receipt.key] = _pack(receipt)
        self._returned.setdefault((folder, receipt.phase), set()).add(receipt.key)

    def is_returned(self, folder: str, phase: str, key: str) -> bool:
        """Return whether the task was run by this driver, so that what it read is what is there now."""
        return key in self._returned.get((folder, phase), ())

    def get(self, folder: str, phase: str, keys: Sequence[str]) -> Iterator[Receipt]:
        """The receipts of these keys, in their order; those that do not exist are left out."""
        known = self._packed.setdefault((folder, phase), {})
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            missing = [key for key in some if key not in known]
            if missing:
                with ThreadPoolExecutor(min(READERS, len(missing))) as pool:
                    found = pool.map(lambda key: read_receipt(self.store, folder, phase, key), missing)
                    known |= {receipt.key: _pack(receipt) for receipt in found if receipt is not None}
            yield from (Receipt.parse(zlib.decompress(known[key])) for key in some if key in known)

    def forget(self, folder: str) -> None:
        """Look into the store again when a receipt of this node is asked for next."""
        for kept in (self._packed, self._returned):
            for name in [name for name in kept if name[0] == folder]:
                del kept[name]


def _pack(receipt: Receipt) -> bytes:
    return zlib.compress(canonical_json(receipt.form()), 1)


def outdated(known: KnownReceipts, receipts: Iterable[Receipt]) -> set[tuple[str, str]]:
    """Return (phase, key) of the receipts whose task read something that is gone now, or has other bytes."""
    reads: dict[tuple[str, str], dict[str, list[tuple[str, str, str]]]] = {}  # (folder, phase) -> key -> readers
    for receipt in receipts:
        for read_folder, read_phase, read_key, digest in receipt.reads:
            of_phase = reads.setdefault((f"nodes/{read_folder}", read_phase), {})
            of_phase.setdefault(read_key, []).append((receipt.phase, receipt.key, digest))
    found = set()
    for (read_folder, read_phase), readers in reads.items():
        now = {receipt.key: receipt.digest for receipt in known.get(read_folder, read_phase, list(readers))}
        for read_key, those in readers.items():
            found |= {(phase, key) for phase, key, digest in those if now.get(read_key) != digest}
    return found
