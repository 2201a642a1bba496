"""All that a stage may import from the engine: what a node is, what its phases are, what a task is given and returns.

A node is a frozen dataclass. Fields that hold nodes are its inputs; every other field is its configuration:

    @dataclass(frozen=True, kw_only=True, eq=False)
    class LongEnough(RowNode):
        '''Drop documents of fewer than `min_chars` characters.'''

        docs: Node
        min_chars: int = threshold(200)

        needs = ("text",)
        reasons = ("long_enough.short",)

        def adds(self):
            return {"chars": "int32"}

        def open(self, ctx):
            import pyarrow.compute as pc
            return lambda table: Columns(added={"chars": pc.utf8_length(table["text"]).cast("int32")})

        def decide(self, scores):
            import pyarrow.compute as pc
            return Removed.where(pc.less(scores["chars"], self.min_chars), "long_enough.short",
                                 value=scores["chars"], threshold=self.min_chars)

Building a node runs nothing. A node is done in phases, in their order; a phase is a set of independent keyed tasks; a
task ends in a receipt. Three kinds of phase exist:

* `RowPhase`   one side-car of columns per shard of the base; runs inside a pass, over the rows still alive;
* `ShardPhase` any files per shard, from its alive rows (dedup keys, packed tokens, exports); runs inside a pass too;
* `TaskPhase`  keyed tasks that read whatever earlier phases and inputs have finished (edges, components, a trainer).

`eq=False` keeps nodes comparable by identity: equality of values is the fingerprint's business, and comparing a deep
graph field by field would walk every path through it.
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# ---------------------------------------------------------------------------------------------------------------------
# fields


def threshold(default: Any) -> Any:
    """A field that only `decide` reads: part of the identity, not of the score key, so changing it rescores nothing."""
    return field(default=default, metadata={"role": "threshold"})


def runtime(default: Any) -> Any:
    """A field that cannot change any byte of the output (workers, intervals, guards): never part of the identity."""
    return field(default=default, metadata={"role": "runtime"})


def sources(default: Any = dataclasses.MISSING) -> Any:
    """A field of paths or globs: the identity holds the digests of the files instead of their names."""
    return field(default=default, metadata={"role": "sources"})


def reach(default: Any) -> Any:
    """A field that says which tasks there are and never what one of them makes (a limit); only where `content_keys`."""
    return field(default=default, metadata={"role": "reach"})


# ---------------------------------------------------------------------------------------------------------------------
# what a row function returns


@dataclass(frozen=True)
class Removed:
    """Which rows of a batch go, and why. All three arrays are as long as the batch.

    reason     string, null = the row stays; every name must stand in the node's `reasons`
    value      float64, what was measured (null where nothing was)
    threshold  float64, what it was held against
    """

    reason: pa.Array
    value: pa.Array | None = None
    threshold: pa.Array | None = None

    @staticmethod
    def where(mask: Any, reason: str, value: Any = None, threshold: float | None = None) -> Removed:
        """One rule: rows where `mask` (null counts as false) is true go for `reason`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        mask = pc.fill_null(contiguous(mask), False)
        nothing = pa.scalar(None, pa.float64())
        pick = pc.if_else
        return Removed(
            reason=pick(mask, pa.scalar(reason), pa.scalar(None, pa.string())),
            value=None if value is None else pick(mask, contiguous(value).cast(pa.float64()), nothing),
            threshold=None if threshold is None else pick(mask, pa.scalar(float(threshold)), nothing),
        )

    @staticmethod
    def first(rules: Sequence[Removed]) -> Removed:
        """Several rules in order: a row goes for the first rule that it breaks."""
        import pyarrow as pa
        import pyarrow.compute as pc

        reason, value, limit = rules[0].reason, rules[0].value, rules[0].threshold
        length = len(reason)
        nothing = pa.nulls(length, pa.float64())
        value, limit = nothing if value is None else value, nothing if limit is None else limit
        for rule in rules[1:]:
            free = pc.is_null(reason)
            reason = pc.if_else(free, rule.reason, reason)
            value = pc.if_else(free, nothing if rule.value is None else rule.value, value)
            limit = pc.if_else(free, nothing if rule.threshold is None else rule.threshold, limit)
        return Removed(reason, value, limit)


