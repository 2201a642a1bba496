"""Rows that are made while a training runs: what one worker sees, and what is refused. More workers and kills are
tests of faults.
"""

import json
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer as Decoder

from pipeline.driver.execute import run
from pipeline.errors import NodeFailed, RecipeError
from pipeline.graph import build
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from stages.training.by_prior import ByPrior
from stages.training.compare import Compare
from stages.training.pretrain import Pretrain
from stages.training.stream import RowStream
from stages.training.stream_rows import ROW_BITS
from tests.stages.training.streamed import LENGTH, before_training, node, trained, written
from tests.stages.training.toys.noted import noted

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.timeout(600)]  # the fixture is two trainings on Ray


@pytest.fixture(scope="module")
def twice(tmp_path_factory, local_ray):
    """Two runs of one worker with two passes and more: (folder of the run, what it published) of each."""
    found = []
    for _ in range(2):
        folder = tmp_path_factory.mktemp("run")
        docs, texts = written(folder / "input")
        found.append((folder, trained(folder, node(folder, docs, steps=40)), texts))
    return found


@pytest.mark.long
def test_a_pass_of_one_worker_holds_every_document_once_and_no_held_out_one(twice):
    folder, place, texts = twice[0]
    lines = noted(folder / "seen")
    numbers = [number for line in lines for number in line["rows"]]
    ends = [i for i, (one, other) in enumerate(pairwise(numbers), 1) if other < one]
    assert len(ends) >= 1
    first = numbers[: ends[0]]
    assert len(set(first)) == len(first)
    # only rows that fill no batch are missing, at the end
    for one, other in pairwise(first):
        assert other == one + 1 or (other >> ROW_BITS == (one >> ROW_BITS) + 1 and other % 2**ROW_BITS == 0)
    decoder = Decoder.from_file(str(place / "tokenizer.json"))
    seen = []
    for line in lines:
        for number, ids, documents in zip(line["rows"], line["ids"], line["documents"], strict=True):
            for piece in range(1, max(documents) + 1):
                held = [token for token, document in zip(ids, documents, strict=True) if document == piece]
                assert held[0] == held[-1] == 0
                seen.append((number, decoder.decode(held[1:-1])))
    distinct = {text for _, text in seen}
    assert len(set(seen)) == len(distinct)
    marks = [pq.read_table(path) for path in sorted(folder.glob("store/nodes/split-*/data/rows/*.parquet"))]
    kept = [not mark for table in marks for mark in table["held_out"].to_pylist()]
    # two passes of one order leave out the same rows
    assert distinct < {text for some in texts for text in some}
    assert sum(kept) - 3 * LENGTH // 5 < len(distinct) <= sum(kept)


@pytest.mark.long
def test_one_worker_that_is_not_interrupted_gives_the_same_bits_again(twice):
    (one, first, _), (other, second, _) = twice
    assert [line["rows"] for line in noted(one / "seen")] == [line["rows"] for line in noted(other / "seen")]
    losses = [pq.read_table(place / "steps.parquet")["loss"].to_pylist() for place in (first, second)]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    config = json.loads((first / "config.json").read_text())
    assert config["order"] == "RowStream"
    assert 1 < config["epochs"][0] < 40


@pytest.mark.long
def test_a_machine_without_a_cpu_for_the_pipeline_is_named(tmp_path):
    docs, _ = written(tmp_path / "input")
    streamed = node(tmp_path, docs, workers=2)
    before_training(streamed, str(tmp_path / "store"))
    with pytest.raises(NodeFailed, match="workers x threads: 3; expected at most 2"):
        run(build([streamed]), name="run", store=str(tmp_path / "store"))


def test_what_a_stream_cannot_do_is_named_before_anything_runs(tmp_path):
    docs, _ = written(tmp_path / "input")
    good = node(tmp_path, docs)
    assert not good.deterministic
    assert build([Compare(runs=(good,))])
    tokenizer = Tokenizer(docs=docs, vocab_size=320)
    rows = Pack(docs=docs, tokenizer=tokenizer)
    assert Pretrain(rows=rows, model=good.model).deterministic
    shared = {"model": good.model, "feed": RowStream(), "tokenizer": tokenizer}
    for wrong, place in [
        (Pretrain(**shared, rows=rows), "pretrain.rows"),
        (Pretrain(**shared, rows=((rows, 1.0),)), "pretrain.rows"),
        (Pretrain(**{**shared, "tokenizer": None}, rows=docs), "pretrain.tokenizer"),
        (Pretrain(**{**shared, "feed": None}, rows=rows), "pretrain.tokenizer"),
        (Pretrain(**shared, rows=docs, order=ByPrior()), "pretrain.feed"),
        (Pretrain(**shared, rows=docs, max_epochs=1.0), "pretrain.feed"),
        (Pretrain(**shared, rows=docs, workers=3, micro_batches=4), "pretrain.workers"),
    ]:
        with pytest.raises(RecipeError, match=place.replace(".", r"\.")):
            build([wrong])
