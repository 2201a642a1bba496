"""What a run would do, and why, before it does anything.

Per node: reuse, resume or run; the reason, down to the field that changed; which pass its per-shard phases join; how
many bytes it will write and how much memory its largest task needs. Nothing is started, nothing heavy is imported.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.contract import Node, RowPhase, ShardPhase
from pipeline.driver.drift import CodeIdentity, check_code, code_of, look_again
from pipeline.driver.ledger import Ledger, per_shard
from pipeline.driver.recording import graph_form
from pipeline.driver.schedule import Schedule
from pipeline.files.address import Address
from pipeline.files.open_store import open_store
from pipeline.files.sources import growth
from pipeline.graph import Graph
from pipeline.results.run_record import latest_run

TEXT_PER_COMPRESSED_BYTE = 3.0  # gzip and zstd on prose
TEXT_PER_DOCUMENT = 2000  # bytes, where nothing better is known
SOUNDS = (".wav", ".flac")  # of whatever length, a document each
BASE_BYTES_PER_TEXT_BYTE = 0.45  # zstd level 3 on prose, with ids


@dataclass(frozen=True)
class Entry:
    """One node of a plan."""

    name: str
    kind: str
    fingerprint: str | None
    action: Literal["reuse", "resume", "run"]
    why: str
    passes: tuple[int, ...]
    bytes: int  # predicted, of what is to do
    memory: int  # predicted, of the largest task
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The entries in the order in which nodes can be done."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        """Predicted bytes of everything that is to do."""
        return sum(entry.bytes for entry in self.entries)

    @property
    def memory(self) -> int:
        """Predicted memory of the largest task that is to do."""
        return max((entry.memory for entry in self.entries if entry.action != "reuse"), default=0)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "bytes": self.bytes, "nodes": [dataclasses.asdict(entry) for entry in self.entries]}


def plan(graph: Graph, store: str | Address, name: str = "") -> Plan:
    """The plan of a graph in a store; `name` is the run to compare with."""
    look_again()
    return make_plan(Ledger(graph, open_store(store)), name)


def make_plan(state: Ledger, name: str) -> Plan:
    """The plan, from what a driver knows already."""
    graph, store = state.graph, state.store
    state.check_bases()
    actions = _actions(graph, state)
    passes = _passes(graph, {node for node in graph.nodes if actions[node] == "reuse"})
    previous = latest_run(store, name.split("@")[0]) if name else None
    sizes = predicted_sizes(graph, state)
    entries = []
    for node in graph.nodes:
        rows, text = sizes[node]
        todo = actions[node] != "reuse"
        entries.append(
            Entry(
                name=graph.names[node],
                kind=node.kind(),
                fingerprint=state.fingerprint(node),
                action=actions[node],
                why=_why(graph, state, node, actions, previous),
                passes=tuple(passes.get(node, ())),
                bytes=_bytes_to_write(graph, state, node, rows, text) if todo else 0,
                memory=node.predict_memory(rows, text),
                notices=tuple(_notices(graph, state, node, passes)),
            )
        )
    return Plan(name, tuple(entries))


def _actions(graph: Graph, state: Ledger) -> dict[Node, Literal["reuse", "resume", "run"]]:
    actions: dict[Node, Literal["reuse", "resume", "run"]] = {}
    for node in graph.nodes:
        if state.manifest(node) is not None:
            above = [actions[parent] for _, _, parent in graph.inputs(node)]
            actions[node] = "reuse" if all(action == "reuse" for action in above) else "resume"
        elif state.fingerprint(node) is not None and any(state.done(node, p.name) for p in graph.phases(node)):
            actions[node] = "resume"
        else:
            actions[node] = "run"
    return actions


def _passes(graph: Graph, finished: set[Node]) -> dict[Node, list[int]]:
    """Play the schedule through: in which pass each node's per-shard phases run."""
    done: set[tuple[Node, str]] = {(node, p.name) for node in finished for p in graph.phases(node)}
    complete = set(finished)
    schedule = Schedule(graph, lambda node, phase: (node, phase) in done, lambda node: node in complete)
    numbers: dict[Node, list[int]] = {}
    count = 0
    while True:
        tasks, joined = schedule.ready_tasks(), schedule.ready_pass()
        if not tasks and not joined:
            return numbers
        count += bool(joined)
        for node, _ in joined:
            numbers.setdefault(node, []).append(count)
        done |= {(node, phase.name) for node, phase in [*tasks, *joined]}
        complete |= {node for node in graph.nodes if all((node, p.name) in done for p in graph.phases(node))}


