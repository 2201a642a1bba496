"""`siftloom whatif`: which documents a node would keep under another threshold, from stored scores.

No scorer runs and nothing is written. A node that decides from its own columns decides again; a node that chooses among
stored columns of others (`select`) chooses again. The counts are those that a run with the changed field would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.contract import Columns, Node, Result, RowNode, RowPhase, TaskPhase
from pipeline.errors import UserError
from pipeline.recipe import parse
from pipeline.recipe.vocabulary import fields_of
from siftloom.vocabulary import vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.run import NodeView, Run

GROUPS = ("lang", "source")  # columns by which the counts are broken down, where the documents carry them
EXAMPLES = 3  # documents of each side that are shown
LETTERS = 2000  # of an example's text


@dataclass
class Count:
    """Documents and bytes of text: [kept now, kept then]."""

    documents: list[int] = field(default_factory=lambda: [0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0])


def whatif(run: Run, label: str, change: str) -> dict[str, Any]:
    """Return what `field=value` at a node of a finished run would change. Raises UserError where no stored score says.

    `kept` and the groups of `by` hold (now, then) in documents and bytes; `sides` the documents that change sides.
    """
    node = changed(run, label, change)
    totals, groups = Count(), {name: {} for name in GROUPS}
    reasons: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    sides: dict[str, list[Any]] = {"kept then": [0, []], "removed then": [0, []]}
    seen = 0
    for table, now, then in _decisions(run, run[label], node):
        seen += table.num_rows
        lengths = _bytes(table)
        columns = {name: table[name].to_pylist() for name in GROUPS if name in table.column_names}
        for row, sides_of_row in enumerate(zip(now, then, strict=True)):
            members = [groups[name].setdefault(str(values[row]), Count()) for name, values in columns.items()]
            for place, reason in enumerate(sides_of_row):
                if reason is not None:
                    reasons[place][reason] += 1
                    continue
                for count in (totals, *members):
                    count.documents[place] += 1
                    count.bytes[place] += lengths[row]
            one, other = sides_of_row
            if (one is None) != (other is None):
                side = sides["kept then" if other is None else "removed then"]
                side[0] += 1
                if len(side[1]) < EXAMPLES:
                    text = (table["text"][row].as_py() or "")[:LETTERS]
                    side[1].append({"id": table["id"][row].as_py(), "reason": one or other, "text": text})
    return {
        "node": label, "change": change, "documents": seen, "kept": vars(totals),
        "reasons": {name: [side[name] for side in reasons] for name in sorted({*reasons[0], *reasons[1]})},
        "by": {name: {value: vars(count) for value, count in sorted(group.items())} for name, group in groups.items()},
        "sides": {name: {"documents": count, "examples": shown} for name, (count, shown) in sides.items()},
    }  # fmt: skip


def changed(run: Run, label: str, change: str) -> Node:
    """Return the node of the run's recipe with one threshold changed. Raises UserError for any other field."""
    name = change.partition("=")[0].strip()
    view, text = run[label], run.record.get("recipe")
    if not text:
        raise UserError(f"run {run.name}", "a run without a recipe", "a run of a recipe, or of nodes of the catalogue")
    node = parse(text, vocabulary(), overrides=[f"{label}.{change}"], source=f"recipe of {run.name}").nodes[label]
    known = fields_of(type(node))
    if name not in known or known[name].role != "threshold":
        free = ", ".join(key for key, each in known.items() if each.role == "threshold") or "(none)"
        raise UserError(
            f"{view.label}.{name}", "a field that changes the scores themselves", f"a threshold: {free}",
            f"siftloom run RECIPE {label} -s {label}.{change}",
        )  # fmt: skip
    return node


