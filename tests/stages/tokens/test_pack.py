"""Tokenizer and pack: equal ids from two libraries, special tokens as text, rows that give their documents back."""

import os
import resource
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract import Shard
from pipeline.errors import DataError, RecipeError
from pipeline.files.open_store import file_on_disk
from stages.read.read import Read
from stages.tokens.encoder import Encoder
from stages.tokens.holdout import barred_documents
from stages.tokens.pack import Pack
from stages.tokens.pack_shard import PackWriter
from stages.tokens.packed_rows import BIN_SUFFIX, ROWS_SUFFIX, PackedRows
from stages.tokens.tokenizer import END_OF_TEXT, Tokenizer
from tests.stages.local_context import LocalContext

TEXTS = [
    "The brook ran down to the mill, and the mill ground corn for 1815 people.",
    "Über den Wolken, 漢字 and \U0001f30a waves; naïve cafés cost 3.50 €.",
    f"A page that quotes {END_OF_TEXT} in its text {END_OF_TEXT}{END_OF_TEXT}.",
    "\n\n  indented\r\n\ttabs and  double  spaces\n",
    "x",
    "a long document " * 60,
] * 8


DOCS = Read(paths=("corpus.jsonl",))
TOKENIZER = Tokenizer(docs=DOCS)


def documents(texts=TEXTS, **columns):
    rows = len(texts)
    table = {"id": [f"{'0' * 12}:{i}" for i in range(rows)], "_row": list(range(rows)), "text": texts}
    return pa.table(table | columns)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    LocalContext(Tokenizer(docs=DOCS, vocab_size=400), folder, {"docs": documents()}).run_all()
    return folder / "train" / "all.json"


class _Open(LocalContext):
    """A context of one shard phase."""

    shard = None

    def log(self, event, **values):
        self.logged = event


def pack(tokenizer, folder, table, *, length=16, window=1000, barred=frozenset(), batch=7, carry=None):
    ctx = _Open(Pack(docs=DOCS, tokenizer=TOKENIZER, length=length), folder)
    ctx.shard, ctx.phase, ctx.key = Shard("base12345678", "s0", table.num_rows, 0), "pack", "s0"
    writer = PackWriter(ctx, tokenizer, length + 1, window, barred, carry or {})
    for start in range(0, table.num_rows, batch):
        writer.add(table.slice(start, batch))
    return writer.finish(), folder / "pack"


def read(folder, length):
    rows = np.fromfile(folder / f"s0{BIN_SUFFIX}", "<u2").reshape(-1, length + 1)
    return rows, pq.read_table(folder / f"s0{ROWS_SUFFIX}").to_pylist()


