"""Footers of Parquet that lie: the file is refused, or left out and counted, and never a part of it taken for all."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_here import Here

from pipeline.errors import SourceDamaged
from stages.read import parquet
from stages.read.read import Read

ROWS = 51
NUMBER = b"\x16\x66"  # 51 in the footer: a field behind its neighbour, int64, zigzag


def content(rows=ROWS, size=9) -> bytes:
    file = io.BytesIO()
    table = pa.table({"text": [f"text {row} ".ljust(size, "a") for row in range(rows)], "n": range(100, 100 + rows)})
    pq.write_table(table, file, use_dictionary=False, compression="none", write_statistics=False)
    return file.getvalue()


def lying(at: tuple[int, ...], value: int) -> bytes:
    """Rows of the file (0), values of the two columns (1, 2) and rows of the group (3) are others in the footer."""
    whole = content()
    length = int.from_bytes(whole[-8:-4], "little")
    parts = whole[-8 - length : -8].split(NUMBER)
    assert len(parts) == 5
    zigzag, number = value << 1 if value >= 0 else -2 * value - 1, b""
    while zigzag >= 128:
        zigzag, number = zigzag >> 7, number + bytes([zigzag & 127 | 128])
    number += bytes([zigzag])
    footer = parts[0]
    for place, part in enumerate(parts[1:]):
        footer += (b"\x16" + number if place in at else NUMBER) + part
    return whole[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


LIES = {
    "rows of the file": (lying((0,), 2**60), r"a footer of 1,152,921,504,606,846,976 rows, and 51 in its row groups"),
    "no rows": (lying((0, 3), 0), r"row group 0, column 'text': 51 values in 0 rows"),
    "rows below 0": (lying((0, 3), -1), r"row group 0, column 'text': 51 values in -1 rows"),
    "fewer rows": (lying((0, 3), 40), r"row group 0, column 'text': 51 values in 40 rows"),
    "values below 0": (lying((2,), -1), r"row group 0, column 'n': -1 values in 51 rows"),
    "more of everything": (
        lying((0, 1, 2, 3), 2**40),
        r"row groups 0 to 1: 51 rows; expected 1,099,511,627,776, as its",
    ),
}


def read(folder, odd: bytes, **fields) -> Read:
    folder.mkdir()
    (folder / "fine.parquet").write_bytes(content(3))
    (folder / "odd.parquet").write_bytes(odd)
    return Read(paths=(str(folder),), **fields)


@pytest.mark.parametrize("keep", [("*",), ("n",)])  # in place, and copied for the number that is kept as a text
@pytest.mark.parametrize("name", LIES)
def test_counts_that_contradict_each_other_are_damage(name, keep, tmp_path):
    odd, words = LIES[name]
    fields = {"keep": ("*",)} if keep == ("*",) else {"text": "text", "keep": ("m=n:float64",)}
    with pytest.raises(SourceDamaged, match=rf"odd\.parquet: {words}"):
        Here(read(tmp_path / "in", odd, **fields), tmp_path / "store")


def test_a_file_that_lies_is_left_out_and_counted(tmp_path):
    for name, (odd, _) in LIES.items():
        here = Here(read(tmp_path / name, odd, on_damaged="skip"), tmp_path / f"store {name}")
        keys = sorted(here.state.done(here.target, "shards"))
        assert sum(one.counts.get("damaged_files", 0) for one in here.state.receipts(here.target, "shards", keys)) == 1


def test_values_that_no_document_can_have_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "LONGEST", 1000)
    with pytest.raises(SourceDamaged, match=r"column 'text': [\d,]+ bytes in 3 rows; expected values of at most 1,000"):
        Here(read(tmp_path / "in", content(3, 5000)), tmp_path / "store")
