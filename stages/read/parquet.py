"""Parquet sources are not copied where their columns are of plain types: a base shard is a run of row groups of the
file as it lies (`in_place.py`).

What is made here is the plan of the runs. Fields in fields, renamed columns, texts as bytes and kept values of other
types make the rows copied, a run of row groups to a task. Leaves out row groups cut into parts: a file of one huge row
group is one shard.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.contract import Source
from pipeline.errors import DataError, SourceChanged, SourceDamaged
from stages.documents import SOURCE, SOURCE_ID, TEXT
from stages.read.batches import needed, records
from stages.read.keep import KINDS, Kept, KeptFields
from stages.read.record_to_row import LONGEST, Reject, missing_column

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 4096


@dataclass(frozen=True)
class Runs:
    """Runs of row groups: (first group, group after the last, row number of the first row, rows).

    `columns`: our columns -> the file's, None where the rows have to be copied. `rest`: the file's columns that travel
    together in `source_fields`. `footer`: SHA-256 of the file's footer, which names every byte range in it.
    """

    runs: list[list[int]]
    columns: dict[str, str] | None
    footer: str
    rest: list[str]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(vars(self), sort_keys=True), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Runs:
        return Runs(**json.loads(path.read_text(encoding="utf-8")))


def survey(stream: BinaryIO, source: Source, text: str, id_field: str, keep: KeptFields, run_bytes: int) -> Runs:
    """Where the file is cut, by bytes of its text column; raises `DataError` for a column that is missing or there
    twice, or a text of another type."""
    footer = footer_digest(stream, source)
    file = open_parquet(stream, source)
    schema = file.schema_arrow
    check_counts(file.metadata, source)
    fields = None if keep.rest else (text, id_field, SOURCE, *(kept.field for kept in keep.named))
    needed(schema, fields, source.name)
    columns = _columns(schema, source, text, id_field, keep.named)
    taken = keep.taken(text, id_field, SOURCE)
    rest = [name for name in schema.names if name not in taken] if keep.rest else []
    top = text if text in schema.names else text.partition(".")[0]
    runs: list[list[int]] = []
    first = first_row = rows = size = 0
    for group in range(file.metadata.num_row_groups):
        part = file.metadata.row_group(group)
        rows += part.num_rows
        size += sum(
            part.column(i).total_uncompressed_size
            for i in range(part.num_columns)
            if part.column(i).path_in_schema == top or part.column(i).path_in_schema.startswith(f"{top}.")
        )
        if rows and (size >= run_bytes or group + 1 == file.metadata.num_row_groups):
            runs.append([first, group + 1, first_row, rows])
            first, first_row, rows, size = group + 1, first_row + rows, 0, 0
    return Runs(runs, columns, footer, rest)


def check_counts(footer: pq.FileMetaData, source: Source) -> None:
    """Raise `SourceDamaged` for a footer whose counts contradict each other, and for values too large for documents."""
    flat = [i for i in range(footer.num_columns) if footer.schema.column(i).max_repetition_level == 0]
    rows = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        rows += group.num_rows
        for column in map(group.column, flat):
            what = f"row group {number}, column {column.path_in_schema!r}"
            if column.num_values != group.num_rows:
                found = f"{column.num_values:,} values in {group.num_rows:,} rows"
                raise SourceDamaged(source.name, f"{what}: {found}", "a value a row")
            if column.total_uncompressed_size > LONGEST * max(1, group.num_rows):
                found = f"{column.total_uncompressed_size:,} bytes in {group.num_rows:,} rows"
                raise SourceDamaged(source.name, f"{what}: {found}", f"values of at most {LONGEST:,} bytes")
    if rows != footer.num_rows:
        found = f"a footer of {footer.num_rows:,} rows, and {rows:,} in its row groups"
        raise SourceDamaged(source.name, found, "one number")


@contextmanager
def reading(source: Source, what: str, rows: int, byte: int | None = None) -> Iterator[Callable[[int], None]]:
    """Take what Arrow says inside for damage of some row groups. What is given is told of each batch how many rows it
    has: raises `SourceDamaged` too where all together are not as many as the footer says.
    """
    import pyarrow as pa

    read = 0

    def add(number: int) -> None:
        nonlocal read
        read += number

    try:
        yield add
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceDamaged(source.name, f"{what}: {error}", "a whole Parquet file", byte=byte) from error
    except pa.ArrowMemoryError as error:  # a file can lie about its pages; a machine may be full, so none is skipped
        raise DataError(source.name, f"{what}: {error}", "pages that this machine can hold") from error
    if read != rows:
        raise SourceDamaged(source.name, f"{what}: {read:,} rows", f"{rows:,}, as its footer says", byte=byte)


def _columns(
    schema: pa.Schema, source: Source, text: str, id_field: str, keep: Sequence[Kept]
) -> dict[str, str] | None:
    """Our columns -> the file's; None when one of them cannot be used as it lies."""
    import pyarrow as pa

    kind = _type_of(schema, text)
    if kind is None:
        raise missing_column(source.name, text, f"no column {text!r}", schema.names)
    if not (_is_string(kind) or _is_bytes(kind)):
        strings = [field.name for field in schema if _is_string(field.type)]
        raise missing_column(source.name, text, f"the column {text!r} holds {kind}", strings)
    columns, plain = {TEXT: text}, text in schema.names and _is_string(kind)
    own_id = _type_of(schema, id_field)
    if own_id is not None and _is_label(own_id):
        columns[SOURCE_ID] = id_field
        plain = plain and id_field in schema.names
    if SOURCE in schema.names and _is_string(schema.field(SOURCE).type):
        columns[SOURCE] = SOURCE
    for kept in keep:
        found = _type_of(schema, kept.field)
        if found is None:
            raise DataError(
                source.name, f"no column {kept.field!r} to keep", f"one of {', '.join(sorted(schema.names))}"
            )
        wanted = pa.type_for_alias(kept.kind)
        if not _fits(found, kept.kind):
            advice = f"{kept.field}:{found}" if str(found) in KINDS else kept.field  # as a number, or as text
            raise DataError(
                source.name, f"the column {kept.field!r} holds {found}", f"{kept.kind}", f"`keep: [{advice}]`"
            )
        plain = plain and kept.field in schema.names and (found == wanted or _is_string(found))
        columns[kept.name] = kept.field
    return columns if plain else None


