"""Tokenizer and encoder: equal ids from two libraries, control tokens that no text can forge, a fair sample."""

import json
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Reference

from pipeline.contract import Result
from pipeline.errors import RecipeError
from stages.read.read import Read
from stages.tokens import tokenizer as module
from stages.tokens.encoder import SAMPLE, Encoder
from stages.tokens.tokenizer import END_OF_TEXT, Tokenizer
from tests.stages.local_context import LocalContext

DOCS = Read(paths=("corpus.jsonl",))
SPECIALS = ("<mask_1>", "<|im_start|>")
TEXTS = [
    "The brook ran down to the mill, and the mill ground corn for 1815 people.",
    "Über den Wolken, 漢字 and \U0001f30a waves; naïve cafés cost 3.50 €.",
    f"A page that quotes {END_OF_TEXT} in its text {END_OF_TEXT}{END_OF_TEXT} and <mask_1>, <|im_start|>user.",
    "\n\n  indented\r\n\ttabs and  double  spaces\n",
    "it's and don't, we're, I've, I'll, he'd, I'm: \n'd \t's",
    "x",
    "a long document " * 60,
] * 8


def documents(texts=TEXTS, **columns):
    return pa.table({"id": [f"{'0' * 12}:{i}" for i in range(len(texts))], "text": texts} | columns)


def train(folder, table, counts=None, **fields):
    ctx = LocalContext(Tokenizer(docs=DOCS, **{"vocab_size": 400, "specials": SPECIALS} | fields), folder)
    ctx.tables["docs"] = table
    if counts is not None:
        ctx.results["count", "s0"] = Result(counts=counts)
    return ctx.run_all()["all"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train(folder, documents())
    return folder / "train" / "all.json"


def test_training_twice_gives_the_same_bytes_and_held_out_documents_are_not_seen(tokenizer, tmp_path):
    marks = [False] * len(TEXTS) + [True]
    table = documents([*TEXTS, "zzqqzzqq zzqqzzqq zzqqzzqq zzqqzzqq"], held_out=pa.array(marks))
    assert train(tmp_path, table).counts["documents"] == len(TEXTS)
    assert (tmp_path / "train" / "all.json").read_bytes() == tokenizer.read_bytes()


def test_digits_stand_alone_and_special_tokens_come_first(tokenizer):
    definition = json.loads(tokenizer.read_text())
    specials = [(entry["id"], entry["content"], entry["special"]) for entry in definition["added_tokens"]]
    assert specials == [(i, name, True) for i, name in enumerate((END_OF_TEXT, *SPECIALS))]
    assert not [token for token in definition["model"]["vocab"] if sum(c.isdigit() for c in token) > 1]


blanks = st.lists(
    st.sampled_from([*" \n\t\r'sdtmlvre1aé漢-", "\x85", "\u00a0", "\u3000", "\x1c", "\u0301"]), max_size=14
)


@given(text=st.text(max_size=60) | blanks.map("".join) | st.sampled_from(TEXTS))
@settings(max_examples=500)
def test_both_libraries_give_the_same_ids_and_the_text_comes_back(tokenizer, text):
    """Without the check: kitoken alone is held against `tokenizers`."""
    encoder = Encoder.load(tokenizer)
    [ids] = encoder.encode([text], first=0)
    assert encoder.differing == 0
    assert not set(ids.tolist()) & {0, 1, 2}
    assert encoder.token_bytes[ids].sum() == len(text.encode())
    assert Reference.from_file(str(tokenizer)).decode(ids.tolist(), skip_special_tokens=False) == text


def other_ids(tokenizer):
    """An encoder whose fast half has two letters exchanged."""
    encoder = Encoder.load(tokenizer)
    other = json.loads(tokenizer.read_text())
    vocabulary = other["model"]["vocab"]
    vocabulary["o"], vocabulary["e"] = vocabulary["e"], vocabulary["o"]
    encoder._fast = Encoder(json.dumps(other))._fast
    return encoder


def test_after_a_difference_in_the_sample_the_reference_encodes_everything(tokenizer):
    texts = ["one two", "oe oe"]
    truth = Encoder.load(tokenizer).encode(texts)
    encoder = other_ids(tokenizer)
    found = encoder.encode(texts)
    assert (encoder.differing, encoder.differs, encoder.is_reference) == (1, "one two", True)
    assert all(np.array_equal(a, b) for a, b in zip(truth, found, strict=True))


def test_words_on_which_the_two_may_part_are_checked_wherever_they_stand(tokenizer):
    texts = ["a\n'doe a\n\n'o a", "oe"]
    truth = Encoder.load(tokenizer).encode(texts)
    encoder = other_ids(tokenizer)
    found = encoder.encode(texts, first=1)
    assert 2 < SAMPLE
    assert (encoder.differing, encoder.differs, encoder.is_reference) == (1, texts[0], False)
    assert np.array_equal(found[0], truth[0])
    assert not np.array_equal(found[1], truth[1])


@given(
    text=blanks.map("".join)
    | st.lists(st.sampled_from(["\n'd", "\t'", "\x1c'll", "word", " ", "\n", "\x1c", "."])).map("".join)
)
@settings(max_examples=500)
def test_a_text_that_is_cut_around_such_words_has_the_ids_of_the_whole(tokenizer, text):
    encoder, reference = both_of(tokenizer)
    [ids] = encoder.encode([text], first=1)
    assert ids.tolist() == reference.encode(text).ids
    assert not encoder.is_reference, "else later examples would ask the reference alone"


@cache
def both_of(tokenizer):
    """Loaded once for all examples: an encoder, and the library's own tokenizer of its plain definition."""
    encoder = Encoder.load(tokenizer)
    return encoder, Reference.from_str(encoder.definition.plain())


def test_the_sample_is_a_share_of_the_bytes_alive(tmp_path):
    """Half of the rows of the base are gone; the sample still has the bytes that were asked for."""
    texts = [f"document number {i} of some length" for i in range(2000)]
    size = sum(len(text) for text in texts)
    counts = train(tmp_path, documents(texts), {"bytes": size}, sample_bytes=size // 4).counts
    assert counts["bytes"] == pytest.approx(size / 4, rel=0.15)


def test_of_a_huge_document_the_first_characters_count(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DOCUMENT_CHARACTERS", 100)
    huge = "a long document " * 1000
    result = train(tmp_path / "cut", documents([huge, "x"]))
    assert result.counts == {"documents": 2, "bytes": 101, "cut": 1}
    train(tmp_path / "short", documents([huge[:100], "x"]))
    one, other = ((tmp_path / name / "train" / "all.json").read_bytes() for name in ("cut", "short"))
    assert one == other


@pytest.mark.parametrize("specials", [("a", "a"), (END_OF_TEXT,), (" ",)])
def test_special_tokens_are_told_apart(specials):
    with pytest.raises(RecipeError, match=r"tokenizer\.specials"):
        Tokenizer(docs=DOCS, specials=specials).check()