@pytest.mark.parametrize("window", [1000, 5])
def test_rows_give_every_document_back_and_counts_balance(tokenizer, tmp_path, window):
    held = [i % 5 == 0 for i in range(len(TEXTS))]
    table = documents(
        held_out=held, source=["a", None] * (len(TEXTS) // 2), level=range(len(TEXTS)), site=["x"] * len(TEXTS)
    )
    result, folder = pack(
        tokenizer, tmp_path, table, window=window, barred=frozenset({1}), carry={"level": True, "site": False}
    )
    counts = result.counts
    assert counts["documents"] == len(TEXTS)
    assert counts["dropped.held_out"] == sum(held) + 1
    assert counts["documents"] == counts["packed"] + counts["dropped.held_out"]
    rows, lines = read(folder, 16)
    assert counts["rows"] == len(rows) == len(lines)
    assert counts["tokens"] == sum(line["tokens"] for line in lines)
    assert counts["padding"] == rows.size - counts["tokens"]
    encoder, found = Encoder.load(tokenizer), {}
    for row, line in zip(rows, lines, strict=True):
        assert (row[line["tokens"] :] == 0).all()
        for i, document in enumerate(line["doc_row"]):
            start, count = line["doc_start"][i], line["doc_tokens"][i]
            found.setdefault(document, {})[line["doc_offset"][i]] = row[start : start + count]
            assert line["doc_source"][i] == table["source"][document].as_py()
        assert line["doc_level"] == line["doc_row"]
        assert line["doc_site"] == ["x"] * len(line["doc_row"])
        level = sum(a * b for a, b in zip(line["doc_level"], line["doc_tokens"], strict=True)) / line["tokens"]
        assert line["level"] == pytest.approx(level)
    wanted = [i for i, mark in enumerate(held) if not mark and i != 1]
    assert sorted(found) == wanted
    for document in wanted:
        ids = np.concatenate([piece for _, piece in sorted(found[document].items())])
        assert ids[0] == ids[-1] == 0
        assert np.array_equal(ids[1:-1], encoder.encode([TEXTS[document]])[0])
    assert sum(line["bytes"] for line in lines) == sum(len(TEXTS[i].encode()) for i in wanted) == counts["bytes"]


def test_a_null_among_carried_values_makes_the_mean_of_its_row_null_and_log_prior_reaches_training(tokenizer, tmp_path):
    table = documents(["one", "two", "a long document " * 4], log_prior=[None, 1.0, 0.5])
    result, folder = pack(tokenizer, tmp_path, table, carry={"log_prior": True})
    lines = read(folder, 16)[1]
    assert [line["log_prior"] is None for line in lines] == [None in line["doc_log_prior"] for line in lines]
    files = (
        (file_on_disk(folder / f"s0{BIN_SUFFIX}"), file_on_disk(folder / f"s0{ROWS_SUFFIX}"), result.counts["rows"]),
    )
    rows = PackedRows(files, 16, "uint16", 0, 400)
    assert rows.take(np.arange(len(lines))).log_priors.tolist() == [line["log_prior"] or 0.0 for line in lines]


def test_the_rows_of_a_source_weigh_together_what_its_documents_do(tokenizer, tmp_path):
    priors = np.log([0.25, 4.0, 1.0] * (len(TEXTS) // 3 + 1))[: len(TEXTS)]
    _, folder = pack(tokenizer, tmp_path, documents(log_prior=priors.tolist()), carry={"log_prior": True})
    lines, encoder = read(folder, 16)[1], Encoder.load(tokenizer)
    assert any(len(set(line["doc_log_prior"])) > 1 for line in lines)
    sizes = [len(encoder.encode([text])[0]) + 2 for text in TEXTS]
    weights = sum(np.exp(line["log_prior"]) * line["tokens"] for line in lines)
    assert weights == pytest.approx(np.exp(priors) @ sizes, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "message"),
    [("qualty", "no column of the documents; expected 'quality'"), ("text", "a column of type string")],
)
def test_a_column_that_cannot_be_carried_is_named(name, message):
    class Scored(Pack):
        gives = "documents"

        def adds(self):
            return {"quality": "float32"}

    with pytest.raises(RecipeError, match=message):
        Pack(docs=Scored(docs=DOCS, tokenizer=TOKENIZER), tokenizer=TOKENIZER, carry=(name,)).check()


def test_more_shards_than_open_files_can_be_read(tokenizer, tmp_path):
    result, folder = pack(tokenizer, tmp_path, documents(TEXTS[:2]))
    files = (
        (file_on_disk(folder / f"s0{BIN_SUFFIX}"), file_on_disk(folder / f"s0{ROWS_SUFFIX}"), result.counts["rows"]),
    )
    rows = PackedRows(files * 300, 16, "uint16", 0, 400)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 200, hard))
    try:
        ids = rows.take(np.arange(rows.rows)).ids.reshape(300, -1, 17)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (ids == ids[0]).all()


def test_bytes_do_not_depend_on_how_the_rows_were_batched(tokenizer, tmp_path):
    for batch in (1, 48):
        pack(tokenizer, tmp_path / str(batch), documents(), batch=batch)
    for suffix in (BIN_SUFFIX, ROWS_SUFFIX):
        one, other = ((tmp_path / batch / "pack" / f"s0{suffix}").read_bytes() for batch in ("1", "48"))
        assert one == other


def test_an_empty_shard_has_no_rows(tokenizer, tmp_path):
    result, folder = pack(tokenizer, tmp_path, documents([]))
    assert result.counts["rows"] == 0
    assert (folder / f"s0{BIN_SUFFIX}").read_bytes() == b""
    assert pq.read_table(folder / f"s0{ROWS_SUFFIX}").num_rows == 0


