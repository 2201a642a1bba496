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

Every phase says what a worker of it holds (`Resources`). `Rounds` unrolls an iteration into keyed phases.

`eq=False` keeps nodes comparable by identity: equality of values is the fingerprint's business, and comparing a deep
graph field by field would walk every path through it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, Protocol

from pipeline.arrow import arrow_type as arrow_type
from pipeline.arrow import contiguous as contiguous
from pipeline.arrow import plain_rows as plain_rows
from pipeline.arrow import width
from pipeline.construct import Checked
from pipeline.fields import file as file
from pipeline.fields import reach as reach
from pipeline.fields import runtime as runtime
from pipeline.fields import sources as sources
from pipeline.fields import target as target
from pipeline.fields import threshold as threshold
from pipeline.files.address import Address as Address
from pipeline.files.store import Store as Store
from pipeline.files.stored import StoredFile as StoredFile
from pipeline.files.stored import too_large as too_large
from pipeline.json_object import json_object as json_object
from pipeline.node_line import node_line
from pipeline.resources import ONE_CPU
from pipeline.resources import Resources as Resources
from pipeline.returned import Columns as Columns
from pipeline.returned import PieceWriter as PieceWriter
from pipeline.returned import Removed as Removed
from pipeline.returned import Result as Result
from pipeline.returned import RowFunction as RowFunction
from pipeline.returned import ShardWriter as ShardWriter
from pipeline.shards import DocumentRow as DocumentRow
from pipeline.shards import InPlace as InPlace
from pipeline.shards import NewShard as NewShard
from pipeline.shards import Shard as Shard
from pipeline.shards import Source as Source
from pipeline.shards import shard_facts as shard_facts
from pipeline.values import Form as Form
from pipeline.values import Gives as Gives

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

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
    """One side-car per shard. Rows are balanced by the engine: alive before = alive after + removed per reason.

    load         runs once per worker, before any row. What it returns is `ctx.loaded` of every later `open`. It serves
                 phases with `per_shard`, whose `open` runs for every shard
    open         returns the function for one batch of alive rows. Runs once per worker, or once per shard with
                 `per_shard` (then `ctx.shard` is set)
    needs        columns that the function reads; `_row` is the int64 row number inside the base shard
    batch_rows   rows in every batch but a shard's last; None: batches as they are read. Where the values of a row
                 depend on the others in its batch (padding in torch), make it a plain field of the node, so that it is
                 part of the identity
    batch_tokens  most tokens of a batch, with its rows padded to the longest text among them; such a batch ends before
                 it has `batch_rows`. A token is taken for four UTF-8 bytes of `text`. A single row may have more
    together     a column of `needs`: no batch parts rows of one value of it that stand behind one another. A batch then
                 has `batch_rows` rows or more. For values that depend on the others of a group
    commit_rows  a long shard is stored in pieces of so many rows while it is at work, so that a killed worker loses at
                 most one piece. A multiple of `batch_rows`. The bytes of the side-car do not depend on it
    on_error     `fail`: an error of a row fails its shard. `reason`: an error of a class in the node's `row_errors`
                 removes the row. The reason is `<kind>.error.<class>`, and the error's text stands in the column
                 `removed_error`
    own_pass     shares a pass with no other phase
    reuse        whether a side-car may be linked from another run that took the same rows, and columns of single rows
                 be copied where the rows are others; `batches`: columns are copied only with their whole batch, for
                 values that depend on the others in it
    fields       see `ShardPhase`
    """

    name: str = "rows"
    open: Callable[[Context], RowFunction]
    load: Callable[[Context], Any] | None = None
    needs: tuple[str, ...] = ()
    per_shard: bool = False
    resources: Resources = ONE_CPU
    batch_rows: int | None = None
    batch_tokens: int | None = None
    together: str | None = None
    commit_rows: int | None = None
    on_error: Literal["fail", "reason"] = "fail"
    own_pass: bool = False
    reuse: bool | Literal["batches"] = True
    fields: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_batches(self)
        if self.together is not None and self.reuse is not False:
            raise ValueError("with together the values of a row depend on its group: reuse=False")


