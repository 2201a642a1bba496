"""Tokenizers that others have made: the ids of `tokenizers`, of SentencePiece and of tiktoken, and their own names."""

import base64
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Reference

from pipeline.errors import DataError, RecipeError
from stages.read.read import Read
from stages.tokens import agreement
from stages.tokens.definition import Definition
from stages.tokens.encoder import Encoder
from stages.tokens.given import name_marks
from stages.tokens.tokenizer import Tokenizer
from tests.stages.local_context import LocalContext
from tests.stages.tokens import given_tokenizers as given

TIKTOKEN = {"pattern": given.LLAMA3, "specials": ("<|endoftext|>", "<|pad|>")}
MADE = {
    "llama3": lambda path: given.byte_level("llama3", path),
    "qwen": lambda path: given.byte_level("qwen", path),
    "neox": lambda path: given.byte_level("neox", path),
    "bpe": lambda path: given.sentencepiece_model("bpe", path, normalization_rule_name="identity",
                                                  remove_extra_whitespaces=False),
    "unigram": lambda path: given.sentencepiece_model("unigram", path),
    "tiktoken": given.tiktoken_file,
}  # fmt: skip


class Taken:
    """A tokenizer that the node has taken."""

    def __init__(self, folder: Path, place: Path, **fields) -> None:
        files = sorted(folder.iterdir())
        node = Tokenizer(from_=tuple(map(str, files)), **fields)
        node.check()
        name_marks([path.name for path in files])
        ctx = LocalContext(node, place, files={"from_": files})
        self.facts, self.place = ctx.run_all()["all"].facts, place / "train"
        self.text = (self.place / "all.json").read_text(encoding="utf-8")
        self.encoder = Encoder(self.text, self.facts["agree"])


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """Kind -> what the node made of it; each once."""
    known: dict[str, Taken] = {}

    def of(kind: str) -> Taken:
        if kind not in known:
            folder = tmp_path_factory.mktemp(kind)
            MADE[kind](folder / "theirs")
            known[kind] = Taken(folder / "theirs", folder / "ours", **(TIKTOKEN if kind == "tiktoken" else {}))
        return known[kind]

    return of


@pytest.fixture(scope="module")
def texts():
    return given.documents()


@pytest.mark.long
@pytest.mark.parametrize("kind", MADE)
def test_ids_are_those_of_the_library_and_no_text_is_a_special_token(kind, taken, texts):
    tokenizer = taken(kind)
    reference = Reference.from_str(Definition(tokenizer.text).plain())
    whole = Reference.from_str(tokenizer.text)
    found = [ids.tolist() for ids in tokenizer.encoder.encode(texts)]
    assert found == [one.ids for one in reference.encode_batch(texts, add_special_tokens=False)]
    special = tokenizer.encoder.special
    assert not {number for ids in found for number in ids} & set(special.values()) - {special.get("<unk>")}
    plain = [at for at, text in enumerate(texts) if not any(name in text for name in special)]
    assert len(plain) > 150
    assert [found[at] for at in plain] == [whole.encode(texts[at], add_special_tokens=False).ids for at in plain]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_sentencepiece_model_gives_the_ids_of_sentencepiece(kind, taken, texts, tmp_path_factory):
    import sentencepiece

    tokenizer = taken(kind)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer.place / "all" / "tokenizer.model"))
    for text, ids in zip(texts, tokenizer.encoder.encode(texts), strict=True):
        ours, found = ids.tolist(), theirs.encode(text)
        # bytes of a literal "<0x0A>" are the byte's token for `tokenizers`, in a Unigram model
        if ours != found and "<0x0A>" not in text:
            assert kind == "unigram", text
            assert theirs.decode(ours) == theirs.decode(found)
            # two ways that are as good as each other
            assert len(ours) == len(found)
            assert sum(map(theirs.get_score, ours)) == pytest.approx(sum(map(theirs.get_score, found)), rel=1e-6)


def test_ranks_give_the_ids_of_tiktoken(taken, texts):
    import tiktoken

    tokenizer = taken("tiktoken")
    lines = (tokenizer.place / "all" / "base.tiktoken").read_text().splitlines()
    ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in lines}
    theirs = tiktoken.Encoding("base", pat_str=given.LLAMA3, mergeable_ranks=ranks, special_tokens={})
    assert [ids.tolist() for ids in tokenizer.encoder.encode(texts)] == [theirs.encode_ordinary(text) for text in texts]
    assert tokenizer.encoder.special == {"<|endoftext|>": len(ranks), "<|pad|>": len(ranks) + 1}


