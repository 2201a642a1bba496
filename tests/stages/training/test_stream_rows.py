"""The rows of a stream, made from documents in memory: what decides them and what does not, and where they go on."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.contract import Shard
from pipeline.errors import DataError
from stages.read.read import Read
from stages.tokens.encoder import Encoder
from stages.tokens.given import Ends
from stages.tokens.tokenizer import END_OF_TEXT, Tokenizer
from stages.training.row_source import RowSource
from stages.training.stream import RowStream
from stages.training.stream_feed import Passes, StreamFeed
from stages.training.stream_rows import ROW_BITS, Packer, streamed_rows
from tests.stages.local_context import LocalContext
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import job

__all__ = ["job"]  # the fixture

SHARDS = tuple(Shard("0" * 12, f"{number}", 30, 0) for number in range(3))


@dataclass(frozen=True)
class Reader:
    """Documents of three shards, in batches of so many."""

    batch: int = 30
    shards: tuple[Shard, ...] = SHARDS

    def __call__(self, shard):
        texts = [f"{shard.key} {i} " + "tide and moon " * (i % 7) for i in range(30)]
        table = pa.table({"id": texts, "text": texts, "held_out": [i % 5 == 0 for i in range(30)]})
        yield from (table.slice(at, self.batch) for at in range(0, 30, self.batch))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    context = LocalContext(
        Tokenizer(docs=Read(paths=("corpus.jsonl",)), vocab_size=300, sample_bytes=None),
        folder,
        {"docs": next(Reader()(SHARDS[0]))},
    )
    context.run_all()
    text = (folder / "train/all.json").read_text()
    stream = RowStream(length=24, window=20, mix=2)
    ends = Ends(END_OF_TEXT, END_OF_TEXT)
    return Packer(
        reader=Reader(), groups=(SHARDS[:2], SHARDS[2:]), tokenizer=text, ends=ends, agree=True, stream=stream, seed=3
    )


def whole(maker, place, first=0):
    return pa.concat_tables(maker.rows(place, first)).to_pydict()


def test_rows_hold_every_token_of_the_documents_to_train_on_once(made):
    encoder = Encoder(made.tokenizer)
    wanted = sum(
        len(ids) + 2
        for shard in SHARDS
        for table in Reader()(shard)
        for i, ids in enumerate(encoder.encode(table["text"].to_pylist()))
        if i % 5
    )
    used = sum((np.array(whole(made, place)["documents"]) > 0).sum() for place in range(2))
    assert used == wanted


@pytest.mark.parametrize("first", [0, 1, 7, 1000])
def test_from_a_row_on_they_are_the_rest_of_the_group(made, first):
    rows, rest = whole(made, 1), whole(made, 1, first)
    assert rows["number"] == [(1 << ROW_BITS) + i for i in range(len(rows["number"]))]
    assert len(rows["number"]) > 7
    assert rest == {name: values[first:] for name, values in rows.items()}


def test_how_a_shard_is_read_does_not_decide_them_and_every_field_does(made):
    assert whole(replace(made, reader=Reader(batch=4)), 0) == whole(made, 0)
    assert whole(replace(made, seed=4), 0) != whole(made, 0)
    for fields in ({"window": 12}, {"mix": 1}, {"length": 25}):
        other = replace(made, stream=replace(made.stream, **fields))
        if "mix" in fields:
            other = replace(other, groups=tuple((shard,) for shard in SHARDS))
        assert whole(other, 0) != whole(made, 0)


@dataclass(frozen=True)
class Tables:
    """A worker's part of a pass."""

    table: pa.Table

    def iter_batches(self, *, batch_size, batch_format, drop_last):
        assert batch_format == "pyarrow"
        assert drop_last
        yield from (self.table.slice(at, batch_size) for at in range(0, len(self.table) - batch_size + 1, batch_size))


def test_a_run_goes_on_from_the_worker_that_is_behind_and_counts_its_passes(job, made):
    rows = streamed_rows(made)
    run = changed(
        job, sources=(RowSource("docs", rows, 1.0),), feed=made.stream, batch_rows=8, micro_batches=2, steps=9
    )
    part = Tables(pa.concat_tables(made.rows(1)).slice(0, 9))  # two steps of four rows, and one row that fills none
    feed = StreamFeed(run, 1, 2, torch.device("cpu"), Passes(part, part), [3, 5])
    seen = [torch.cat([batch.rows_b for batch in feed.batch(step)]) for step in range(3)]
    assert seen[0].tolist() == part.table["number"].to_pylist()[:4]
    assert seen[2].tolist() == seen[0].tolist()
    ahead = torch.arange(20, 24)
    for step, passes in enumerate((3, 3, 4)):
        both = torch.cat([ahead, seen[step] % 2**ROW_BITS]).double()
        feed.note(step, both.repeat_interleave(2))  # two documents a row
        assert feed.state == [passes, int(both[4:].max()) + 1]
    feed.close()


def test_a_pass_without_rows_for_a_step_is_named(made):
    empty = Tables(pa.concat_tables(made.rows(1)).slice(0, 3))
    with pytest.raises(DataError, match="fewer than 4 rows for each worker"):
        next(Passes(empty, empty).tables(4))


def test_what_is_kept_of_a_place_in_a_pass(made):
    rows = streamed_rows(made)
    encoder = Encoder(made.tokenizer)
    assert (rows.vocab_size, dict(rows.specials), rows.end_id) == (encoder.vocab_size, encoder.special, 0)
    assert rows.documents(1 << ROW_BITS) == [SHARDS[2].name]
    assert rows.passes([2, (1 << ROW_BITS) + 5]) == 2.5
