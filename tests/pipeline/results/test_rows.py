"""What a task sees of its inputs: alive rows, all rows, Parquet as it lies, several bases, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import write_corpus
from nodes import Lines, Long, Strip, Twins, Vowels

from pipeline.contract import (
    Context,
    InPlace,
    NewShard,
    Node,
    Result,
    Shard,
    Source,
    TaskPhase,
    one,
    shard_facts,
    sources,
)
from pipeline.driver.execute import Options, run
from pipeline.driver.verify import verify
from pipeline.errors import DataError, NodeFailed, SourceChanged
from pipeline.files.open_store import open_store
from pipeline.files.sources import stamp_of
from pipeline.graph import build
from pipeline.results.binding import BaseShard
from pipeline.results.rows import ShardView
from pipeline.run import open_run

HERE = Options(here=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class ParquetRows(Node):
    """Rows of Parquet files as they lie: one shard per row group, the text in `body`; a null is no document."""

    paths: tuple[str, ...] = sources()

    new_base = "shards"
    reasons = ("in_place.no_text",)

    def adds(self):
        return {"source": "string", "stars": "int64"}

    def phases(self):
        return (TaskPhase(name="shards", keys=lambda ctx: [f"{s.index:04d}" for s in ctx.sources()], run=self._read),)

    def _read(self, ctx: Context, key: str) -> Result:
        source, shards, first = ctx.sources()[int(key)], [], 0
        with ctx.open_source(source) as stream:
            file = pq.ParquetFile(stream)
            for group in range(file.num_row_groups):
                texts = file.read_row_group(group, columns=["body"])["body"].to_pylist()
                ext = f"-{group}.state.parquet"
                state = pa.array([0 if text is not None else 1 for text in texts], pa.int16())
                if None in texts:
                    with ctx.create(ext) as path:
                        pq.write_table(pa.table({"state": state}), path)
                place = InPlace(
                    ids=source.digest[:12], digest=source.digest, row_groups=(group, group + 1), first_row=first,
                    columns={"text": "body", "stars": "stars"},
                )  # fmt: skip
                bad = ext if None in texts else None
                shards.append(
                    NewShard(key=f"{key}-{group}", rows=len(texts), text_bytes=1, in_place=place, state_ext=bad)
                )
                first += len(texts)
        return Result(facts=shard_facts(shards))


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe(Node):
    """Writes down all that its context tells."""

    docs: Node | tuple[Node, ...]
    columns: tuple[str, ...] = ("id", "text")

    def phases(self):
        return (TaskPhase(name="probe", keys=one, run=self._run, place="driver"),)

    def _run(self, ctx: Context, key: str) -> Result:
        shards = ctx.shards()
        told = {
            "shards": [[shard.name, shard.rows] for shard in shards],
            "rows": [row for _, table in ctx.rows([*self.columns, "_row"]) for row in table.to_pylist()],
            "all": [row for _, table in ctx.column_rows([*self.columns]) for row in table.to_pylist()],
            "last": [row for _, table in ctx.rows(["id"], shards=shards[-1:]) for row in table.to_pylist()],
            "has": [ctx.has_column("chars"), ctx.has_column("vowels"), ctx.has_column("text")],
        }
        with ctx.create(".json") as path:
            path.write_text(json.dumps(told))
        return Result()


def probe(store: Path, docs: Node | tuple[Node, ...], columns: tuple[str, ...] = ("id", "text")) -> dict:
    found = run(build([Probe(docs=docs, columns=columns)]), name="probe", store=str(store), options=HERE)
    return json.loads(found["probe"].path("probe", "all", ".json").read_text())


@pytest.fixture
def reviews(tmp_path) -> tuple[str, ...]:
    """Two Parquet files of five row groups; their second rows have no text."""
    folder = tmp_path / "reviews"
    folder.mkdir()
    for name, count in (("a", 7), ("b", 4)):
        bodies = [None if i == 1 else f"{name} review {i} of the tide" for i in range(count)]
        columns = {"extra": list(range(count)), "body": bodies, "stars": [i % 5 for i in range(count)]}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=3)
    return (str(folder),)


def test_rows_of_parquet_files_are_read_where_they_lie(reviews, tmp_path):
    docs = ParquetRows(paths=reviews)
    told = probe(tmp_path / "store", Strip(docs=Long(docs=docs)), ("id", "text", "stars", "source", "chars"))
    assert [rows for _, rows in told["shards"]] == [3, 3, 1, 3, 1]
    assert [row["text"] for row in told["rows"]] == ["a review  of the tide"] * 6 + ["b review  of the tide"] * 3
    assert [row["_row"] for row in told["rows"]] == [0, 2, 0, 1, 2, 0, 0, 2, 0]
    assert [row["id"].split(":")[1] for row in told["rows"]] == ["0", "2", "3", "4", "5", "6", "0", "2", "3"]
    assert [row["stars"] for row in told["rows"]] == [0, 2, 3, 4, 0, 1, 0, 2, 3]
    assert {row["source"] for row in told["rows"]} == {None}, "a column that the files lack"
    assert [row["state"] for row in told["all"]] == [0, None, 0, 0, 0, 0, 0, 0, None, 0, 0]
    data = (tmp_path / "store").glob("nodes/parquet_rows-*/data/shards/*")
    assert [path.name for path in sorted(data)] == ["0000-0.state.parquet", "0001-0.state.parquet"]


@pytest.mark.parametrize("in_place", [False, True])
def test_row_groups_without_a_wanted_row_are_not_read(tmp_path, in_place):
    count, group = 50, 7
    path = tmp_path / "nodes" / "base" / "data" / "shards" / "0.parquet"
    path.parent.mkdir(parents=True)
    ids = pa.array([f"{'d' * 12}:{i}" for i in range(count)])
    table = pa.table({"id": ids, "text": [f"document {i}" for i in range(count)]})
    pq.write_table(table.drop_columns(["id"]) if in_place else table, path, row_group_size=group)
    place = InPlace(digest="d" * 64, ids="d" * 12, row_groups=(0, 8), first_row=0, columns={"text": "text"})
    stat = path.stat()
    source = Source(0, "0.parquet", str(path), stat.st_size, "d" * 64, stamp=stamp_of(stat))
    base = BaseShard(
        Shard("base", "0", count, 1), "nodes/base", "shards", "0", "0.parquet",
        place if in_place else None, source if in_place else None,
    )  # fmt: skip
    view = ShardView(open_store(str(tmp_path)), base, ())
    only = np.array([0, 6, 21, 22, 49])
    found = [table for _, _, table in view.batches(["_row", "id", "text"], only)]
    rows = pa.concat_tables(found).to_pylist()
    assert [row["_row"] for row in rows] == [*range(7), *range(21, 28), 49]
    assert all(row["id"].endswith(f":{row['_row']}") and row["text"].endswith(f" {row['_row']}") for row in rows)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and nothing of a footer PAR1"])
def test_a_file_of_the_store_that_cannot_be_read_is_named(tmp_path, content):
    data = tmp_path / "nodes" / "base" / "data" / "shards"
    data.mkdir(parents=True)
    for name in ("0.parquet", "state.parquet"):
        if content is not None:
            (data / name).write_bytes(content)
    shard = Shard("base", "0", 3, 1)
    for base in (
        BaseShard(shard, "nodes/base", "shards", "0", "0.parquet"),
        BaseShard(shard, "nodes/base", "shards", "0", "0.parquet", state_file="state.parquet"),
    ):
        with pytest.raises(DataError, match=r"\.parquet: .*; expected .* Next: siftloom verify"):
            list(ShardView(open_store(str(tmp_path)), base, ()).batches(["text"]))


@pytest.mark.parametrize("content", [None, b"PAR1 and nothing of a footer PAR1"])
def test_a_file_in_place_that_cannot_be_read_any_more_is_named(tmp_path, content):
    path = tmp_path / "0.parquet"
    place = InPlace(digest="d" * 64, ids="d" * 12, row_groups=(0, 1), first_row=0, columns={"text": "text"})
    source = Source(0, "0.parquet", str(path), 5, "d" * 64)
    base = BaseShard(Shard("base", "0", 3, 1), "nodes/base", "shards", "0", None, place, source)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceChanged, match=r"0\.parquet: (no file|a file that has changed)"):
        list(ShardView(open_store(str(tmp_path)), base, ()).batches(["text"]))


@pytest.mark.parametrize(("only", "rows"), [(None, [*range(50)]), ([6, 21, 49], [*range(7), *range(21, 28), 49])])
def test_rows_that_need_nothing_of_the_base_do_not_open_it(tmp_path, monkeypatch, only, rows):
    monkeypatch.setattr("pipeline.results.rows.MOST_ROWS", 7)
    base = BaseShard(Shard("base", "0", 50, 1), "nodes/base", "shards", "0", "not there", None, None)
    wanted = None if only is None else np.array(only)
    batches = list(ShardView(open_store(str(tmp_path)), base, ()).batches(["_row"], wanted))
    assert [row for _, _, table in batches for row in table["_row"].to_pylist()] == rows
    assert all(start == table["_row"][0].as_py() and len(mask) == len(table) for start, mask, table in batches)


def test_a_parquet_file_that_changes_after_it_was_read_is_named(reviews, tmp_path):
    store = str(tmp_path / "store")
    docs = ParquetRows(paths=reviews)
    run(build([Long(docs=docs)]), name="run", store=store, options=HERE)
    changed = Path(reviews[0], "a.parquet")
    table = pq.read_table(changed)
    pq.write_table(table.set_column(1, "body", pa.array([f"other {i}" for i in range(7)])), changed, row_group_size=3)
    with pytest.raises(SourceChanged, match=r"a\.parquet: a file that has changed since it was listed"):
        open_run(store, "run")["long"].rows(["text"])
    (finding,) = verify(store, "run")
    assert (finding.node, finding.file, finding.withdrawn) == ("parquet_rows", str(changed), False)
    # The recipe run again reads the new file under a new identity.
    again = run(build([Long(docs=ParquetRows(paths=reviews))]), name="run", store=store, options=HERE)
    assert "other 0" in again["long"].rows(["text"])["text"].to_pylist()


def test_a_parquet_file_that_goes_away_is_named_with_its_shard(reviews, tmp_path):
    graph = build([Vowels(docs=ParquetRows(paths=reviews))])
    run(build([graph.nodes[0]]), name="run", store=str(tmp_path / "store"), options=HERE)
    lost = Path(reviews[0], "b.parquet")
    keep = lost.read_bytes()

    @dataclass(frozen=True, kw_only=True, eq=False)
    class Hides(Vowels):
        def open(self, ctx: Context):
            lost.unlink(missing_ok=True)
            return super().open(ctx)

    with pytest.raises(NodeFailed, match=r"hides, .*b\.parquet"):
        run(build([Hides(docs=graph.nodes[0])]), name="hides", store=str(tmp_path / "store"), options=HERE)
    lost.write_bytes(keep)


def test_several_bases_come_one_after_the_other_and_carry_what_all_have(tmp_path):
    one_base = Long(docs=Lines(paths=write_corpus(tmp_path / "one", files=1, lines=10)))
    other = Long(docs=Lines(paths=write_corpus(tmp_path / "other", files=2, lines=5, seed=3)))
    told = probe(tmp_path / "store", (Vowels(docs=other), one_base), ("id", "chars"))
    assert [rows for _, rows in told["shards"]] == [5, 5, 10]
    assert told["has"] == [True, False, True]
    assert len(told["all"]) == 20
    ids = [row["id"] for row in told["rows"]]
    assert [row["id"] for row in told["last"]] == ids[-len(told["last"]) :]
    assert len({name for name, _ in told["shards"]}) == 3


def test_copies_are_found_across_bases(tmp_path):
    first = Lines(paths=write_corpus(tmp_path / "one", files=1, lines=30))
    again = Long(docs=Lines(paths=(str(tmp_path / "one" / "part-00.txt"),)), min_chars=1)
    other = Lines(paths=write_corpus(tmp_path / "other", files=1, lines=30, seed=5))
    twins = Twins(docs=(other, first))
    found = run(build([twins]), name="run", store=str(tmp_path / "store"), options=HERE)[twins]
    texts = found.rows(["text"])["text"].to_pylist()
    lines = [line for n in ("other", "one") for line in (tmp_path / n / "part-00.txt").read_text().splitlines()]
    assert texts == list(dict.fromkeys(lines))
    # One file is one base, however often it is named: its branches cannot be joined.
    assert build([again]).chains(again)