def _check_batches(phase: RowPhase | ShardPhase) -> None:
    for name in ("batch_rows", "batch_tokens", "commit_rows"):
        number = getattr(phase, name)
        if number is not None and number < 1:
            raise ValueError(f"{name} is {number}; it must be at least 1")
    rows, commit = phase.batch_rows, phase.commit_rows
    if commit is not None and commit % (rows or 1):
        raise ValueError(f"commit_rows ({commit}) must be a multiple of batch_rows ({rows})")
    if phase.batch_tokens is not None and (rows is None or "text" not in phase.needs):
        raise ValueError("batch_tokens bounds batches of `batch_rows` rows whose `text` the phase needs")
    if phase.together is not None and (phase.together not in phase.needs or phase.batch_tokens or commit):
        raise ValueError("together names a column of `needs`, without batch_tokens and commit_rows")


@dataclass(frozen=True, kw_only=True)
class ShardPhase:
    """Files per shard. `open(ctx)` is called for each shard (`ctx.shard` is set) and returns its writer.

    `load`, `needs`, `batch_rows`, `batch_tokens`, `together` and `own_pass` are those of a `RowPhase`. With
    `commit_rows` the writer is a `PieceWriter`, and the results of its `work` are stored in pieces of so many rows.

    `fields` are all the fields that can change this phase's bytes, beside those that hold nodes; None: every field may.

    `whole` returns all that a task takes beside its rows, the columns that it needs of them and what the node's
    earlier phases wrote (the number of all rows, say), JSON-shaped; `nothing` where that is nothing. When given, a task
    is linked from any node of the kind whose `fields`, `whole` and rows of a shard are equal. None: a task may take
    more than that, such as the name of its base or the node's fingerprint. Then it is linked only with `fields`, and
    where these, the inputs and the fields of the earlier phases are equal.
    """

    name: str
    open: Callable[[Context], ShardWriter | PieceWriter]
    load: Callable[[Context], Any] | None = None
    needs: tuple[str, ...] = ()
    resources: Resources = ONE_CPU
    batch_rows: int | None = None
    batch_tokens: int | None = None
    together: str | None = None
    commit_rows: int | None = None
    own_pass: bool = False
    fields: tuple[str, ...] | None = None
    law: Law | None = None
    whole: Callable[[Context], Any] | None = None

    def __post_init__(self) -> None:
        _check_batches(self)


def nothing(ctx: Context) -> None:
    """`whole` of a phase whose tasks take nothing from beyond their shard."""


@dataclass(frozen=True, kw_only=True)
class TaskPhase:
    """Keyed tasks. `keys(ctx)` is asked once the inputs and the earlier phases are done; keys are file-name safe.

    `place="driver"` runs the task in a thread of the driver (a trainer that starts its own workers: `resources` are
    those of all of them together), else as a Ray task. `workers` is how many processes such a trainer starts at most:
    one starts without Ray too, a group does not. `fresh=True` runs the task in a new process that ends with it
    (libraries that keep hidden state between calls).
    """

    name: str
    keys: Callable[[Context], Sequence[str]]
    run: Callable[[Context, str], Result]
    place: Literal["task", "driver"] = "task"
    workers: int = 0
    fresh: bool = False
    resources: Resources = ONE_CPU
    fields: tuple[str, ...] | None = None
    law: Law | None = None

    def __post_init__(self) -> None:
        if self.resources.actors is not None:
            raise ValueError(f"phase {self.name}: keyed tasks are no actors")


Phase = RowPhase | ShardPhase | TaskPhase


ONE = ("all",)  # the keys of a phase that has a single task


