"""Reading a run: its nodes, their rows, what was removed and why.

Everything comes from the store, through manifests that describe themselves; neither a cluster nor the classes behind
the nodes are needed, so newer code, on another machine too, can read an old run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline.contract import Node, Source
from pipeline.errors import DataError, UserError
from pipeline.files.address import Address
from pipeline.files.json_files import read_json
from pipeline.files.objects import Store
from pipeline.files.open_store import open_store
from pipeline.results.manifests import Manifest, Manifests
from pipeline.results.receipts import Receipt, data_name, done_keys, read_receipt
from pipeline.results.run_record import read_run, resolve

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.results.documents import Documents


def open_run(store: str | Address, name: str) -> StoredRun:
    """The run of that name in a store. Raises UserError where there is none, as `locate` does."""
    return StoredRun(*locate(store, name))


def locate(store: str | Address, name: str) -> tuple[Store, str]:
    """The store, and the label of a run in it: `name` alone means the newest of `name`, `name@2`, ..., `name@1` the
    first. Raises UserError where there is none.
    """
    opened = open_store(store)
    found = resolve(opened, name)
    if found is None:
        known = [folder for folder in opened.names("runs") if opened.size(f"runs/{folder}/run.json") is not None]
        raise UserError(
            f"store {opened}",
            f"no run called {name!r}",
            f"one of {', '.join(known) or '(none there)'}",
            "siftloom run",
        )
    return opened, found


class StoredNode:
    """One node of a run, read from its folder."""

    def __init__(self, run: StoredRun, label: str, entry: dict[str, str]) -> None:
        self.run, self.label, self.kind = run, label, entry["kind"]
        self.fingerprint, self.folder = entry["fingerprint"], entry["folder"]

    def __repr__(self) -> str:
        return f"<{self.label}: {self.kind} {self.fingerprint[:12]}>"

    @property
    def finished(self) -> bool:
        return self.run.manifests.get(self.folder) is not None

    @property
    def manifest(self) -> dict[str, Any]:
        """Return the node's kind, config and counts; raises where the node is not finished."""
        found = self.run.manifests.get(self.folder)
        if found is None:
            raise DataError(
                self.label, "the node is not finished", "a finished node", f"siftloom run (resume {self.run.name})"
            )
        return found

    @property
    def figures(self) -> list[dict[str, Any]]:
        """Chart descriptions that the node left (`docs/figures.md`)."""
        return read_json(self.run.store, f"{self.folder}/figures.json", "siftloom verify, then siftloom run") or []

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Phase -> counts added over all tasks."""
        return self.manifest["counts"]

    def keys(self, phase: str) -> list[str]:
        return self.manifest["phases"][phase]

    def receipt(self, phase: str, key: str) -> Receipt:
        found = read_receipt(self.run.store, self.folder, phase, key)
        if found is None:
            raise DataError(f"{self.label} {phase}/{key}", "no receipt", "a finished task", "siftloom verify")
        return found

    def path(self, phase: str, key: str, ext: str) -> Path:
        """Local path of a data file."""
        return self.run.store.local(data_name(self.folder, phase, f"{key}{ext}"))

    def batches(self, columns: Sequence[str] = ("id", "text")) -> Iterator[pa.Table]:
        """Alive rows, batch by batch, in order."""
        for _, table in self.run.documents.alive(self.manifest, columns):
            yield table

    def rows(self, columns: Sequence[str] = ("id", "text")) -> pa.Table:
        """Alive rows as one table."""
        import pyarrow as pa

        tables = list(self.batches(columns))
        return pa.concat_tables(tables, promote_options="default") if tables else pa.table({c: [] for c in columns})

    def removed(self, *, own: bool = False) -> pa.Table:
        """Rows removed up to this node (`own=True`: by it): id, node, reason, value, threshold, duplicate_of."""
        chains = self.run.manifests.chains(self.manifest).values()
        last = {chain[-1]["fingerprint"]: chain[-1] for chain in chains if chain}
        wanted = last if own else self._removers(self.manifest)
        return self.run.documents.removed(list(wanted.values()), self.run.label_of)

    def _removers(self, manifest: Manifest) -> dict[str, Manifest]:
        """Return the nodes before this one that have a row phase, by fingerprint, also those behind derived bases."""
        found: dict[str, Manifest] = {}
        for base, chain in self.run.manifests.chains(manifest).items():
            made = self.run.manifests.by_fingerprint(base)
            for parent in made["inputs"].get(made["stream"], ()):
                found |= self._removers(self.run.manifests.by_fingerprint(parent))
            found |= {node["fingerprint"]: node for node in chain}
        return found

    def shards(self) -> list[Any]:
        """The base shards behind the node's rows."""
        return [base.shard for base in self.run.manifests.stream(self.manifest).shards]

    def shard_rows(self, shard: str, columns: Sequence[str]) -> pa.Table:
        """Alive rows of one shard."""
        import pyarrow as pa

        tables = [table for _, table in self.run.documents.alive(self.manifest, columns, only=shard)]
        return pa.concat_tables(tables) if tables else pa.table({c: [] for c in columns})

    def progress(self) -> dict[str, Any]:
        store = self.run.store
        phases = {phase: len(done_keys(store, self.folder, phase)) for phase in store.names(f"{self.folder}/receipts")}
        return {"node": self.label, "kind": self.kind, "finished": self.finished, "done": phases}