def _fits(found: pa.DataType, kind: str) -> bool:
    """Whether values of a column can be kept as this type. A number that is kept as text would only be copied for it:
    its type can be named."""
    import pyarrow.types as t

    if kind == "string":
        return not (t.is_int64(found) or t.is_float64(found) or t.is_boolean(found))
    if kind == "bool":
        return t.is_boolean(found)
    return t.is_integer(found) or (kind == "float64" and t.is_floating(found))


def _type_of(schema: pa.Schema, field: str) -> pa.DataType | None:
    """The type of a column, or of a field in a struct (`doc.text`)."""
    import pyarrow.types as t

    if field in schema.names:
        return schema.field(field).type
    head, *inner = field.split(".")
    kind = schema.field(head).type if inner and head in schema.names else None
    for name in inner:
        if kind is None or not t.is_struct(kind) or kind.get_field_index(name) < 0:
            return None
        kind = kind.field(name).type
    return kind


def rows(
    stream: BinaryIO, source: Source, plan: Runs, run: Sequence[int], fields: Sequence[str] | None
) -> Iterator[tuple[int, Mapping[str, Any] | Reject]]:
    """The rows of a run as records, for a file that cannot stay in place, or of which only the first rows are read."""
    file = same_file(stream, source, plan)
    names = needed(file.schema_arrow, fields, source.name)
    groups = list(range(run[0], run[1]))
    with reading(source, f"row groups {run[0]} to {run[1]}", run[3]) as add:
        for row in records(file.iter_batches(BATCH_ROWS, row_groups=groups, columns=names), run[2]):
            add(1)
            yield row


def verify(stream: BinaryIO, source: Source, plan: Runs, fields: Sequence[str] | None) -> None:
    """Read the columns behind some fields through; raises `SourceDamaged` for a file that cannot be read to its end."""
    file = same_file(stream, source, plan)
    names = needed(file.schema_arrow, fields, source.name)
    for group in range(file.metadata.num_row_groups):
        part = file.metadata.row_group(group)
        last = part.column(part.num_columns - 1)
        byte = last.data_page_offset + last.total_compressed_size
        with reading(source, f"row group {group}", part.num_rows, byte) as add:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=names, use_threads=False):
                add(batch.num_rows)


def _is_string(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    if t.is_dictionary(kind):
        kind = kind.value_type
    return t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind)


def _is_label(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return _is_string(kind) or t.is_integer(kind)


def open_parquet(stream: BinaryIO, source: Source) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(stream, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceDamaged(source.name, f"not a readable Parquet file ({error})", "a whole Parquet file") from error


def footer_digest(stream: BinaryIO, source: Source) -> str:
    """SHA-256 of the footer; raises `SourceChanged` when the file has another length than listed."""
    size = stream.seek(0, 2)
    if size != source.size:
        raise SourceChanged(
            source.name,
            f"{size} bytes",
            f"the {source.size} bytes listed before",
            "run again when the file no longer changes",
        )
    if size < 12:
        raise SourceDamaged(source.name, f"{size} bytes", "a whole Parquet file")
    stream.seek(size - 8)
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(max(0, size - 8 - length))
    return hashlib.sha256(stream.read(length)).hexdigest()


def same_file(stream: BinaryIO, source: Source, plan: Runs) -> pq.ParquetFile:
    """The file, opened; raises `SourceChanged` when it is not the one that was planned."""
    if footer_digest(stream, source) != plan.footer:
        raise SourceChanged(source.name, "another footer than when it was planned", "a file that does not change")
    return open_parquet(stream, source)