def one(ctx: Context) -> Sequence[str]:
    """`keys` of a phase that has a single task."""
    return ONE


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Repeat until: an iteration unrolled into keyed phases, so that every round resumes.

    phases  round number, from 0 -> its phases, in order; their names must name the round (`merge-003`). A task may read
            what earlier rounds have written
    until   (ctx, round number) -> whether that round, which is finished, was the last
    most    how many rounds there can be

    Phases behind the last round have no keys, so nothing of them runs.
    """

    phases: Callable[[int], Sequence[TaskPhase]]
    until: Callable[[Context, int], bool]
    most: int

    def unrolled(self) -> tuple[TaskPhase, ...]:
        """Return the phases of all rounds that there can be, for `Node.phases`."""
        return tuple(
            dataclasses.replace(phase, keys=lambda ctx, number=number, keys=phase.keys: self._keys(ctx, number, keys))
            for number in range(self.most)
            for phase in self.phases(number)
        )

    def last(self, ctx: Context) -> int:
        """Return the number of the last round that has run; for tasks and figures behind the rounds."""
        return max(number for number in range(self.most) if self._ran(ctx, number))

    def _keys(self, ctx: Context, number: int, keys: Callable[[Context], Sequence[str]]) -> Sequence[str]:
        over = number > 0 and (not self._ran(ctx, number - 1) or self.until(ctx, number - 1))
        return () if over else keys(ctx)

    def _ran(self, ctx: Context, number: int) -> bool:
        return any(ctx.keys(phase.name) for phase in self.phases(number))


# ---------------------------------------------------------------------------------------------------------------------
# nodes


@dataclass(frozen=True, kw_only=True, eq=False)
class Node(metaclass=Checked):
    """A frozen value: what to do, to what. See the module's docstring for how one is written. Making one holds every
    field against its type (`pipeline.construct`); what fields say together is for `check`.
    """

    version: ClassVar[int] = 1  # raise it when the same configuration gives other bytes
    reasons: ClassVar[tuple[str, ...]] = ()  # every reason it may remove a row for; order is part of the format
    stream: ClassVar[str] = "docs"  # the field whose rows its row and shard phases run over
    content_keys: ClassVar[bool] = False  # a task's key names all that it reads; see `Node.source_marks`
    libraries: ClassVar[tuple[str, ...]] = ()  # distributions that make rules of their own: versions in the identity
    deterministic: ClassVar[bool] = True  # False: it cannot promise bytes, so its finished receipts are what it is
    carries: ClassVar[bool] = True  # whether a new base that is made from rows has their columns too
    new_base: ClassVar[str | None] = None  # the phase whose receipts list new base shards (`shard_facts`)
    gives: ClassVar[str] = "documents"  # what other nodes take it for: a field asks with `Annotated[Node, Gives(...)]`
    made: ClassVar[tuple[str, ...]] = ()  # of a node that gives no documents: the counts that say best what it made
    becomes: ClassVar[str | None] = None  # what the documents of its stream become, a count of a phase: `tokens`
    recipe_name: ClassVar[str | None] = None  # only where snake case would split a word (`minhash_dedup`)
    progress_formats: ClassVar[Mapping[str, str]] = {}  # value of `Context.log` -> how the progress shows it

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__repr__ = node_line  # here, so that `dataclass` leaves it: fields of paths may hold secrets

    allow_empty: bool = runtime(False)  # whether it may remove every row it sees; else that stops the run

    @classmethod
    def kind(cls) -> str:
        """The recipe name: the class name in snake case."""
        return cls.recipe_name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()

    def phases(self) -> tuple[Phase, ...]:
        """The phases, in order."""
        raise NotImplementedError(f"{type(self).__name__}.phases")

    def resources(self) -> Resources:
        """What a worker of the row phase holds; override it to derive them from fields."""
        return ONE_CPU

    def adds(self) -> Mapping[str, str]:
        """Columns that the row phase adds: name -> type, as `arrow_type` reads it (`string`, `float16[384]`)."""
        return {}

    def column_hint(self, name: str) -> str | None:
        """Say what to change in this node so that the rows that it lays down have a column, if that can be done."""
        return None

    def original_column(self) -> str | None:
        """The added column that names, in the row of a removed copy, the id of the document that stays."""
        return None

    def all_reasons(self) -> tuple[str, ...]:
        """Return every reason that a row of it may carry, in the order of their codes."""
        return self.reasons

    def check(self) -> None:
        """Raise a `RecipeError` when the fields contradict each other; called when the graph is built."""

    def check_files(self, files: Callable[[Node], frozenset[str]]) -> None:
        """Raise a `RecipeError` where inputs read the same files and must not. `files` names the files that a node has
        in its fields of paths: by place, and by digest once that is known. Called when files are listed, and again when
        they are digested.
        """

    def code(self) -> tuple[str, ...]:
        """Names of modules, beside the node's own, that hold code which makes its rows (a user's function). One that is
        not found is an error of `plan`; imports are followed from there.
        """
        return ()

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str] | None:
        """What the names of source files decide, one mark a file: a format; the name itself, where a file is found by
        it. Part of the identity. May raise an error for names that the node cannot take: it is asked when files are
        listed, before anything runs.

        A node with `content_keys` gives its tasks keys that name the digests and marks of the files they read. Two
        nodes that differ in their source files and `reach` fields only then share the tasks, and the shards, of
        equal keys: a corpus that grows by a file is read and scored in that file alone.
        """
        return None

    def overwritten(self, ctx: Context) -> str | None:
        """The phase that delivers the node's files to a place of the user's, where another node has delivered to that
        place since; None otherwise. Asked of a finished node, which is then to deliver again.
        """
        return None

    def figures(self, ctx: Context) -> Iterable[Mapping[str, Any]]:
        """Return chart descriptions for the report, computed once at commit; see `docs/figures.md` for the kinds."""
        return ()

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        """Return what a finished node of this kind says about one document, for `siftloom why`.

        The engine knows the scores and removals of row phases; a node adds what only it knows, as numbers or lists by
        name (`copies`, `rows`). A node without a row phase says a `state` too, or returns nothing and is left out. It
        is asked about documents that it did not remove. A class method, since a run is read without its node values.
        """
        return {}

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        """Bytes that the node will write, for `plan`; `rows` and `text_bytes` are those of its stream."""
        return 64 * 1024 + rows * (2 + sum(width(kind) for kind in self.adds().values()))

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        """Bytes of memory that the largest task needs, for `plan`; the default is that of one streaming worker."""
        return 400 * 1024**2


@dataclass(frozen=True, kw_only=True, eq=False)
class RowNode(Node):
    """A node of one row phase: `open` scores, `decide` removes.

    A node that overrides `decide` promises that its removals are a function of its own added columns and its fields;
    the engine may then fill the columns from an earlier run (`threshold` fields apart, the same configuration) and
    only decide. `histograms`: column -> (low, high, bins, *fields), counted by the engine and drawn in the report with
    the rows that went; the fields are the thresholds that the column is held against.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    changes_text: ClassVar[bool] = False
    row_errors: ClassVar[
        tuple[type[Exception], ...]
    ] = ()  # what may go wrong with one row alone; see `RowPhase.on_error`
    histograms: ClassVar[Mapping[str, tuple[float | str, ...]]] = {}

    @abstractmethod
    def open(self, ctx: Context) -> RowFunction:
        """Runs once per worker: load models here; returns the function for one batch of alive rows."""

    def decide(self, scores: pa.Table) -> Removed | None:
        """Which rows go, from the added columns alone."""
        return None

    def phases(self) -> tuple[Phase, ...]:
        return (RowPhase(open=self.open, needs=self.needs, resources=self.resources()),)

    def all_reasons(self) -> tuple[str, ...]:
        return (*self.reasons, *(f"{self.kind()}.error.{error.__name__}" for error in self.row_errors))