@dataclass(frozen=True)
class Columns:
    """What a row function says of one batch; every array is as long as the batch.

    added    the columns the node declares in `adds()`, of the declared types
    removed  which rows go; leave it out when the node overrides `decide`
    text     the changed text, null = unchanged; only from a node with `changes_text`
    """

    added: Mapping[str, Any] = field(default_factory=dict)
    removed: Removed | None = None
    text: Any | None = None


RowFunction = Callable[["pa.Table"], Columns]


@dataclass(frozen=True)
class Result:
    """What a task says of itself in its receipt; must be a function of its inputs alone.

    counts  whole numbers that may be added over tasks (the conservation law is checked on these sums)
    facts   anything small and JSON-shaped (at most 64 KiB)
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class ShardWriter(Protocol):
    """Takes the alive rows of one shard, batch by batch, and ends in a result."""

    def add(self, table: pa.Table) -> None: ...

    def finish(self) -> Result: ...


# ---------------------------------------------------------------------------------------------------------------------
# phases


@dataclass(frozen=True)
class Law:
    """What must balance over all receipts of a phase: counts[total] == sum of counts[part].

    A part that ends in a dot stands for every count that begins so (`dropped.` for `dropped.short`, `dropped.empty`).
    """

    unit: str
    total: str
    parts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RowPhase:
    """One side-car per shard. `open(ctx)` runs once per worker, or once per shard (then `ctx.shard` is set).

    Rows are balanced by the engine: alive before = alive after + removed per reason.
    `fields`: see `ShardPhase`.
    """

    name: str = "rows"
    open: Callable[[Context], RowFunction]
    needs: tuple[str, ...] = ()
    per_shard: bool = False
    cpus: float = 1
    gpus: float = 0
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ShardPhase:
    """Files per shard. `open(ctx)` is called for each shard (`ctx.shard` is set) and returns its writer.

    `needs` may name `_row`, the int64 row number inside the base shard.

    `fields` are all the fields that can change
    this phase's bytes; when given, a phase that another node has finished with the same ones (same kind, version,
    inputs and earlier phases) is linked, not run again.
    """

    name: str
    open: Callable[[Context], ShardWriter]
    needs: tuple[str, ...] = ()
    cpus: float = 1
    gpus: float = 0
    fields: tuple[str, ...] | None = None
    law: Law | None = None


@dataclass(frozen=True, kw_only=True)
class TaskPhase:
    """Keyed tasks. `keys(ctx)` is asked once the inputs and the earlier phases are done; keys are file-name safe.

    `place="driver"` runs the task in a thread of the driver (a trainer that starts its own workers), else as a Ray
    task; phases that follow one another and have a single task each may share one. `fresh=True` runs it in a new
    process that ends with it (libraries that keep hidden state between calls).
    """

    name: str
    keys: Callable[[Context], Sequence[str]]
    run: Callable[[Context, str], Result]
    place: Literal["task", "driver"] = "task"
    fresh: bool = False
    cpus: float = 1
    gpus: float = 0
    fields: tuple[str, ...] | None = None
    law: Law | None = None


Phase = RowPhase | ShardPhase | TaskPhase
# A node with `new_base` lays down base shards: the receipts of that phase (a `TaskPhase`, or a `ShardPhase` when rows
# of another base are carried over) list them in `facts["shards"]`, each in one of two forms:
#
#   {"key", "rows", "text_bytes", "ext"}
#       a Parquet file of this task, `<phase>/<task key><ext>`, with `id` and `text`
#   {"key", "rows", "text_bytes", "in_place": {"digest", "ids", "row_groups": [a, b], "first_row", "columns"},
#    "state_ext" (optional)}
#       rows of a Parquet source as they lie; `columns` maps a column of ours to one of the file, `id` is `ids`, a colon
#       and the row number; `state_ext` names a file of this task with one int16 column `state` (0 = alive, else 1 + the
#       index in `reasons`), for rows that cannot be used
ONE = ("all",)  # the keys of a phase that has a single task


def one(ctx: Context) -> Sequence[str]:
    """`keys` of a phase that has a single task."""
    return ONE


# ---------------------------------------------------------------------------------------------------------------------
# nodes


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """A frozen value: what to do, to what. See the module's docstring for how one is written."""

    version: ClassVar[int] = 1  # raise it when the same configuration gives other bytes
    reasons: ClassVar[tuple[str, ...]] = ()  # every reason it may remove a row for; order is part of the format
    stream: ClassVar[str] = "docs"  # the field whose rows its row and shard phases run over
    new_base: ClassVar[str | None] = None  # the phase whose receipts list new base shards (`facts["shards"]`)
    content_keys: ClassVar[bool] = False  # a task's key names all that it reads; see `Node.source_marks`
    libraries: ClassVar[tuple[str, ...]] = ()  # distributions that make the bytes: their versions are in the identity
    recipe_name: ClassVar[str | None] = None  # only where snake case would split a word (`minhash_dedup`)

    @classmethod
    def kind(cls) -> str:
        """The recipe name: the class name in snake case."""
        return cls.recipe_name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()

    def phases(self) -> tuple[Phase, ...]:
        """The phases, in order."""
        raise NotImplementedError(f"{type(self).__name__}.phases")

    def adds(self) -> Mapping[str, str]:
        """Columns that the row phase adds: name -> Arrow type name (`float32`, `int64`, `string`, `bool`)."""
        return {}

    def check(self) -> None:
        """Raise a `RecipeError` when the fields contradict each other; called when the graph is built."""

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str] | None:
        """What the names of source files decide about their bytes (a format), one mark a file; part of the identity.

        A node with `content_keys` gives its tasks keys that name the digests and marks of the files they read. Two
        nodes that differ in their source files and `reach` fields only then share the tasks, and the shards, of
        equal keys: a corpus that grows by a file is read and scored in that file alone.
        """
        return None

    def figures(self, ctx: Context) -> Iterable[Mapping[str, Any]]:
        """Chart descriptions for the report, made once at commit; see `docs/figures.md` for the kinds."""
        return ()

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        """Bytes that the node will write, for `plan`; `rows` and `text_bytes` are those of its stream."""
        return 64 * 1024 + rows * (2 + sum(_width(kind) for kind in self.adds().values()))

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        """Bytes of memory that the largest task needs, for `plan`; the default is that of one streaming worker."""
        return 400 * 1024**2


