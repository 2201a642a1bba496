"""Rows of a Parquet file that stay where they are: a run of row groups is a shard.

What is written is a `state` side-car for rows that no stage could use (null, blank, not UTF-8, NUL), where there are
any. To know that, the text is decoded once here, and a second time by the first pass that reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.contract import Context, InPlace, NewShard, Result, Source, shard_facts
from pipeline.errors import SourceError
from stages.documents import SOURCE_FIELDS, TEXT, id_prefix
from stages.read.layout import FileGroup
from stages.read.parquet import BATCH_ROWS, Runs, reading, same_file

if TYPE_CHECKING:
    import pyarrow as pa

REASONS = ("read.no_text", "read.empty", "read.invalid_utf8", "read.nul")


def lay_down(
    ctx: Context, key: str, unit: FileGroup, source: Source, plan: Runs, run: list[int], strict: bool
) -> Result:
    """The shard of a run; raises `SourceError` for a row without a usable text where `strict`."""
    with ctx.open_source(source) as stream:
        state, text_bytes = examine(stream, source, plan, run)
    counts = {"rows": len(state), "kept": 0}
    for entry in state.value_counts().to_pylist():
        name = "kept" if entry["values"] == 0 else REASONS[entry["values"] - 1].replace("read.", "rejected.")
        counts[name] = entry["counts"]
    if strict and counts["kept"] < len(state):
        row = run[2] + next(i for i, s in enumerate(state.to_pylist()) if s)
        raise SourceError(f"{source.name}: row {row}", "no usable text", "a document", "set `on_error: reject`")
    place = InPlace(
        digest=source.digest,
        ids=id_prefix(source.digest, unit.copy_of(source)),
        row_groups=(run[0], run[1]),
        first_row=run[2],
        columns=plan.columns or {},
        objects={SOURCE_FIELDS: plan.rest} if plan.rest else {},
    )
    shard = NewShard(key=key, rows=len(state), text_bytes=text_bytes, in_place=place, state_ext=write_state(ctx, state))
    return Result(counts=counts, facts=shard_facts([shard]))


def examine(stream: BinaryIO, source: Source, plan: Runs, run: list[int]) -> tuple[pa.ChunkedArray, int]:
    """`state` of every row of a run (int16: 0, or 1 + the index in `REASONS`), and the UTF-8 bytes of its
    usable texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    assert plan.columns is not None
    states: list[Any] = []
    text_bytes = 0
    file = same_file(stream, source, plan)
    with reading(source, f"row groups {run[0]} to {run[1]}", run[3]) as add:
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=list(range(run[0], run[1])), columns=[plan.columns[TEXT]], use_threads=False
        ):
            add(batch.num_rows)
            text = batch.column(0).cast(pa.large_string())
            state = _states(text)
            # of the lengths, for to filter the texts would copy them all
            text_bytes += pc.sum(pc.binary_length(text).filter(pc.equal(state, 0))).as_py() or 0
            states.append(state)
    return pa.chunked_array(states, pa.int16()), text_bytes


def _states(text: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    def number(reason: str) -> pa.Scalar:
        return pa.scalar(1 + REASONS.index(reason), pa.int16())

    damaged = _not_utf8(text)
    if damaged is not None:
        text = pc.if_else(damaged, pa.scalar("-", text.type), text)
    state = pc.if_else(pc.is_null(text), number("read.no_text"), pa.scalar(0, pa.int16()))
    blank = pc.or_(pc.utf8_is_space(text), pc.equal(pc.binary_length(text), 0))  # is_space says False of ""
    state = pc.if_else(pc.fill_null(blank, False), number("read.empty"), state)
    nul = pc.match_substring_regex(text, r"\x00")  # RE2 looks for a byte; match_substring takes sixty times as long
    state = pc.if_else(pc.fill_null(nul, False), number("read.nul"), state)
    return state if damaged is None else pc.if_else(damaged, number("read.invalid_utf8"), state)


def _not_utf8(text: pa.Array) -> pa.Array | None:
    """Rows whose bytes are not UTF-8 (Parquet's writers need not check); None when there are none."""
    import pyarrow as pa

    try:
        text.validate(full=True)
        return None
    except pa.ArrowInvalid:
        pass
    marks = []
    for value in text.cast(pa.large_binary()):
        try:
            (value.as_py() or b"").decode("utf-8")
            marks.append(False)
        except UnicodeDecodeError:
            marks.append(True)
    return pa.array(marks)


def write_state(ctx: Context, state: pa.ChunkedArray) -> str | None:
    """The side-car, and its extension; None when every row is usable."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not pc.any(pc.not_equal(state, 0)).as_py():
        return None
    with ctx.create(".state.parquet") as path:
        pq.write_table(pa.table({"state": state.combine_chunks()}), path, compression="zstd", store_schema=False)
    return ".state.parquet"