def _decisions(run: Run, view: NodeView, node: Node) -> Iterator[tuple[pa.Table, list, list]]:
    """Yield, batch by batch: the documents that the node saw, and its reasons now and then (None = kept)."""
    import pyarrow as pa

    decide = _deciding(run, view, node)
    manifest = view.manifest
    for seen in _shards(run, view):
        side = seen.view.read_side_car(seen.own, ["state", *manifest["adds"]])
        wanted = ["id", "text", *(name for name in (*GROUPS, *decide.needs) if name in seen.columns)]
        for start, mask, table in seen.view.batches(list(dict.fromkeys(wanted))):
            alive = pa.array(mask)
            here = side.slice(start, len(table)).filter(alive)
            states = here["state"].to_pylist()
            now = [None if state == 0 else manifest["reasons"][state - 1] for state in states]
            table = table.filter(alive)
            yield table, now, decide(table, here.select(list(manifest["adds"])))


@dataclass(frozen=True)
class Seen:
    """A base shard as a node saw it: `view` reads it, `columns` can be asked for, `own` is the node's own side-car."""

    view: Any
    columns: frozenset[str]
    own: Any


def _shards(run: Run, view: NodeView) -> Iterator[Seen]:
    from pipeline.store.rows import ShardView

    stream = run.manifests.stream(view.manifest)
    for base in stream.shards:
        *before, own = stream.chain(base.shard)
        columns = {*stream.base_columns[base.shard.base], *(name for link in before for name in link.columns)}
        yield Seen(ShardView(run.store, base, before), frozenset(columns), own)


@dataclass
class _Decide:
    """Decides one batch; `needs` are columns of the documents that it wants."""

    function: Any
    needs: Sequence[str] = ()

    def __call__(self, table: pa.Table, scores: pa.Table) -> list[str | None]:
        removed = self.function(table, scores)
        return [None] * table.num_rows if removed is None else removed.reason.to_pylist()


def _deciding(run: Run, view: NodeView, node: Node) -> _Decide:
    if isinstance(node, RowNode) and type(node).decide is not RowNode.decide:
        return _Decide(lambda table, scores: node.decide(scores))
    phases = node.phases()
    rows = phases[-1]
    if not isinstance(rows, RowPhase) or "text" in rows.needs or not all(isinstance(p, TaskPhase) for p in phases[:-1]):
        raise UserError(
            view.label, f"a {view.kind}, which decides from more than stored columns", "a node that scores and decides",
            f"siftloom run RECIPE {view.label} -s ..., then siftloom diff",
        )  # fmt: skip
    memory = Memory(run, view, node)
    for phase in phases[:-1]:
        for key in phase.keys(memory):  # type: ignore[union-attr]
            memory.results[phase.name, key] = phase.run(memory, key)  # type: ignore[union-attr]
    function = rows.open(memory)  # type: ignore[arg-type]

    def removed(table: pa.Table, scores: pa.Table) -> Any:
        found: Columns = function(table)
        return found.removed

    return _Decide(removed, rows.needs)


@dataclass
class Memory:
    """The context of a node's tasks that are tried in memory: stored rows, and no files."""

    run: Run
    view: NodeView
    node: Node
    cpus: int = 1
    results: dict[tuple[str, str], Result] = field(default_factory=dict)

    def has_column(self, name: str, of: str = "docs") -> bool:
        return all(name in seen.columns for seen in _shards(self.run, self.view))

    def rows(self, columns: Sequence[str], of: str = "docs", shards: Any = None, only: Any = None) -> Iterator[Any]:
        import pyarrow as pa

        for seen in _shards(self.run, self.view):
            for _, mask, table in seen.view.batches(list(columns)):
                yield seen.view.base.shard, table.filter(pa.array(mask))

    def result(self, phase: str, key: str, of: Any = None) -> Result:
        return self.results[phase, key]

    def __getattr__(self, name: str) -> Any:
        raise UserError(
            self.view.label, f"a {self.view.kind}, which works on files", "a node that scores and decides",
            f"siftloom run RECIPE {self.view.label} -s ..., then siftloom diff",
        )  # fmt: skip


def _bytes(table: pa.Table) -> list[int]:
    import pyarrow.compute as pc

    return [count or 0 for count in pc.binary_length(table["text"]).to_pylist()]
