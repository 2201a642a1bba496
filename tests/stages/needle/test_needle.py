"""Facts in long texts: what is hidden where, that nothing of it leaks, and what a model finds that knows nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_context import LocalContext

from models import files
from models.presets import Llama
from pipeline.errors import DataError, RecipeError
from stages.needle.facts import fact, sentences, told
from stages.needle.haystack import Haystack
from stages.needle.needle import Needle
from stages.read.read import Read
from stages.split import Split
from stages.tokens.encoder import Encoder
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from stages.training.pretrain import Pretrain
from tests.stages.run_here import Here


@pytest.fixture(scope="module")
def docs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    texts = [f"Day {n}. The tide turns at {n}! A boat of {n} comes home\nand rests" for n in range(60)]
    lines = [json.dumps({"id": f"{n}", "text": text}) + "\n" for n, text in enumerate(texts)]
    (folder / "a.jsonl").write_text("".join(lines))
    return Split(docs=Read(paths=(f"{folder}/a.jsonl",)), held_out=0.3)


def test_sentences_joined_are_the_text_and_a_code_is_the_last_line_of_an_answer() -> None:
    for text in ("A b. C d! E\nf g? h", "", "no end", "...\n\n", "One.\nTwo.\n"):
        assert "".join(sentences(text)) == text
    one, other = fact("a"), fact("b")
    assert one != other == fact("b")
    for recites in (True, False):
        assert told(one.answer(recites)) == one.code
        assert told(other.answer(recites)) != one.code
    assert told("The code of x is 1234.") != "1234"


def test_a_sample_hides_its_fact_once_between_sentences_of_documents_that_are_not_held_out(docs, tmp_path) -> None:
    node = Haystack(docs=docs, chars=150)
    done = Here(node, tmp_path / "store")
    folder = tmp_path / "store" / done.state.folder(node) / "data/shards"
    table = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
    marks = docs.open(LocalContext(docs, None))(pa.table({"id": [f"{n}" for n in range(60)]})).added["held_out"]
    held = {f"{n}" for n, out in enumerate(marks.tolist()) if out}
    manifest = done.state.manifest(node)
    counts = {name: number for name, number in manifest["counts"]["shards"].items() if number}
    assert counts["parents"] == table.num_rows
    assert counts["childless"] == len(held) > 5
    assert not held & {name for row in table.to_pylist() for name in row["parents"]}
    depths = []
    for row in table.to_pylist():
        statement = row["text"].partition("\n")[0]
        before, _, after = row["prompt"].partition(statement + " ")
        assert row["prompt"].count(statement) == 1
        assert row["text"] == f"{statement}\n{row['answer']}"
        assert row["answer"] in statement
        assert not before or before[-1] in "\n !. "
        hay = before + after.partition("\nWhat is the code of ")[0]
        assert len(hay) <= 150
        assert hay.startswith("Day ")
        assert len(row["parents"]) > 1
        depths.append(row["depth"])
    assert min(depths) < 0.2
    assert max(depths) > 0.8


@pytest.fixture(scope="module")
def needle(docs, tmp_path_factory):
    words = Tokenizer(docs=docs, vocab_size=300)
    rows = Pack(docs=docs, tokenizer=words, length=32)
    model = Llama("1m", hidden=32, inter=48, layers=1, heads=2)
    base = Pretrain(rows=rows, model=model, steps=1, batch_rows=4, device="cpu", precision="fp32")
    node = Needle(model=base, docs=docs, lengths=(160, 96), depths=(0.0, 0.5, 1.0), samples=3, tokens=8)
    store = tmp_path_factory.mktemp("store")
    return node, store, Here(node, store)


@pytest.mark.long
def test_each_length_and_depth_has_its_texts_and_a_share(needle) -> None:
    node, store, done = needle
    folder = store / done.state.folder(node)
    table = pq.read_table(folder / "data/score/all.parquet").to_pydict()
    assert len(set(table["id"])) == len(table["id"]) == 2 * 3 * 3
    assert [table["group"].count(f"{length} tokens") for length in node.lengths] == [9, 9]
    assert set(table["value"]) == {0.0}, "a model that has learned nothing"
    heat, whole = json.loads((folder / "figures.json").read_text())
    assert heat["heat"] is True
    assert heat["rows"] == [["160", 0.0, 0.0, 0.0], ["96", 0.0, 0.0, 0.0]]
    assert whole["rows"][0] == ["160", 0.0, 0.0, 0.0]


@pytest.mark.long
def test_the_fact_stands_where_its_depth_says_and_texts_of_a_length_are_of_one(needle, docs) -> None:
    node, store, done = needle
    encoder = Encoder.load(store / done.state.folder(node.model) / "data/train/all/tokenizer.json")
    hay = [[ids.tolist() for ids in encoder.encode(["One day. ", "Another day, as long. "])]] * 9
    one = fact("x")
    [told_ids] = encoder.encode([one.statement + " "])
    places = []
    for depth in (0.0, 0.5, 1.0):
        ids = node._prompt(2, one.statement, one.question, depth, 120, encoder, hay)
        assert len(ids) + 1 + node.tokens == 120
        [at] = [i for i in range(len(ids)) if ids[i : i + len(told_ids)] == told_ids.tolist()]
        places.append(at)
    asked = len(encoder.encode([one.question])[0])
    assert places[0] == 0
    assert places[2] == len(ids) - asked - len(told_ids)
    assert abs(places[1] - places[2] / 2) < 20
    with pytest.raises(DataError, match=r"needle\.docs: documents that are \d+ tokens short of 120"):
        node._prompt(0, one.statement, one.question, 0.0, 120, encoder, hay[:1])
    with pytest.raises(DataError, match=r"needle\.lengths: 20 tokens"):
        node._prompt(0, one.statement, one.question, 0.0, 20, encoder, hay)
    for wrong in ({"lengths": ()}, {"lengths": (64, 64)}, {"depths": (0.5, 0.5)}):
        with pytest.raises(RecipeError, match="none of them twice"):
            replace(node, **wrong).check()
    assert files.load(store / done.state.folder(node.model) / "data/train/all/model.safetensors").max_length == 32