def test_special_tokens_keep_their_names_and_files_are_kept_as_they_were(taken):
    ends = {kind: (taken(kind).facts["begin"], taken(kind).facts["end"]) for kind in MADE}
    assert ends == {
        "llama3": ("<|begin_of_text|>", "<|end_of_text|>"), "qwen": ("<|im_end|>", "<|im_end|>"),
        "neox": ("<|endoftext|>", "<|endoftext|>"), "bpe": ("<s>", "</s>"), "unigram": ("<s>", "</s>"),
        "tiktoken": ("<|endoftext|>", "<|endoftext|>"),
    }  # fmt: skip
    for kind in MADE:
        tokenizer = taken(kind)
        for path in (tokenizer.place.parent.parent / "theirs").iterdir():
            kept = tokenizer.place / ("all.json" if path.name == "tokenizer.json" else f"all/{path.name}")
            assert kept.read_bytes() == path.read_bytes(), path


def test_bytes_of_tokens_are_those_of_the_text(taken, texts):
    for kind in ("llama3", "neox", "bpe"):
        encoder = taken(kind).encoder
        plain = [text for text in texts if "\u0301" not in text]  # which NFC joins
        sizes = [int(encoder.token_bytes[ids].sum()) for ids in encoder.encode(plain)]
        blank = kind == "bpe"  # before the text, which SentencePiece adds
        assert sizes == [len(text.encode()) + blank for text in plain], kind


def test_kitoken_encodes_only_where_the_trial_shows_no_difference(taken):
    """GPT-NeoX splits by GPT-2's own expression, which the two libraries read in two ways."""
    assert (taken("llama3").facts["agree"], taken("neox").facts["agree"]) == (True, False)
    assert taken("neox").encoder.is_reference
    assert not taken("llama3").encoder.is_reference
    trusting = Encoder(taken("neox").text, agree=True)
    tried = agreement.trial(taken("neox").encoder.definition)
    assert any(trusting._fast.encode(text, False) != taken("neox").encoder.encode([text])[0].tolist() for text in tried)


def test_what_is_no_tokenizer_is_named(tmp_path, taken):
    with pytest.raises(DataError, match=r"no tokenizer among README\.md, model\.safetensors"):
        name_marks(["model.safetensors", "README.md"])
    with pytest.raises(DataError, match="name one of them"):
        name_marks(["a.model", "b.model"])
    docs = Read(paths=("a.jsonl",))
    for wrong, match in (
        ({}, "neither documents"), ({"docs": docs, "from_": ("a",)}, "docs.*given beside from"),
        ({"from_": ("a",), "vocab_size": 500}, r"vocab_size"), ({"from_": ("a",), "specials": ("x",)}, "names already"),
        ({"docs": docs, "end": "x"}, r"tokenizer\.end"),
    ):  # fmt: skip
        with pytest.raises(RecipeError, match=match):
            Tokenizer(**wrong).check()
    ranks = taken("tiktoken").place.parent.parent / "theirs"
    with pytest.raises(DataError, match=r"how texts are split.*tokenizer\.pattern"):
        Taken(ranks, tmp_path / "a")
    with pytest.raises(DataError, match=r"tokenizer\.end.*'</x>'.*<\|begin_of_text\|>"):
        Taken(taken("llama3").place.parent.parent / "theirs", tmp_path / "b", end="</x>")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "tokenizer.model").write_bytes(b"\x0a\xffno model")
    with pytest.raises(DataError, match="no SentencePiece model"):
        Taken(tmp_path / "c", tmp_path / "d")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "tokenizer.json").write_text(json.dumps({"model": {}}))
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        Taken(tmp_path / "e", tmp_path / "f")


def test_the_size_of_the_vocabulary_is_known_before_the_run(taken):
    folder = taken("qwen").place.parent.parent / "theirs"
    node = Tokenizer(from_=(str(folder / "*"),))
    assert node.entries == Tokenizer(from_=(str(folder),)).entries == taken("qwen").facts["vocab_size"] == 2003
    assert node.reserved == {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}
    assert Tokenizer(docs=Read(paths=("a.jsonl",))).entries == 4096


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("tokenizer.model", b"\x80" * 2_000_000, "more than 64 bits"),
        ("tokenizer.model", b"\x0a\xff\xff\xff\xff\x0fx", "its end is missing"),
        ("tekken.json", b"[" * 10_000, "nested too deep"),
        ("tekken.json", b"null", "null; expected"),
        ("a.tiktoken", base64.b64encode(b"a" * 60_000) + b" 0", "pairs of places"),
        ("other.json", b"null", r"other\.json: null"),
        ("tokenizer.json", b"{}", r"no tokenizer\.json"),
    ],
)
def test_a_hostile_file_of_another_form_is_refused(name, content, match, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(content)
    with pytest.raises(DataError, match=match):
        Taken(tmp_path / "a", tmp_path / "b", **(TIKTOKEN if name.endswith("tiktoken") else {}))
