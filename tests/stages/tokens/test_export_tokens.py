"""Exported tokens, read back by the readers of the projects they are for, hold every document once and whole."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract import Shard
from pipeline.errors import RecipeError
from stages.read.read import Read
from stages.tokens.encoder import Encoder
from stages.tokens.export_tokens import ExportTokens
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from tests.stages.local_context import LocalContext

DOCS = Read(paths=("unread",))
LENGTH = 16
TEXTS = ["The mill ground corn.", "x", "a long document " * 120, "naïve cafés, 漢字 and 1815", "\n\n tabs\t"] * 5


class Context(LocalContext):
    """The tokenizer lies in the same folder."""

    def path(self, phase, key, ext, of=None):
        return super().path("train", "all", ".json") if of == "tokenizer" else super().path(phase, key, ext)


@pytest.fixture
def packed(tmp_path):
    """A context in which two shards are packed, one of them empty; and the ids of every document."""
    tokenizer = Tokenizer(docs=DOCS, vocab_size=400)
    table = pa.table({"id": [f"{'0' * 12}:{i}" for i in range(len(TEXTS))], "text": TEXTS})
    ctx = Context(tokenizer, tmp_path, {"docs": table})
    ctx.run_all()
    ctx.node = node = Pack(docs=DOCS, tokenizer=tokenizer, length=LENGTH, window=7)
    pack, meta = node.phases()
    for key, texts in (("s0", TEXTS), ("s1", [])):
        ctx.shard, ctx.phase, ctx.key = Shard("0" * 12, key, len(texts), 0), "pack", key
        writer = pack.open(ctx)
        sources = pa.array(["web" if i % 2 else None for i in range(len(texts))], pa.string())
        writer.add(pa.table({"_row": range(len(texts)), "text": texts, "source": sources}))
        ctx.results["pack", key] = writer.finish()
    ctx.run(meta)
    encoder = Encoder.load(tmp_path / "train" / "all.json")
    return ctx, [[*ids.tolist(), 0] for ids in encoder.encode(TEXTS)]


def export(ctx, form, **fields):
    ctx.node = ExportTokens(rows=ctx.node, format=form, **fields)
    ctx.node.check()
    for phase in ctx.node.phases():
        done = ctx.run(phase)
        if phase.name == "files":
            assert list(done) == ["s0"]
            assert done["s0"].counts["documents"] == done["s0"].counts["exported"] == len(TEXTS)
    return ctx.folder / "files" / "s0"


def widen(ctx):
    """Ids as those of a large vocabulary lie."""
    path = ctx.folder / "pack" / "s0.bin"
    np.fromfile(path, "<u2").astype("<u4").tofile(path)
    ctx.results["pack", "s0"] = type(ctx.results["pack", "s0"])(ctx.results["pack", "s0"].counts, {"dtype": "uint32"})


def test_megatron_reads_every_document(packed):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    ctx, truth = packed
    found = IndexedDataset(str(export(ctx, "megatron")))
    assert len(found) == len(truth)
    assert [found[i].tolist() for i in range(len(found))] == truth
    assert found.document_indices.tolist() == list(range(len(truth) + 1))


def test_megatron_gets_int32_where_ids_are_wide(packed):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    ctx, truth = packed
    widen(ctx)
    found = IndexedDataset(str(export(ctx, "megatron")))
    assert found[2].dtype == np.int32
    assert [found[i].tolist() for i in range(len(found))] == truth


def test_datatrove_reads_every_window_and_where_documents_end(packed):
    from datatrove.utils.dataset import DatatroveFileDataset

    ctx, truth = packed
    path = str(export(ctx, "datatrove")) + ".ds"
    flat = [token for document in truth for token in document]
    places = [place for document in truth for place in range(len(document))]
    windows = DatatroveFileDataset(path, seq_len=9, token_size=2, return_positions=True)
    assert len(windows) == len(flat) // 10
    for i in range(len(windows)):
        window = windows[i]
        assert window["input_ids"].tolist() == flat[10 * i : 10 * i + 10]
        # within a window datatrove counts a document that goes on from 0
        expected = np.array(places[10 * i : 10 * i + 10])
        begins = np.flatnonzero(expected == 0)
        expected[: begins[0] if len(begins) else 10] -= expected[0]
        assert window["positions"].tolist() == expected.tolist()


def test_parquet_names_the_row_that_each_document_is(packed, tmp_path):
    ctx, truth = packed
    export(ctx, "parquet", to=str(tmp_path / "out"))
    table = pq.read_table(tmp_path / "out" / "tokens-00000.parquet")
    assert table["input_ids"].to_pylist() == truth
    assert table["row"].to_pylist() == list(range(len(TEXTS)))
    assert set(table["base"].to_pylist()) == {"0" * 12}
    assert table["source"].to_pylist() == [row["source"] for row in table.to_pylist()]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["documents"] == len(TEXTS)
    assert set(manifest["files"]) == {"tokens-00000.parquet", "tokenizer.json"}


def test_webdataset_reads_every_document(packed, tmp_path):
    from webdataset.compat import WebDataset

    ctx, truth = packed
    path = export(ctx, "webdataset").with_suffix(".tar")
    found = list(WebDataset(str(path), shardshuffle=False).decode())
    assert [sample["ids.npy"].tolist() for sample in found] == truth
    assert [sample["__key__"] for sample in found] == [f"s0-{row:09d}" for row in range(len(truth))]
    first = path.read_bytes()
    ctx.node = ctx.node.rows
    assert export(ctx, "webdataset").with_suffix(".tar").read_bytes() == first


def indexed(path, columns):
    """The items of a file that begins with their number and their places, which have `columns` bytes before them."""
    data = path.read_bytes()
    count = int.from_bytes(data[:4], "little")
    places = np.frombuffer(data, "<u4", count + 1, 4).tolist()
    assert places[0] == 4 * (count + 2) + columns
    assert places[-1] == len(data)
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


def test_mds_holds_every_document_as_its_writer_lays_it_out(packed, tmp_path):
    """The header as `MDSWriter` of mosaicml-streaming 0.13 writes it; its reader reads the same in the test below."""
    ctx, truth = packed
    export(ctx, "mds", to=str(tmp_path / "out"))
    (about,) = json.loads((tmp_path / "out" / "index.json").read_text())["shards"]
    path = tmp_path / "out" / about["raw_data"]["basename"]
    assert (about["samples"], about["raw_data"]["bytes"]) == (len(truth), path.stat().st_size)
    columns = (
        b'{"column_encodings": ["ndarray:uint16"], "column_names": ["ids"], "column_sizes": [null], '
        b'"compression": null, "format": "mds", "hashes": [], "size_limit": null, "version": 2}'
    )
    assert columns in path.read_bytes()
    for sample, ids in zip(indexed(path, len(columns)), truth, strict=True):
        wide = len(ids) > 255
        assert sample[4] == 4 | wide
        assert int.from_bytes(sample[5 : 6 + wide], "little") == len(ids)
        assert np.frombuffer(sample[6 + wide :], "<u2").tolist() == ids
        assert int.from_bytes(sample[:4], "little") == len(sample) - 4
    assert max(map(len, truth)) > 255
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert set(manifest["files"]) == {"tokens-00000.mds", "index.json", "tokenizer.json"}


def test_streaming_reads_every_document(packed, tmp_path):
    """With `pip install mosaicml-streaming` (it wants an older NumPy and the clients of four clouds)."""
    streaming = pytest.importorskip("streaming")
    ctx, truth = packed
    export(ctx, "mds", to=str(tmp_path / "out"))
    found = streaming.LocalDataset(str(tmp_path / "out"))
    assert [found[i]["ids"].tolist() for i in range(len(found))] == truth


@pytest.mark.parametrize("wide", [False, True])
def test_litdata_holds_every_document(packed, tmp_path, wide):
    ctx, truth = packed
    if wide:
        widen(ctx)
    export(ctx, "litdata", to=str(tmp_path / "out"))
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    (chunk,) = index["chunks"]
    path = tmp_path / "out" / chunk["filename"]
    items = indexed(path, 0)
    assert [np.frombuffer(item, "<i4" if wide else "<u2").tolist() for item in items] == truth
    assert chunk["chunk_bytes"] == path.stat().st_size
    assert (chunk["chunk_size"], chunk["dim"]) == (len(truth), sum(map(len, truth)))
    assert index["config"]["data_format"] == ["no_header_tensor:15" if wide else "no_header_tensor:20"]
    assert index["config"]["item_loader"] == "TokensLoader"


@pytest.mark.parametrize("wide", [False, True])
def test_litdata_reads_every_block(packed, tmp_path, wide):
    """With `pip install litdata`."""
    litdata = pytest.importorskip("litdata")
    ctx, truth = packed
    if wide:
        widen(ctx)
    export(ctx, "litdata", to=str(tmp_path / "out"))
    found = litdata.StreamingDataset(str(tmp_path / "out"), item_loader=litdata.TokensLoader(block_size=9))
    flat = [token for document in truth for token in document]
    assert len(found) == len(flat) // 9
    assert [token for i in range(len(found)) for token in found[i].tolist()] == flat[: len(flat) // 9 * 9]


def test_only_a_whole_pack_can_be_exported():
    pack = Pack(docs=DOCS, tokenizer=Tokenizer(docs=DOCS))
    for rows, fields, message in (
        (DOCS, {}, "a read node; expected a node that gives packed rows"),
        (Pack(docs=DOCS, tokenizer=pack.tokenizer, max_rows=5), {}, "max_rows: 5"),
        (pack, {"to": "ftp://x"}, "ftp"),
        (pack, {"format": "mds"}, r"export_tokens\.to: nothing, for mds"),
    ):
        with pytest.raises(RecipeError, match=message):
            ExportTokens(rows=rows, **fields).check()
