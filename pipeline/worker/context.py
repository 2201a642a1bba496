"""What a task is given, for real: files are found through bindings, and every one that is opened is recorded."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pipeline.contract import (
    Address,
    Context,
    Node,
    Of,
    Result,
    Shard,
    Source,
    Store,
    StoredFile,
)
from pipeline.errors import DataError, StoreError
from pipeline.files.faults import point
from pipeline.files.open_store import open_store
from pipeline.files.process_folder import process_folder
from pipeline.files.refusals import explained
from pipeline.files.sources import open_stream, require_unchanged
from pipeline.inputs import inputs_first, nodes_in
from pipeline.results.binding import Binding, DocumentStream, Input, Place
from pipeline.results.manifests import Manifests, base_shards, finished
from pipeline.results.receipts import Receipt, data_name, finished_receipt
from pipeline.results.rows import ShardView, StreamReader, alive_rows

if TYPE_CHECKING:
    import pyarrow as pa

LogEvent = Callable[[str, dict[str, Any]], None]  # (event, values), for the event log and the progress table
Receipts = dict[tuple[str, str, str], Receipt]  # (folder, phase, key) -> what was read


class TaskContext(Context):
    """The context of one task (`key` of `phase`), or of the driver when it asks for keys and figures."""

    def __init__(
        self, binding: Binding, phase: str, key: str, shard: Shard | None = None, log_event: LogEvent | None = None,
        receipts: Receipts | None = None,
    ) -> None:  # fmt: skip
        """`receipts` are those that earlier tasks of this process have read. They are kept, since none ever changes."""
        self.binding, self.phase, self.key = binding, phase, key
        if shard is not None:
            self.shard = shard
        self.node: Node = binding.place.node
        self.cpus = _threads(binding, phase)
        self.store = open_store(binding.store)
        self.outputs: dict[str, Path] = {}
        self.reads: dict[tuple[str, str, str], str] = {}
        self._receipts: Receipts = {} if receipts is None else receipts
        self._opened: dict[Address, Source] = {}
        self._files: dict[Of, dict[str, Source]] = {}
        self._log_event = log_event

    # rows ------------------------------------------------------------------------------------------------------------

    def _input(self, of: Of) -> Input:
        field, position = (of, 0) if isinstance(of, str) else of if of is not None else ("", 0)
        try:
            return self.binding.inputs[field][position]
        except (KeyError, IndexError):
            have = ", ".join(f for f, inputs in self.binding.inputs.items() if inputs) or "none"
            raise DataError(f"{self.node.kind()}.{field}", "no such input", f"one of {have}") from None

    def _stream(self, of: Of) -> DocumentStream:
        if of == self.node.stream and self.binding.stream is not None:
            return self.binding.stream
        stream = self._input(of).stream
        if stream is None:
            raise DataError(f"{self.node.kind()}.{of}", "an input that carries no rows", "a node of documents")
        return stream

    def shards(self, of: Of = "docs") -> Sequence[Shard]:
        stream = self._stream(of)
        if not stream.partial:
            return [base.shard for base in stream.shards]
        bases = (finished(self.store, folder) for folder in stream.folders.values())
        return [base.shard for manifest in bases for base in base_shards(manifest, ())]

    def rows(
        self,
        columns: Sequence[str],
        of: Of = "docs",
        shards: Sequence[Shard] | None = None,
        only: np.ndarray | None = None,
    ) -> Iterator:
        stream = self._stream(of)
        named = {base.shard.name for base in stream.shards}
        if stream.partial and (shards is None or not named.issuperset(shard.name for shard in shards)):
            raise self._other_rows(of)
        return alive_rows(self.store, stream, columns, shards, self._receipt_of, only)

    def reader(self, columns: Sequence[str], of: Of = "docs") -> StreamReader:
        stream = self._stream(of)
        if stream.partial:
            raise self._other_rows(of)
        for base in stream.shards:
            self._receipt_of(base.folder, base.phase, base.task)
            for link in stream.chain(base.shard):
                self._receipt_of(link.folder, link.phase, base.shard.name)
        return StreamReader(self.binding.store, stream, tuple(columns))

    def _other_rows(self, of: Of) -> DataError:
        return DataError(
            f"{self.node.kind()} {self.phase}/{self.key}", f"rows of {of!r} in other shards, in a per-shard phase",
            "rows of its own shard", "ask for them in a TaskPhase before it",
        )  # fmt: skip

    def column_rows(self, columns: Sequence[str], of: Of = "docs") -> Iterator[tuple[Shard, pa.Table]]:
        import pyarrow as pa

        stream = self._stream(of)
        if stream.partial:
            raise self._other_rows(of)
        for base in stream.shards:
            view = ShardView(self.store, base, stream.chain(base.shard), self._receipt_of)
            state = None
            if view.chain:
                state = view.read_side_car(view.chain[-1], ["state"])["state"]
            for start, mask, table in view.batches(columns):
                codes = (
                    state.slice(start, len(table)) if state is not None
                    else pa.array(np.where(mask, 0, -1).astype(np.int16), mask=~mask)
                )  # fmt: skip
                yield base.shard, table.append_column("state", codes)

    def has_column(self, name: str, of: Of = "docs") -> bool:
        return name in self._stream(of).columns()

    # finished work ------------------------------------------------------------------------------------------

    def _place(self, of: Of) -> Place:
        return self.binding.place if of is None else self._input(of).place

    def keys(self, phase: str, of: Of = None) -> Sequence[str]:
        phases = self.binding.phases if of is None else self._input(of).phases
        if phases is None:
            phases = finished(self.store, self._place(of).folder)["phases"]
        if phase not in phases:
            raise DataError(self._place(of).folder, f"no finished phase {phase!r}", f"one of {', '.join(phases)}")
        return phases[phase]

    def path(self, phase: str, key: str, ext: str, of: Of = None) -> Path:
        return self.stored(phase, key, ext, of).local()

    def stored(self, phase: str, key: str, ext: str, of: Of = None) -> StoredFile:
        place, file = self._place(of), f"{key}{ext}"
        receipt = self._receipt(place, phase, key)
        if file not in receipt.files:
            raise DataError(f"{place.folder} {phase}/{key}", f"no file {file}", f"one of {', '.join(receipt.files)}")
        entry = receipt.files[file]
        return StoredFile(self.store, data_name(place.folder, phase, file), entry["size"], entry["sha256"])

    def result(self, phase: str, key: str, of: Of = None) -> Result:
        receipt = self._receipt(self._place(of), phase, key)
        return Result(receipt.counts, receipt.facts)

    def _receipt(self, place: Place, phase: str, key: str) -> Receipt:
        name = (place.folder, phase, key)
        self._receipts[name] = self._receipt_of(*name)
        return self._receipts[name]

    def _receipt_of(self, folder: str, phase: str, key: str) -> Receipt:
        """Return a receipt, and record that it was read. Receipts of row phases are not kept, as there may be very
        many.
        """
        receipt = self._receipts.get((folder, phase, key)) or finished_receipt(self.store, folder, phase, key)
        self.reads[folder.removeprefix("nodes/"), phase, key] = receipt.digest
        return receipt

    def sources(self, of: str = "paths") -> Sequence[Source]:
        return self.binding.sources.get(of, ())

    def file(self, digest: str, of: Of = "docs") -> Source:
        if of not in self._files:
            shards = self._stream(of).shards
            self._files[of] = {source.digest: source for base in shards for source in base.files}
        try:
            return self._files[of][digest]
        except KeyError:
            place = f"{self.node.kind()} {self.phase}/{self.key}"
            raise DataError(place, f"no file {digest[:12]} behind {of!r}", "a file of the run's sources") from None

    def open_source(self, source: Source) -> BinaryIO:
        self._opened[source.path] = source
        return open_stream(source.path)

    def fingerprint(self, of: Of = None) -> str:
        return self._place(of).fingerprint

    def input(self, of: Of) -> Node:
        return self._input(of).place.node

    def behind(self) -> Iterator[tuple[Node, Mapping[str, int]]]:
        manifests = Manifests(self.store)
        names = {each.place.node: each.place.fingerprint for found in self.binding.inputs.values() for each in found}
        order = inputs_first(names)
        for node in reversed(order):  # a manifest names what its node was made from
            for field, inputs in manifests.by_fingerprint(names[node])["inputs"].items():
                names.update(zip(nodes_in(getattr(node, field)), inputs, strict=True))
        for node in order:
            manifest = manifests.by_fingerprint(names[node])
            yield node, manifest["counts"].get(manifest["row_phase"] or manifest["new_base"], {})

    # output -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def create(self, ext: str) -> Iterator[Path]:
        file = f"{self.key}{ext}"
        if file in self.outputs:
            raise DataError(f"{self.node.kind()} {self.phase}/{self.key}", f"the file {file} twice", "one of a name")
        folder = self.store.temporary_folder()
        path = folder / f"{os.getpid()}-{os.urandom(8).hex()}{ext[ext.rfind('.') :] if '.' in ext else ''}"
        try:
            with explained(folder, "folder"):
                yield path
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if not path.exists():
            raise StoreError(str(path), "nothing written", f"the file {file}")
        self.outputs[file] = path

    def require_unchanged_sources(self) -> None:
        """Raise `SourceChanged` if a source file that this task opened is no longer the one that was listed."""
        for source in self._opened.values():
            require_unchanged(source)

    def discard(self) -> None:
        """Remove output files that were not published."""
        for path in self.outputs.values():
            path.unlink(missing_ok=True)

    def temporary(self) -> Path:
        return Path(tempfile.mkdtemp(dir=process_folder()))

    def scratch(self) -> Store | str:
        folder = self.store.below(f"{self.binding.place.folder}/scratch")
        return folder if folder.address.remote else os.fspath(folder.address)

    def target(self, address: str) -> Store:
        return open_store(address)

    def stopping(self) -> bool:
        return bool(self.binding.stop_name) and self.store.size(self.binding.stop_name) is not None

    def log(self, event: str, **values: Any) -> None:
        point(self.binding.place.folder, f"log-{event}")
        if self._log_event is not None:
            self._log_event(event, values)


def _threads(binding: Binding, phase: str) -> int:
    """Return how many threads the CPUs of a phase allow. For the driver's own questions: those of the run."""
    for found in binding.place.node.phases():
        if found.name == phase:
            return max(1, int(found.resources.cpus))
    return binding.cpus