def _why(graph: Graph, state: Ledger, node: Node, actions: Mapping[Node, str], previous: dict | None) -> str:
    if actions[node] == "reuse":
        return "finished"
    fingerprint = state.fingerprint(node)
    if fingerprint is None:
        files = [listing for (owner, _), listing in state.listings.items() if owner is node and node.content_keys]
        return growth(state.store, files) or "not run yet"
    if actions[node] == "resume":
        return _progress(graph, state, node)
    name = graph.names[node]
    before = (previous or {}).get("nodes", {}).get(name)
    if before is None or before["fingerprint"] == fingerprint:
        return "not run yet"
    changes = _changes(previous["form"].get(name, {}), graph_form(graph)[name]) if previous else []
    if changes:
        return ", ".join(changes)
    above = [graph.names[p] for _, _, p in graph.inputs(node) if actions[p] != "reuse"]
    return f"{', '.join(dict.fromkeys(above))} changed" if above else "source files changed"


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`field: old -> new`, one for each difference in the configuration."""
    if before.get("kind") != now["kind"]:
        return [f"kind: {before.get('kind')} -> {now['kind']}"]
    found = [] if before.get("version") == now["version"] else [f"version: {before.get('version')} -> {now['version']}"]
    libraries = before.get("libraries", {}), now.get("libraries", {})
    for name in sorted({*libraries[0], *libraries[1]}):
        found += _differences(name, *(versions.get(name) for versions in libraries))
    old, new = before.get("fields", {}), now["fields"]
    return found + [
        change
        for field in sorted(old.keys() | new.keys())
        for change in _differences(field.removesuffix("_"), old.get(field), new.get(field))
    ]


def _differences(name: str, old: Any, new: Any) -> list[str]:
    """`name: old -> new`; of two values of one kind only the fields that differ, `model.rank: 16 -> 32`."""
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict) and old.get("value") == new.get("value") and "fields" in new:
        inner = {key: (old["fields"].get(key), value) for key, value in new["fields"].items()}
        return [found for key, pair in inner.items() for found in _differences(f"{name}.{key}", *pair)]
    return [f"{name}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"node"}:
        return str(value["node"])
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _progress(graph: Graph, state: Ledger, node: Node) -> str:
    if state.manifest(node) is not None:
        return "finished; kept if what it read comes back unchanged"
    parts = []
    for phase in graph.phases(node):
        done = len(state.done(node, phase.name))
        total = ""
        if per_shard(phase) and all(state.manifest(base) for base in graph.input_chains(node)):
            total = f" of {len(state.input_shards(node))}"
        if done:
            parts.append(f"{phase.name}: {done}{total} done")
    return ", ".join(parts)


def predicted_sizes(graph: Graph, state: Ledger) -> dict[Node, tuple[int, int]]:
    """(rows, text bytes) of each node's stream, from manifests where there are any, else from file sizes."""
    bases: dict[Node, tuple[int, int]] = {}
    sizes: dict[Node, tuple[int, int]] = {}
    for node in graph.nodes:
        chains = graph.input_chains(node)
        if chains:
            known = [bases[base] for base in chains]
            sizes[node] = (sum(rows for rows, _ in known), sum(text for _, text in known))
        else:
            sizes[node] = _source_size(state, node)
        if node.new_base is not None:
            if state.manifest(node) is not None:
                shards = [base.shard for base in state.base_shards(node)] if state.fingerprint(node) else []
                sizes[node] = (sum(s.rows for s in shards), sum(s.text_bytes for s in shards))
            bases[node] = sizes[node]
    return sizes


