"""The rows of a shard come in whatever batches; what a writer makes of them follows from the rows alone."""

import hashlib
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.contract import Resources, Shard, ShardPhase
from siftloom import Pipeline
from siftloom import stages as s
from stages import row_groups, written_rows
from stages.compact import Compact
from stages.documents import PARENT
from stages.new_base import BaseWriter
from stages.read.read import Read
from stages.write import Write
from tests.pipeline.model_nodes import Sizes
from tests.stages.local_context import LocalContext

ROWS = 400
SMALL = 20_000  # bytes of a row group, so that few rows make several


def fields(i: int) -> str | None:
    """Fields that differ from row to row, in their names and their types."""
    found = {"url": f"http://a/{i}", "n": i if i % 3 else i + 0.5, "lang": "xx", "meta": {"a": [i, None]}, "é": None}
    return None if i % 11 == 0 else json.dumps({name: found[name] for name in list(found)[: i % 6]}, ensure_ascii=False)


def documents() -> pa.Table:
    draw = np.random.default_rng(0)
    sizes = draw.integers(1, 600, ROWS)
    texts = ["".join(chr(97 + c) for c in draw.integers(0, 26, size)) for size in sizes]
    return pa.table(
        {
            "id": pa.array([f"{'0' * 12}:{i}" for i in range(ROWS)], pa.string()),
            "text": pa.array(texts, pa.string()),
            "source": pa.array([None if i % 7 == 0 else f"s{i % 70}" for i in range(ROWS)], pa.string()),
            "source_id": pa.array([str(i) if i % 3 else None for i in range(ROWS)], pa.string()),
            "source_fields": pa.array([fields(i) for i in range(ROWS)], pa.string()),
            "lang": pa.array(["en" if i % 5 else None for i in range(ROWS)], pa.string()),
            "lang_p": pa.array(draw.random(ROWS).astype(np.float32)),
            "_row": pa.array(range(ROWS), pa.int64()),
        }
    )


def partitions(table: pa.Table):
    """Whole, row by row, and at random places: as slices, as copies, and in chunks of one table."""
    draw = np.random.default_rng(1)
    yield [table]
    yield [table.slice(i, 1) for i in range(len(table))]
    for _ in range(4):
        cuts = [0, *sorted(draw.integers(0, len(table), 6).tolist()), len(table)]
        parts = [table.slice(a, b - a) for a, b in pairwise(cuts)]
        yield parts
        yield [pa.concat_tables(parts[:3]), *(part.take(list(range(len(part)))) for part in parts[3:])]


def files(folder) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def shards_of(node, folder, parts):
    """The files and the results that the shard phases before the first global one make of some batches."""
    ctx = LocalContext(node, folder, {"docs": documents()})
    for phase in node.phases():
        if not isinstance(phase, ShardPhase):
            if phase.name != "layout":
                break
            ctx.run(phase)
            continue
        ctx.shard, ctx.phase, ctx.key = Shard("0" * 12, "a", ROWS, 0), phase.name, "a"
        if phase.load is not None:
            ctx.loaded = phase.load(ctx)
        writer: Any = phase.open(ctx)
        for part in parts:
            part = part.select(list(phase.needs))
            writer.add(part, writer.work(part)) if hasattr(writer, "work") else writer.add(part)
        ctx.results[phase.name, "a"] = writer.finish()
    return files(folder), ctx.results


@pytest.fixture
def nodes(monkeypatch):
    monkeypatch.setattr(row_groups, "GROUP_BYTES", SMALL)
    monkeypatch.setattr(written_rows, "GZIP_BYTES", 1000)
    docs = s.Language(docs=Read(paths=("a.jsonl",)), keep=("en", "de"))
    return {
        "parquet": Write(docs=docs), "jsonl": Write(docs=docs, format="jsonl.gz"),
        "some": Write(docs=docs, columns=("lang_p", "text")),
        "fields": Write(docs=docs, columns=("source_fields", "id")), "compact": Compact(docs=docs),
        "line_dedup": s.LineDedup(docs=docs), "exact_dedup": s.ExactDedup(docs=docs),
        "minhash_dedup": s.MinHashDedup(docs=docs), "substring_dedup": s.SubstringDedup(docs=docs),
    }  # fmt: skip


DEDUPS = ["line_dedup", "exact_dedup", "minhash_dedup", "substring_dedup"]
WRITERS = ["parquet", "jsonl", "some", "fields", "compact", *DEDUPS]


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_makes_the_same_bytes_of_rows_in_any_batches(nodes, name, tmp_path):
    node = nodes[name]
    found = [shards_of(node, tmp_path / f"{number}", parts) for number, parts in enumerate(partitions(documents()))]
    assert found[0][0]
    assert all(each == found[0] for each in found)


def test_new_base_rows_of_tasks_are_cut_by_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(row_groups, "GROUP_BYTES", SMALL)
    table = documents().append_column("parents", pa.array([[f"p:{i}"] * (i % 4) for i in range(ROWS)]))
    found = []
    for number, parts in enumerate(partitions(table)):
        ctx = LocalContext(Read(paths=("a.jsonl",)), tmp_path / f"{number}")
        ctx.phase = ctx.key = "shards"
        out = BaseWriter(ctx, "shards", {"lang": "string", "lang_p": "float32", **PARENT})
        for part in parts:
            out.add(part)
        found.append((out.close(), files(ctx.folder)))
    assert found[0][1]
    assert all(each == found[0] for each in found)


def test_a_group_ends_with_the_row_that_fills_it(monkeypatch):
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 10)
    monkeypatch.setattr(row_groups, "GROUP_ROWS", 3)
    table = pa.table({"text": ["abcd", "abcdefghijklm", "a", "b", "c", "d", ""], "n": pa.array([None] * 7, pa.int8())})
    groups = row_groups.RowGroups()
    cut = [len(group) for group in (*groups.add(table), *groups.end())]
    assert cut == [2, 3, 2]


@pytest.mark.parametrize("form", ["parquet", "jsonl.gz"])
def test_a_run_up_to_a_node_and_then_the_rest_gives_the_bytes_of_one_run(tmp_path, form):
    """60 long documents, two row groups in the base: a phase in other workers hands on one table."""
    folder = tmp_path / "in"
    folder.mkdir()
    lines = [json.dumps({"text": f"{i} the river and the old mill " * 12_000}) for i in range(60)]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")

    def run(store, *targets):
        docs = s.Read(paths=(str(folder),))
        sizes = Sizes(docs=docs, asks=Resources(cpus=1, actors=(1, 1)))
        named = {"docs": docs, "sizes": sizes, "out": Write(docs=sizes, format=form), "small": Compact(docs=sizes)}
        found = Pipeline([named[name] for name in targets], name="r", store=str(store), names=named)
        return found.run(here=True, progress=False)

    def shas(done, store):
        return {n: files(store / done[n].folder / "data") for n in ("out", "small")}

    whole = run(tmp_path / "one", "out", "small")
    run(tmp_path / "two", "sizes")
    parts = run(tmp_path / "two", "out", "small")
    assert whole["out"].fingerprint == parts["out"].fingerprint
    assert shas(whole, tmp_path / "one") == shas(parts, tmp_path / "two")