@dataclass(frozen=True, kw_only=True, eq=False)
class RowNode(Node):
    """A node of one row phase: `open` scores, `decide` removes.

    A node that overrides `decide` promises that its removals are a function of its own added columns and its fields;
    the engine may then fill the columns from an earlier run (`threshold` fields apart, the same configuration) and
    only decide. `histograms`: column -> (low, high, bins[, field]), counted by the engine and drawn in the report;
    the field, if there is one, is the threshold below which rows go.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    changes_text: ClassVar[bool] = False
    histograms: ClassVar[Mapping[str, tuple[float, float, int] | tuple[float, float, int, str]]] = {}

    @abstractmethod
    def open(self, ctx: Context) -> RowFunction:
        """Runs once per worker: load models here; returns the function for one batch of alive rows."""

    def decide(self, scores: pa.Table) -> Removed | None:
        """Which rows go, from the added columns alone."""
        return None

    def phases(self) -> tuple[Phase, ...]:
        return (RowPhase(open=self.open, needs=self.needs),)


# ---------------------------------------------------------------------------------------------------------------------
# what a task is given


@dataclass(frozen=True)
class Shard:
    """One base shard: a fixed piece of the base, named for ever by (base fingerprint, key)."""

    base: str  # fingerprint of the node that laid it down, 12 hex digits
    key: str
    rows: int
    text_bytes: int

    @property
    def name(self) -> str:
        """The key of this shard in every per-shard phase; file-name safe."""
        return f"{self.base[:8]}-{self.key}"


@dataclass(frozen=True)
class Source:
    """One source file, digested before the node runs."""

    index: int  # place in the listing, which is sorted by name
    name: str  # relative to the listing's root; never an absolute path
    path: str  # what opens it now: a local path or a URI
    size: int  # bytes
    digest: str  # SHA-256 of the file, 64 hex digits
    stamp: str = ""  # changes when the file may have changed: its modification time as it was listed


Of = str | tuple[str, int] | None  # own earlier phase (None), the input in a field, or the i-th input in a field


class Context(ABC):
    """What a task may touch: its node, finished inputs, its own earlier phases, its output files.

    Every file that is opened through the context is recorded in the task's receipt.
    """

    node: Node
    shard: Shard  # only in shard phases and in row phases opened per shard
    cpus: int  # threads that this task may use

    @abstractmethod
    def shards(self, of: Of = "docs") -> Sequence[Shard]:
        """The base shards behind a row-stream input, in order (several inputs: concatenated)."""

    @abstractmethod
    def rows(
        self,
        columns: Sequence[str],
        of: Of = "docs",
        shards: Sequence[Shard] | None = None,
        only: np.ndarray | None = None,
    ) -> Iterator[tuple[Shard, pa.Table]]:
        """Alive rows of an input, batch by batch in shard order; `_row`, `id` and `text` may be asked for.
        With `only` (rows of a shard, ascending) parts of it that hold none of them are not read.
        """

    @abstractmethod
    def column_rows(self, columns: Sequence[str], of: Of = "docs") -> Iterator[tuple[Shard, pa.Table]]:
        """Like `rows`, but every row of the base with null for the ones gone, and a column `state` (0 = alive)."""

    @abstractmethod
    def has_column(self, name: str, of: Of = "docs") -> bool:
        """Whether the input's rows carry a column."""

    @abstractmethod
    def keys(self, phase: str, of: Of = None) -> Sequence[str]:
        """Keys of a finished phase, in order."""

    @abstractmethod
    def path(self, phase: str, key: str, ext: str, of: Of = None) -> Path:
        """Local path of a finished file, `<phase>/<key><ext>` (fetched first when the store is remote)."""

    @abstractmethod
    def result(self, phase: str, key: str, of: Of = None) -> Result:
        """Counts and facts of a finished task."""

    @abstractmethod
    def sources(self, of: str = "paths") -> Sequence[Source]:
        """The files behind a `sources()` field of this node, in order."""

    @abstractmethod
    def open_source(self, source: Source) -> BinaryIO:
        """A seekable binary stream of a source file, local or remote."""

    @abstractmethod
    def fingerprint(self, of: Of = None) -> str:
        """Fingerprint (64 hex digits) of an input, or of this node."""

    @abstractmethod
    def input(self, of: Of) -> Node:
        """The node value behind an input field."""

    @abstractmethod
    def create(self, ext: str) -> AbstractContextManager[Path]:
        """A new output file of this task, `<phase>/<key><ext>`: write to the path, it is published when the task ends.

        `ext` begins with a dot, a dash or a slash (`.parquet`, `-00.parquet`, `/config.json`).
        """

    @abstractmethod
    def scratch(self) -> str:
        """A folder of this node for mutable state (a trainer's checkpoints); a path, or a URI on a remote store."""

    @abstractmethod
    def stopping(self) -> bool:
        """Whether the driver was asked to stop: a long task should save and raise `errors.Stopped`."""

    @abstractmethod
    def log(self, event: str, **values: Any) -> None:
        """Tell the event log and the progress table (never the data): steps done, losses, rates."""


def contiguous(values: Any) -> pa.Array:
    """One Arrow array from an Arrow array, chunked array, numpy array or list; a single chunk is not copied."""
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    return values if isinstance(values, pa.Array) else pa.array(values)


def _width(kind: str) -> int:
    """Rough bytes a value of an Arrow type takes in a compressed side-car."""
    return {"bool": 1, "int32": 2, "float32": 3, "int64": 5, "float64": 6}.get(kind, 8)
