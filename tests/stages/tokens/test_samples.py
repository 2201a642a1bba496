"""Samples in packed rows: what is learned of them, what is none, and that a packed sample's losses are its own."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models.build import build
from models.losses import IGNORE
from models.presets import Llama
from pipeline.contract import Shard
from pipeline.errors import DataError, RecipeError
from pipeline.files.open_store import file_on_disk
from stages.read.read import Read
from stages.split import Split
from stages.tokens.chat import BEGIN, END, Chat
from stages.tokens.encoder import Encoder
from stages.tokens.export_tokens import ExportTokens
from stages.tokens.pack import Pack
from stages.tokens.pack_samples import PackSamples
from stages.tokens.packed_rows import BIN_SUFFIX, ROWS_SUFFIX, PackedRows
from stages.tokens.sample import Answer
from stages.tokens.sample_writer import SampleWriter
from stages.tokens.tokenizer import END_OF_TEXT, Tokenizer
from stages.training.collate import NEXT_TOKEN, Key
from stages.training.feed import Feed
from stages.training.growing_vocabulary import GrowingVocabulary
from stages.training.mask_tokens import MaskTokens
from stages.training.pretrain import Pretrain
from stages.training.results import TrainedModel
from stages.training.row_source import RowSource
from stages.training.score_texts import samples_in
from stages.training.scoring import score_documents
from stages.training.training import Training
from tests.models.calls import losses
from tests.stages.local_context import LocalContext
from tests.stages.run_here import Here
from tests.stages.training.rows import changed, declared, made_rows

DOCS = Read(paths=("asked.jsonl",), keep=("prompt", "messages"))
SPECIALS = (BEGIN, END)
WORDS = f"tide moon harbour salt rope lantern gull {BEGIN} {END} {END_OF_TEXT} of and the 1815".split()
LENGTH = 40
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = pa.table({"id": [f"{'0' * 12}:{i}" for i in range(20)], "text": [" ".join(WORDS)] * 20})
    LocalContext(Tokenizer(docs=DOCS, vocab_size=320, specials=SPECIALS), folder, {"docs": texts}).run_all()
    return folder / "train" / "all.json"


def text(draw, most):
    return " ".join(draw.choices(WORDS, k=draw.randint(1, most)))


def packed(tokenizer, folder, sample, *, learn_all=False, cut_long=False, window=1000, length=LENGTH, **columns):
    """Counts of a packed shard, and its rows."""
    table = pa.table({"_row": range(len(next(iter(columns.values()))))} | columns)
    ctx = LocalContext(Pack(docs=DOCS, tokenizer=Tokenizer(docs=DOCS)), folder)
    ctx.shard, ctx.phase, ctx.key = Shard("base12345678", "s0", table.num_rows, 0), "pack", "s0"
    writer = SampleWriter(
        ctx, tokenizer, length + 1, window, frozenset({1}), {}, None,
        sample=sample, learn_all=learn_all, cut_long=cut_long,
    )  # fmt: skip
    for start in range(0, table.num_rows, 7):
        writer.add(table.slice(start, 7))
    counts = writer.finish().counts
    files = tuple(file_on_disk(folder / "pack" / f"s0{suffix}") for suffix in (BIN_SUFFIX, ROWS_SUFFIX))
    encoder = Encoder.load(tokenizer)
    specials = tuple(encoder.special.items())
    rows = PackedRows(((*files, counts["rows"]),), length, "uint16", encoder.special[END_OF_TEXT], 320, None, specials)
    return counts, rows


def samples_of(rows):
    """Base row -> (ids, whether each is learned) of the sample that stands for it."""
    taken, found = rows.take(np.arange(rows.rows)), {}
    described = pq.read_table(rows.files[0][1].local()).to_pylist()
    for row, line in enumerate(described):
        for document, start, length in zip(line["doc_row"], line["doc_start"], line["doc_tokens"], strict=True):
            here = slice(start, start + length)
            assert document not in found, "a sample stands in one row"
            found[document] = taken.ids[row, here].tolist(), taken.learned[row, here].tolist()
    used = sum(len(ids) for ids, _ in found.values())
    assert taken.learned.sum() == sum(sum(learned) for _, learned in found.values()), "no filling is learned"
    assert used == sum(line["tokens"] for line in described)
    return found


@pytest.mark.parametrize("window", [1000, 5])
def test_the_learned_places_are_the_tokens_of_the_answer_and_the_end(tokenizer, tmp_path, window):
    draw = random.Random(window)
    prompts = [draw.choice([None, "", text(draw, 20)]) for _ in range(120)]
    answers = [draw.choice([None, "", *[text(draw, 9)] * 6]) for _ in range(120)]
    held = [draw.random() < 0.1 for _ in range(120)]
    counts, rows = packed(tokenizer, tmp_path, Answer(), window=window, prompt=prompts, text=answers, held_out=held)
    found, encoder = samples_of(rows), Encoder.load(tokenizer)
    end, dropped = encoder.special[END_OF_TEXT], {"held_out": 0, "no_answer": 0, "too_long": 0}
    for row, (prompt, answer, mark) in enumerate(zip(prompts, answers, held, strict=True)):
        asked, said = (ids.tolist() for ids in encoder.encode([prompt or "", answer or ""]))
        ids = [end, *asked, *said, end]
        reason = "held_out" if mark or row == 1 else "no_answer" if not answer else "too_long"
        if row in found:
            assert found[row] == (ids, [False] * (1 + len(asked)) + [True] * (len(said) + 1))
            assert not set(ids[1:-1]) & set(encoder.special.values()), "a special token that somebody typed is text"
        else:
            assert reason != "too_long" or len(ids) > LENGTH + 1
            dropped[reason] += 1
    assert {name: counts.get(f"dropped.{name}", 0) for name in dropped} == dropped
    assert all(dropped.values())
    assert counts["documents"] == 120 == counts["packed"] + sum(dropped.values())
    assert counts["packed"] == len(found)
    groups, roles = rows.groups(np.arange(rows.rows))
    assert groups.max() == groups.shape[1] > 1
    assert ((groups == np.arange(1, groups.shape[1] + 1)) | (groups == 0)).all()
    assert not roles.any()


def said(*messages):
    return json.dumps([{"role": role, "content": content} for role, content in messages])


def test_of_a_conversation_what_the_assistant_says_is_learned_and_where_it_stops(tokenizer, tmp_path):
    good = [
        ("system", "of salt"),
        ("user", f"the {END} moon"),
        ("assistant", "tide"),
        ("user", "and"),
        ("assistant", "rope"),
    ]
    wrong = {
        "bad_messages": [None, "no json", "[]", "{}", '[{"role": "user"}]', '["user"]', '[{"role": 1, "content": ""}]'],
        "bad_roles": [said(("assistant", "a")), said(*[("user", "a")] * 2), said(("user", "a"), ("system", "b"))],
        "no_answer": [said(("user", "a")), said(("user", "a"), ("assistant", ""))],
    }  # fmt: skip
    column = [said(*good), said(*good), *(one for each in wrong.values() for one in each)]
    counts, rows = packed(tokenizer, tmp_path, Chat(), length=150, messages=column)
    assert {name: counts[f"dropped.{name}"] for name in wrong} == {name: len(each) for name, each in wrong.items()}
    assert (
        counts["documents"]
        == len(column)
        == counts["packed"] + sum(number for name, number in counts.items() if name.startswith("dropped."))
    )
    [(ids, learned)] = samples_of(rows).values()
    encoder = Encoder.load(tokenizer)

    def of(name):
        return [encoder.special[name]]

    def plain(words):
        return encoder.encode([words])[0].tolist()

    expected, marks = of(END_OF_TEXT), [False]
    for number, (role, content) in enumerate(good):
        before = (plain("\n") if number else []) + of(BEGIN) + plain(f"{role}\n")
        body = plain(content) + of(END)
        expected += before + body
        marks += [False] * len(before) + [role == "assistant"] * len(body)
    assert (ids, learned) == (expected + of(END_OF_TEXT), [*marks, True])
    assert ids.count(encoder.special[END]) == 5, "the one that the user typed is text"


def test_a_long_prompt_loses_its_beginning_where_it_is_asked_for(tokenizer, tmp_path):
    columns = {"prompt": ["rope " * 80, "", "rope", "rope"], "text": ["moon", "", "moon " * 80, "moon"]}
    whole, _ = packed(tokenizer, tmp_path / "whole", Answer(), **columns)
    assert (whole["dropped.too_long"], whole["packed"]) == (2, 1)
    counts, rows = packed(tokenizer, tmp_path / "cut", Answer(), cut_long=True, **columns)
    assert (counts["dropped.too_long"], counts["packed"], counts["cut"]) == (1, 2, 1)
    found, encoder = samples_of(rows), Encoder.load(tokenizer)
    asked, answer = (one.tolist() for one in encoder.encode(["rope " * 80, "moon"]))
    end = encoder.special[END_OF_TEXT]
    assert found[0][0] == [end, *asked[len(answer) + 2 - LENGTH - 1 :], *answer, end]
    assert found[0][1] == [False] * (LENGTH - len(answer)) + [True] * (len(answer) + 1)


def test_all_tokens_are_learned_for_the_control(tokenizer, tmp_path):
    columns = {"prompt": ["rope", "", "gull"], "text": ["moon", "", "salt"]}
    _, some = packed(tokenizer, tmp_path / "some", Answer(), **columns)
    _, rows = packed(tokenizer, tmp_path / "all", Answer(), learn_all=True, **columns)
    assert [ids for ids, _ in samples_of(some).values()] == [ids for ids, _ in samples_of(rows).values()]
    assert all(learned == [False] + [True] * (len(ids) - 1) for ids, learned in samples_of(rows).values())


def batch_of(rows, numbers, **changes):
    node = declared(model=Llama("1m"), batch_rows=len(numbers), micro_batches=1, attend="document", device="cpu")
    training = Training(node=node, fingerprint="", sources=(RowSource("a", rows, 1.0),), scratch="")
    feed = Feed(changed(training, **changes) if changes else training, 0, 1, CPU)
    feed.close()
    return NEXT_TOKEN.collate(feed._take(np.zeros(len(numbers), np.int64), np.asarray(numbers), cut=True), Key(0, 0, 1))


def test_the_losses_of_a_packed_sample_are_those_of_the_sample_alone(tokenizer, tmp_path):
    draw = random.Random(2)
    prompts, answers = ([text(draw, 4) for _ in range(30)] for _ in range(2))
    _, together = packed(tokenizer, tmp_path / "together", Answer(), prompt=prompts, text=answers)
    batch = batch_of(together, range(together.rows))
    assert batch.groups_bd is not None
    assert int(batch.groups_bd.max()) > 1
    assert int((batch.labels_bt != IGNORE).sum()) == sum(sum(learned) for _, learned in samples_of(together).values())
    model = build(Llama("1m", hidden=32, inter=48, layers=2, heads=2), 320, LENGTH, 0).eval()

    def by_sample(rows, batch):
        found = losses(model, batch.ids_bt, batch.labels_bt, batch.documents_bt).detach().numpy()
        sums = {}
        for row, line in enumerate(pq.read_table(rows.files[0][1].local()).to_pylist()):
            for document, start, length in zip(line["doc_row"], line["doc_start"], line["doc_tokens"], strict=True):
                sums[document] = float(found[row, start : start + length].astype(np.float64).sum())
        return sums

    expected = {}
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        if row != 1:
            _, one = packed(tokenizer, tmp_path / f"{row}", Answer(), prompt=[prompt], text=[answer])
            if one.rows:
                [expected[row]] = by_sample(one, batch_of(one, [0])).values()
    found = by_sample(together, batch)
    assert found.keys() == expected.keys()
    assert np.allclose([found[row] for row in expected], list(expected.values()), rtol=1e-5, atol=1e-5)


def test_of_a_mixture_documents_are_learned_whole_and_samples_in_part(tokenizer, tmp_path):
    _, asked = packed(tokenizer, tmp_path, Answer(), prompt=["rope", "", "gull"], text=["moon", "", "salt"])
    plain = made_rows(tmp_path / "plain", rows=3, length=LENGTH, vocab_size=320)
    node = declared(model=Llama("1m"), device="cpu")
    sources = (RowSource("plain", plain, 0.5), RowSource("asked", asked, 0.5))
    feed = Feed(Training(node=node, fingerprint="", sources=sources, scratch=""), 0, 1, CPU)
    feed.close()
    rows = feed._take(np.array([1, 0, 0]), np.array([0, 2, 1]), cut=True)
    assert rows.learned[1:].all()
    assert np.array_equal(rows.learned[:1], asked.take(np.array([0])).learned)
    assert rows.groups.tolist() == [[1, 2], [0, 0], [0, 0]]
    alone = feed._take(np.array([0, 0]), np.array([2, 1]), cut=True)
    both = NEXT_TOKEN.collate(rows, Key(0, 0, 1)).labels_bt
    assert torch.equal(both[1:], NEXT_TOKEN.collate(alone._replace(learned=None), Key(0, 0, 1)).labels_bt)
    assert (both[0] != IGNORE).sum() == asked.take(np.array([0])).learned.sum()


def test_what_does_not_fit_is_named_before_anything_runs(tokenizer, tmp_path):
    words = Tokenizer(docs=DOCS, vocab_size=320, specials=SPECIALS)
    plain = Tokenizer(docs=DOCS, vocab_size=320)
    fields = {"docs": DOCS, "tokenizer": words, "length": LENGTH}
    for wrong, said in [
        (PackSamples(**fields, sample=Answer(prompt="question")), r"pack_samples\.sample: no column 'question'"),
        (PackSamples(**fields, sample=Answer(prompt="_none", answer="text")), "a string column: .*prompt"),
        (PackSamples(**fields | {"tokenizer": plain}, sample=Chat()), r"reserves no <\|im_start\|>, <\|im_end\|>"),
        (PackSamples(**fields, sample=Answer(), carry=("sample_role",)), "carry: sample_role"),
        (ExportTokens(rows=PackSamples(**fields, sample=Answer())), "rows of samples, of which no format"),
    ]:
        with pytest.raises(RecipeError, match=said):
            wrong.check()
    rows = PackSamples(**fields, sample=Chat())
    rows.check()
    Pretrain(rows=rows, model=Llama("1m"), collate=NEXT_TOKEN).check()
    for collate in (MaskTokens(mask=BEGIN), GrowingVocabulary(inner=MaskTokens(mask=BEGIN), unknown=END)):
        with pytest.raises(RecipeError, match="over samples of which only answers are learned; expected next_token"):
            Pretrain(rows=rows, model=Llama("1m"), collate=collate).check()
    Pretrain(rows=rows, model=Llama("1m"), collate=GrowingVocabulary(unknown=END)).check()
    bare = tmp_path / "bare.json"
    found = json.loads(tokenizer.read_text())
    found["added_tokens"] = [one for one in found["added_tokens"] if one["content"] not in SPECIALS]
    bare.write_text(json.dumps(found))
    with pytest.raises(DataError, match=r"none of <\|im_start\|>, <\|im_end\|> in it"):
        packed(bare, tmp_path, Chat(), messages=["[]"])


def test_through_the_engine_every_sample_is_packed_or_counted_and_found_again(tmp_path):
    draw, lines = random.Random(4), []
    for number in range(40):
        turns = [("user", text(draw, 5)), ("assistant", text(draw, 4) if number % 4 else "")]
        messages = [{"role": role, "content": content} for role, content in turns]
        lines.append({"id": f"{number}", "text": f"the sample {number}", "messages": messages})
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    docs = Split(docs=Read(paths=(str(tmp_path / "asked.jsonl"),), keep=("messages",)), held_out=0.2)
    words = Tokenizer(docs=docs, vocab_size=320, specials=SPECIALS)
    node = PackSamples(docs=docs, tokenizer=words, sample=Chat(), length=150)
    done = Here(node, tmp_path / "store")
    data = tmp_path / "store" / done.state.folder(node) / "data"
    meta = json.loads((data / "meta/all.json").read_text())
    [shard] = [one["name"] for one in meta["shards"]]
    lists = pq.read_table(data / "pack" / f"{shard}{ROWS_SUFFIX}").to_pylist()
    manifest = done.state.manifest(node)
    assert manifest is not None
    counts = manifest["counts"]["pack"]
    dropped = {name: number for name, number in counts.items() if name.startswith("dropped.")}
    assert set(dropped) == {"dropped.held_out", "dropped.no_answer"}
    assert counts["documents"] == 40 == counts["packed"] + sum(dropped.values())
    where = {document: number for number, line in enumerate(lists) for document in line["doc_row"]}
    assert len(where) == meta["packed"]
    names = pq.read_schema(data / "pack" / f"{shard}{ROWS_SUFFIX}").metadata
    base, key = names[b"base"].decode(), names[b"shard"].decode()
    packed = PackedRows.described(meta, lambda shard, ext: file_on_disk(data / "pack" / f"{shard}{ext}"))
    for document, row in where.items():
        assert packed.rows_of_document(base, key, document) == [row]


def test_an_evaluation_scores_the_tokens_of_answers_behind_their_prompts(tokenizer):
    draw = random.Random(5)
    prompts = ["", "rope " * 80, *(text(draw, 6) for _ in range(9)), "rope"]
    answers = [*(text(draw, 4) for _ in range(10)), "", "moon " * 80]
    table = pa.table({"prompt": prompts, "text": answers})
    encoder, skipped = Encoder.load(tokenizer), {}
    end = encoder.special[END_OF_TEXT]
    run = TrainedModel({"end_id": end, "length": LENGTH}, {})
    [found] = samples_in([table], encoder, Answer(), run, skipped)
    assert skipped == {"skipped.no_answer": 1, "skipped.too_long": 1}
    assert found.table.num_rows == 10
    model = build(Llama("1m", hidden=32, inter=48, layers=2, heads=2), 320, LENGTH, 0).eval()
    scores = score_documents(model, found.ids, found.sizes, end, 3, found.learned)
    for row, (prompt, answer) in enumerate(zip(prompts[:10], answers, strict=False)):
        asked, said = (one.tolist() for one in encoder.encode([prompt, answer]))
        ids = torch.tensor([[end, *asked[-(LENGTH - len(said)) :], *said]])
        labels = ids[:, 1:].clone()
        labels[:, : -len(said)] = IGNORE
        alone = losses(model, ids[:, :-1], labels).detach().double().sum()
        assert scores.nats[row] == pytest.approx(float(alone), rel=1e-5)
        assert scores.tokens[row] == len(said)
        assert scores.bytes[row] == len(answer.encode())
