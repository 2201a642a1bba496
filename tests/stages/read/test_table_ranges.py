"""A CSV file read in ranges gives the rows, and the numbers of rows, of the file read at once."""

import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.contract import Source
from pipeline.errors import DataError
from stages.read import ranges, record_to_row
from stages.read.given import Given
from stages.read.record_to_row import Reject
from stages.read.streams import Watched
from stages.read.tables import commas, tabs


class Short(io.BytesIO):
    """A stream that gives a few bytes at once, as one over a network may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, 7))


def rows(data: bytes, piece=None, reader=commas):
    source = Source(0, "a.csv", "a.csv", len(data), "0" * 64)
    return [
        (number, (row.reason, row.clip) if isinstance(row, Reject) else row)
        for number, row in reader(Given(source, Short(data), None, piece=piece))
    ]


def cuts(data: bytes, size: int, separator=","):
    return ranges.cut(Watched(Short(data), Source(0, "a.csv", "a.csv", len(data), "0" * 64), None), size, separator)


head = st.sampled_from(["a,b\n", "\n\r\n a,b\r\n", '"a\n,x",b\n', "\ufeffa,b\n"])
part = st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "é", "\0", "a,b\n", '"x\ny",z\n', '"x""\n"\n'])


@settings(max_examples=400)
@given(head, st.lists(part, max_size=40), st.integers(1, 30))
@example("a,b\n", ['5" pipe,x\n', "c,d\n"], 1)  # a quote inside a field opens nothing
@example("a,b\n", ['"x"y,"z\n', 'c,"d"\n', "e,f\n"], 1)  # after an error the reader goes on with the next line
def test_ranges_give_the_rows_of_the_whole(head, parts, size):
    data = (head + "".join(parts)).encode()
    found = cuts(data, size)
    assert [each.start for each in found[1:]] == [each.stop for each in found[:-1]]
    assert [row for each in found for row in rows(data, each)] == rows(data)
    assert all(each.stop - each.start >= size for each in found[:-1])


def test_a_file_is_cut_where_it_can_be_and_nowhere_else():
    data = b"id,text\n" + b'1,"a\nb"\n2,c\n' * 50
    found = cuts(data, 30)
    assert len(found) > 10
    assert {data[each.stop - 4 : each.stop] for each in found} <= {b'\nb"\n', b"2,c\n"}
    tab = cuts(data.replace(b",", b"\t"), 30, "\t")
    assert [row for each in tab for row in rows(data.replace(b",", b"\t"), each, tabs)] == rows(data)


def test_behind_a_field_larger_than_a_document_nothing_is_cut(monkeypatch):
    monkeypatch.setattr(ranges, "LONGEST", 20)
    monkeypatch.setattr("stages.read.tables.LONGEST", 20)
    data = b"a,b\n" + b"1,x\n" * 4 + b'2,"' + b"long\n" * 9 + b'"\n' + b"3,y\n" * 9
    found = cuts(data, 8)
    assert 2 <= len(found) <= 3
    assert [row for each in found for row in rows(data, each)] == rows(data)


def test_a_header_that_is_no_record_is_named():
    with pytest.raises(DataError, match=r"a\.csv: a header that is no record"):
        rows(b'"a"b,c\n1,2\n')
    assert record_to_row.LONGEST == ranges.LONGEST