class StoredRun:
    """A run in a store. Index it by label, or by the node value it was started with."""

    def __init__(self, store: Store, name: str, sources: Sequence[Source] = ()) -> None:
        """`sources` are those that a driver has opened; a record keeps their places without secrets."""
        self.store, self.name, self.sources = store, name, tuple(sources)
        self.record: dict[str, Any] = read_run(store, name) or {}
        self._labels: dict[int, str] = {}
        self.manifests = Manifests(store, [*(Source(**each) for each in self.record.get("sources", ())), *sources])

    @cached_property
    def documents(self) -> Documents:
        """The rows of all nodes."""
        from pipeline.results.documents import Documents  # numpy and what it needs take a fifth of a second

        return Documents(self.manifests)

    @cached_property
    def nodes(self) -> list[StoredNode]:
        """All nodes, inputs before what uses them."""
        return [self._view(label, entry) for label, entry in self.record["nodes"].items()]

    def _view(self, label: str, entry: dict[str, str]) -> StoredNode:
        return StoredNode(self, label, entry)

    def attach(self, names: dict[Node, str]) -> Self:
        """Let the run be indexed by the node values of a graph."""
        self._labels = {id(node): label for node, label in names.items()}
        return self

    def __getitem__(self, key: str | Node) -> StoredNode:
        label = key if isinstance(key, str) else self._labels.get(id(key), "")
        for view in self.nodes:
            if view.label == label:
                return view
        raise UserError(
            f"run {self.name}", f"no node {label or key!r}", f"one of {', '.join(view.label for view in self.nodes)}"
        )

    def label_of(self, fingerprint: str) -> str:
        """The label of a fingerprint (its first 12 digits do), or the digits where it has none."""
        return next((v.label for v in self.nodes if v.fingerprint.startswith(fingerprint[:12])), fingerprint[:12])

    def find(self, document: str) -> tuple[StoredNode, Any, int]:
        """(base, shard, row) of a document by its id, or by the user's own id; raises where there is none.

        A document that was carried into a new base under its id is found where it was first.
        """
        return self._found(document)[0]

    def why(self, document: str) -> list[dict[str, Any]]:
        """Trace one document: per node its state, reason, value, threshold and the columns the node added.

        Nodes that read the document's base come in order; `state` is `kept`, `removed` or `gone` (removed before). The
        trace of a document derived from another one, or carried into a new base, begins with the other's trace.
        """
        return self._steps(*self._found(document)[-1])

    def _found(self, document: str) -> list[tuple[StoredNode, Any, int]]:
        """Every base that holds the document, in the order of the nodes."""
        bases = [view for view in self.nodes if view.finished and view.manifest["new_base"]]
        for column in ("id", "source_id"):
            having = [view for view in bases if column in view.manifest["base_columns"]]
            places = [(view, self.documents.find(view.manifest, column, document)) for view in having]
            if found := [(view, *place) for view, place in places if place is not None]:
                return found
        raise UserError(f"run {self.name}", f"no document {document!r}", "an id as `siftloom removed` prints it")

    def _steps(self, base: StoredNode, shard: Any, row: int) -> list[dict[str, Any]]:
        columns = self.documents.base_row(shard, row)
        steps = self._steps_of_parent(columns)
        steps.append({"node": base.label, "kind": base.kind, "state": "read", "columns": columns})
        for view in self.nodes:
            if not view.finished or not view.manifest["row_phase"]:
                continue
            chain = self.manifests.chains(view.manifest).get(base.fingerprint)
            if chain is not None:
                steps.append(
                    {"node": view.label, "kind": view.kind} | self.documents.row_state(view.manifest, shard, row)
                )
        return steps

    def _steps_of_parent(self, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the trace of the document that a row's columns name as its parent; empty for a row of a first base."""
        short, key, row = (columns.get(f"parent_{part}") for part in ("base", "shard", "row"))
        base = next((view for view in self.nodes if short and view.fingerprint.startswith(short)), None)
        if base is None or not base.finished or row is None:
            return []
        shards = self.manifests.stream(base.manifest).shards
        shard = next((found for found in shards if found.shard.key == key), None)
        return [] if shard is None else self._steps(base, shard, row)

    def status(self) -> dict[str, Any]:
        """Per node how many tasks are done, and whether it is finished."""
        return {"run": self.name, "nodes": [view.progress() for view in self.nodes]}
