"""Where documents lie: shards of a base, those that a task lays down, source files, and the place of one document.

Stages take these from `pipeline.contract`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.files.address import Address


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
    path: Address  # what opens it now; a record gives it as a text
    size: int  # bytes
    digest: str  # SHA-256 of the file, 64 hex digits
    stamp: str = ""  # another one when the file may have changed since it was listed

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Address(self.path))


@dataclass(frozen=True)
class DocumentRow:
    """One document where a base keeps it. `columns` are those of the base and of the nodes that kept the document."""

    id: str
    shard: Shard
    row: int  # in the shard
    columns: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class InPlace:
    """Rows of a Parquet source that stay where they are.

    digest      SHA-256 of the file, 64 hex digits
    ids         what the `id` of a row begins with, before a colon and its number
    row_groups  the first row group, and the one behind the last
    first_row   number of the first row in the file, from 0
    columns     column of ours -> column of the file
    objects     column of ours -> columns of the file that it holds, as one JSON object (`json_object`)
    """

    digest: str
    ids: str
    row_groups: tuple[int, int]
    first_row: int
    columns: Mapping[str, str]
    objects: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NewShard:
    """One base shard that a task has laid down; the receipts of a node's `new_base` phase list them.

    Exactly one of `ext` and `in_place` is given.

    key         names the shard for ever, in its base
    rows        number of rows, those that cannot be used included
    text_bytes  UTF-8 bytes of all texts
    ext         the rows are in the task's own Parquet file `<phase>/<task key><ext>`, with at least `id` and `text`
    in_place    the rows are in a source file
    files       SHA-256 digests of the source files that later nodes open for its rows (`Context.file`), such as sounds
    state_ext   the task's file `<phase>/<task key><state_ext>` has one int16 column `state` (0 = alive, else 1 + the
                index in the node's `reasons`), for rows that cannot be used; left out when there are none
    """

    key: str
    rows: int
    text_bytes: int
    ext: str | None = None
    in_place: InPlace | None = None
    files: tuple[str, ...] | None = None
    state_ext: str | None = None

    def __post_init__(self) -> None:
        if (self.ext is None) == (self.in_place is None):
            raise ValueError(f"shard {self.key}: give either a file (`ext`) or rows `in_place`")

    def form(self) -> dict[str, Any]:
        """Return the JSON form, without what is not given."""
        form = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        if self.in_place is not None:
            objects = {ours: list(theirs) for ours, theirs in self.in_place.objects.items()}
            columns = dict(self.in_place.columns)
            form["in_place"] |= {"row_groups": list(self.in_place.row_groups), "columns": columns, "objects": objects}
        if self.files is not None:
            form["files"] = list(self.files)
        return form

    @staticmethod
    def parse(form: Mapping[str, Any]) -> NewShard:
        """Return the shard of a JSON form."""
        place = form.get("in_place")
        if place is not None:
            place = InPlace(**{**place, "row_groups": tuple(place["row_groups"])})
        files = None if form.get("files") is None else tuple(form["files"])
        return NewShard(**{**form, "in_place": place, "files": files})


def shard_facts(shards: Iterable[NewShard]) -> dict[str, Any]:
    """Return the facts of a task that has laid these shards down."""
    return {"shards": [shard.form() for shard in shards]}