def _source_size(state: Ledger, node: Node) -> tuple[int, int]:
    rows = text = 0.0
    for (owner, _), listing in state.listings.items():
        if owner is node:
            for entry in listing.entries:
                packed = entry.name.endswith((".gz", ".zst", ".bz2", ".xz", ".parquet"))
                size = entry.size * (TEXT_PER_COMPRESSED_BYTE if packed else 1.0)
                text += size
                rows += 1 if entry.name.lower().endswith(SOUNDS) else size / TEXT_PER_DOCUMENT
    return int(rows), int(text)


def _bytes_to_write(graph: Graph, state: Ledger, node: Node, rows: int, text: int) -> int:
    """Return the bytes that are still to write: of a node that is half done, what its first half makes likely."""
    predicted = _bytes(node, rows, text)
    if state.fingerprint(node) is None:
        return predicted
    written = sum(state.store.sizes(f"{state.folder(node)}/data").values())
    share = _share_done(graph, state, node, text) if written else 0.0
    return int(written * (1 - share) / share) if share else predicted


def _share_done(graph: Graph, state: Ledger, node: Node, text: int) -> float:
    """Return which share of a node's work is done (0 to 1): by text for a base, by shards for what runs over one."""
    if node.new_base is not None:
        receipts = state.receipts(node, node.new_base, sorted(state.done(node, node.new_base)))
        laid_down = sum(shard["text_bytes"] for r in receipts for shard in r.facts.get("shards", ()))
        return min(laid_down / text, 1.0) if text else 0.0
    if not all(state.manifest(base) is not None for base in graph.input_chains(node)):
        return 0.0
    shards = len(state.input_shards(node))
    done = [len(state.done(node, phase.name)) for phase in graph.phases(node) if per_shard(phase)]
    return min(min(done) / shards, 1.0) if done and shards else 0.0


def _bytes(node: Node, rows: int, text: int) -> int:
    if node.new_base is not None and type(node).predict_bytes is Node.predict_bytes:
        return int(text * BASE_BYTES_PER_TEXT_BYTE)
    return node.predict_bytes(rows, text)


def _notices(graph: Graph, state: Ledger, node: Node, passes: Mapping[Node, list[int]]) -> list[str]:
    notices = []
    manifest = state.manifest(node)
    if manifest is None:
        check_code(node)
    elif changes := CodeIdentity.of_manifest(manifest).changes(code_of(node)):
        notices.append(f"{changes} since it ran; raise `version` to run it again")
    if not node.deterministic:
        notices.append("it cannot promise the same bytes again: what its receipts name is what it is")
    laid_down = all(state.manifest(base) is not None for base in graph.input_chains(node))
    if manifest is not None and graph.row_phase(node) is not None and laid_down:
        advice = _compact_advice(graph, state, node, manifest, passes)
        notices += [advice] if advice else []
    return notices


def _compact_advice(
    graph: Graph, state: Ledger, node: Node, manifest: dict, passes: Mapping[Node, list[int]]
) -> str | None:
    """Rewriting the rows pays when the text passes still to come outnumber 2.5 f / (1 - f), f the share alive."""
    row_phase = graph.row_phase(node)
    assert isinstance(row_phase, RowPhase)
    counts = manifest["counts"].get(row_phase.name, {})
    rows = sum(base.shard.rows for base in state.input_shards(node))
    alive = counts.get("alive_out", 0)
    if not rows or alive >= rows:
        return None
    share = alive / rows
    coming = {number for later in graph.nodes if node in graph.ancestors(later) and _reads_text(graph, later)
              for number in passes.get(later, ())}  # fmt: skip
    if len(coming) > 2.5 * share / (1 - share):
        return f"{share:.0%} of its rows are alive and {len(coming)} text passes follow: put a `compact` after it"
    return None


def _reads_text(graph: Graph, node: Node) -> bool:
    return any(isinstance(phase, RowPhase | ShardPhase) and "text" in phase.needs for phase in graph.phases(node))
