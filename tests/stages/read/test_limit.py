"""A limit reads the first rows and no others, with the ids that they have in a whole reading."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_read_files import balance, documents, read

from pipeline.errors import RecipeError
from pipeline.graph import build
from stages.read.read import Read


@pytest.fixture
def files(tmp_path):
    """Three files of ten lines each, one of them packed; the fourth line of each is no JSON."""
    found = []
    for number in range(3):
        lines = [json.dumps({"id": f"{number}-{i}", "text": f"text {number} {i}"}) for i in range(10)]
        lines[3] = "{"
        data = "".join(line + "\n" for line in lines).encode()
        path = tmp_path / (f"{number}.jsonl.gz" if number == 1 else f"{number}.jsonl")
        path.write_bytes(gzip.compress(data, mtime=0) if number == 1 else data)
        found.append(path)
    return found


@pytest.mark.parametrize("limit", [1, 3, 4, 10, 11, 25, 99])
@pytest.mark.parametrize("range_bytes", [10, 10_000])
def test_the_first_rows_are_read(files, tmp_path, limit, range_bytes):
    ctx, _, results = read(tmp_path / "whole", files)
    whole = documents(ctx, results)
    ctx, _, results = read(tmp_path / "some", files, limit=limit, range_bytes=range_bytes)
    assert balance(results)["rows"] == min(limit, 30)
    rows = [number for number in range(min(limit, 30)) if number % 10 != 3]
    assert documents(ctx, results) == [whole[number - (number + 6) // 10] for number in rows]


def test_of_parquet_and_lines_together_exactly_as_many_rows_are_read(files, tmp_path):
    path = tmp_path / "3.parquet"
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(40)]}), path, row_group_size=10)
    for limit in (1, 30, 31, 45, 70, 99):
        ctx, _, results = read(tmp_path / f"out-{limit}", [*files, path], limit=limit, shard_bytes=1)
        assert balance(results)["rows"] == min(limit, 70)
    last = [key for key in results if "-parquet-" in key]
    assert len(last) == 4  # read whole, so in place and by its row groups
    ctx, _, results = read(tmp_path / "out", [path], limit=33)
    (digest,) = {source.digest for source in ctx.sources()}
    assert [row["id"] for row in documents(ctx, results)] == [f"{digest[:12]}:{i}" for i in range(33)]


def test_files_read_whole_have_the_keys_that_a_reading_without_a_limit_gives_them(files, tmp_path):
    _, _, results = read(tmp_path / "whole", files)
    _, _, some = read(tmp_path / "some", files, limit=22)
    assert list(some)[:2] == list(results)[:2]
    assert list(some)[2].endswith("-first2")


def test_no_rows_is_no_limit(tmp_path):
    with pytest.raises(RecipeError, match=r"Read\.limit"):
        build([Read(paths=[str(tmp_path)], limit=0)])