def test_rows_of_a_document_are_all_its_rows_and_a_budget_draws_distinct_ones(tokenizer, tmp_path):
    result, folder = pack(tokenizer, tmp_path, documents())
    count = result.counts["rows"]
    files = ((*(file_on_disk(folder / f"s0{suffix}") for suffix in (BIN_SUFFIX, ROWS_SUFFIX)), count),)
    whole = PackedRows(files, 16, "uint16", 0, 400)
    lines = read(folder, 16)[1]
    for document in (0, 5, len(TEXTS) - 1):
        brute = [i for i, line in enumerate(lines) if document in line["doc_row"]]
        assert whole.rows_of_document("base12345678", "s0", document) == brute
    assert whole.rows_of_document("base12345678", "s1", 0) == []
    drawn = PackedRows(files, 16, "uint16", 0, 400, draw=(20, 3))
    ids = drawn.take(np.arange(20))[0]
    numbers = Counter(number for number in drawn.numbers(0, range(count)) if number is not None)
    assert numbers == Counter(range(20))
    for place, number in enumerate(drawn.numbers(0, range(count))):
        if number is not None:
            assert np.array_equal(ids[number], whole.take(np.array([place]))[0][0])


def test_copies_of_held_out_documents_are_barred_through_chains_and_clusters(tmp_path):
    class Held(Pack):
        gives = "documents"

        def adds(self):
            return {
                "held_out": "bool",
                "exact_duplicate_of": "string",
                "duplicate_of": "string",
                "cluster_id": "string",
            }

    held = Held(docs=DOCS, tokenizer=TOKENIZER)
    table = pa.table(
        {
            "id": ["a", "b", "c", "d", "e", "f"],
            "_row": [0, 1, 2, 3, 4, 5],
            # a is held out; b was a copy of c, c a near copy of a; d shares a's cluster; f is a copy of e
            "held_out": [True, None, None, None, False, None],
            "exact_duplicate_of": [None, "c", None, None, None, "e"],
            "duplicate_of": [None, None, "a", None, None, None],
            "cluster_id": ["a", None, None, "a", None, None],
        }
    )
    ctx = LocalContext(Pack(docs=DOCS, tokenizer=TOKENIZER, holdout=held), tmp_path, {"holdout": table})
    assert list(barred_documents(ctx, "holdout")) == [("0" * 12, "all", [0, 1, 2, 3])]


def test_a_row_of_documents_that_weigh_nothing_weighs_nothing(tokenizer, tmp_path):
    table = documents(["a long document " * 20, "short"], log_prior=[-np.inf, 0.0])
    _, folder = pack(tokenizer, tmp_path, table, carry={"log_prior": True})
    lines = read(folder, 16)[1]
    found = {line["log_prior"] for line in lines if set(line["doc_log_prior"]) == {-np.inf}}
    assert found == {-np.inf}


@pytest.mark.parametrize("level", [800.0, -800.0])
def test_priors_are_averaged_by_their_differences(tokenizer, tmp_path, level):
    """As numbers they overflow, or are nothing."""
    priors = ([0.0, 1.0, -2.0] * len(TEXTS))[: len(TEXTS)]
    means = []
    for name, added in (("plain", 0.0), ("far", level)):
        table = documents(log_prior=[prior + added for prior in priors])
        _, folder = pack(tokenizer, tmp_path / name, table, carry={"log_prior": True})
        lines = read(folder, 16)[1]
        means.append([line["log_prior"] - added for line in lines])
    assert means[1] == pytest.approx(means[0], abs=1e-12)
    assert len(set(means[0])) > 3
    plain = [np.average(np.exp(line["doc_log_prior"]), weights=line["doc_tokens"])
             for line in read(tmp_path / "plain" / "pack", 16)[1]]  # fmt: skip
    assert np.exp(means[0]) == pytest.approx(plain, rel=1e-15)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_named_with_its_document(tokenizer, tmp_path, wrong):
    table = documents(["one", "two", "three"], log_prior=[None, 1.0, wrong])
    value = "NaN" if wrong != wrong else "inf"
    with pytest.raises(
        DataError, match=rf"base1234-s0: log_prior of document '.*:2' is {value}; expected a number from -inf to"
    ):
        pack(tokenizer, tmp_path, table, carry={"log_prior": True})