# ---------------------------------------------------------------------------------------------------------------------
# what a task is given


class FinishedNode(Protocol):
    """What `Node.explain` may ask about its node in a finished run."""

    @property
    def reached(self) -> bool:
        """Whether an input of the node kept the document."""
        ...

    @property
    def inputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Fingerprint of each input -> the facts that input gave about the document."""
        ...

    def path(self, phase: str, key: str, ext: str) -> Path:
        """Return the local path of a file of the node, `<phase>/<key><ext>`."""
        ...

    def stored(self, phase: str, key: str, ext: str) -> StoredFile:
        """Return the file that `path` finds, of which nothing is fetched yet."""
        ...

    def removed(self) -> pa.Table:
        """Return the rows that the node removed: `id`, `reason`, `value`, `threshold`, `duplicate_of`."""
        ...


class RowReader(Protocol):
    """Reads the alive rows of an input in whatever process it is sent to; a plain value."""

    @property
    def shards(self) -> Sequence[Shard]:
        """The base shards, in order."""
        ...

    def __call__(self, shard: Shard) -> Iterator[pa.Table]:
        """Alive rows of one shard, batch by batch."""
        ...


Of = str | tuple[str, int] | None  # own earlier phase (None), the input in a field, or the i-th input in a field


class Context(ABC):
    """What a task may touch: its node, finished inputs, its own earlier phases, its output files.

    Every file that is opened through the context is recorded in the task's receipt.
    """

    node: Node
    shard: Shard  # only in shard phases and in row phases opened per shard
    cpus: int  # threads that this task may use
    loaded: Any = None  # what the `load` of a row or shard phase has returned in this worker

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
    def reader(self, columns: Sequence[str], of: Of = "docs") -> RowReader:
        """Return a plain value that reads alive rows in processes that the task starts itself, such as workers of a Ray
        Dataset. The receipt names every shard as read, whether or not it is.
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
    def stored(self, phase: str, key: str, ext: str, of: Of = None) -> StoredFile:
        """The file that `path` finds, as a value for processes that the task starts, wherever they run. Nothing is
        fetched.
        """

    @abstractmethod
    def result(self, phase: str, key: str, of: Of = None) -> Result:
        """Counts and facts of a finished task."""

    @abstractmethod
    def sources(self, of: str = "paths") -> Sequence[Source]:
        """The files behind a `sources()` field of this node, in order."""

    @abstractmethod
    def file(self, digest: str, of: Of = "docs") -> Source:
        """The source file with this SHA-256 behind the rows of an input, for `open_source`: a sound, say. The base that
        laid the rows down has named it in `NewShard.files`.
        """

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
    def behind(self) -> Iterable[tuple[Node, Mapping[str, int]]]:
        """Every node that this one depends on, inputs first and each once, with the counts of its row phase
        (`alive_in`, `alive_out`, `removed.<reason>`) or of the phase that laid its base down; of others none.
        """

    @abstractmethod
    def create(self, ext: str) -> AbstractContextManager[Path]:
        """A new output file of this task, `<phase>/<key><ext>`: write to the path, it is published when the task ends.

        `ext` begins with a dot, a dash or a slash (`.parquet`, `-00.parquet`, `/config.json`).
        """

    def read_json(self, phase: str, key: str = ONE[0], ext: str = ".json", of: Of = None) -> Any:
        """The value of a finished file of JSON."""
        return json.loads(self.path(phase, key, ext, of).read_text(encoding="utf-8"))

    def write_json(self, value: Any, ext: str = ".json") -> None:
        """A new output file of JSON, its names in order."""
        with self.create(ext) as path:
            path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @abstractmethod
    def temporary(self) -> Path:
        """A new local folder for files of any size. It goes with this process, also where that is killed."""

    @abstractmethod
    def scratch(self) -> Store | str:
        """A folder of this node for mutable state (a trainer's checkpoints): its path, or a place on an object store.
        Both are values that travel to processes which the task starts.
        """

    @abstractmethod
    def target(self, address: str) -> Store:
        """The place outside the store that a `target` field names."""

    @abstractmethod
    def stopping(self) -> bool:
        """Whether the driver was asked to stop: a long task should save and raise `errors.Stopped`."""

    @abstractmethod
    def log(self, event: str, **values: Any) -> None:
        """Report to the event log and the progress table (never the data): losses, rates, and `step` of `steps`, from
        which the time left is estimated. The progress shows what the node's `progress_formats` name, and `notice` as a
        line of its own.
        """
