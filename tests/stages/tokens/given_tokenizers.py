"""Tokenizers as others lay them out, made here by the libraries that make them, on text that nobody here wrote."""

from __future__ import annotations

import io
import json
import sysconfig
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace("{1,3}", "")
HARD = [
    "don't\n'd \t's  x\r\n\r\n  y", "日本語のテキスト 漢字かな交じり文",
    "naïve cafe\u0301 ﬁne ½ Ⅷ", "１２３ 4567 3.50 €",
    "\U0001f468\u200d\U0001f469 \U0001f1e9\U0001f1ea",
    "a <0x0A> b </s> <s> <|endoftext|> [INST]", "   leading and trailing   ", "\n\n\n", "x" * 300, "عربى हिन्दी ไทย",
    "\u00a0\u2003\ufeff\u00ad", "tabs\tand\x0bmore\x0c",
]  # fmt: skip


def documents() -> list[str]:
    """Sources and licences of the Python that runs, and texts on which tokenizers part."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return HARD + [path.read_text("utf-8", "replace")[:3000] for path in paths]


def byte_level(kind: str, path: Path) -> None:
    """`tokenizer.json` as Llama 3, Qwen or GPT-NeoX lay it out."""
    made = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    specials = {
        "llama3": ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
        "qwen": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        "neox": ["<|endoftext|>", "<|padding|>"],
    }[kind]
    if kind == "neox":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        split = pre_tokenizers.Split(Regex(LLAMA3 if kind == "llama3" else QWEN), "isolated")
        made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    if kind != "llama3":
        made.normalizer = normalizers.NFC()
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(
        documents(), trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_special_tokens(specials)
    if kind == "neox":  # its runs of blanks are tokens, and not special
        made.add_tokens([AddedToken(" " * count, normalized=True) for count in range(24, 1, -1)])
    path.mkdir(parents=True, exist_ok=True)
    made.save(str(path / "tokenizer.json"))
    if kind == "qwen":
        settings = {"eos_token": "<|im_end|>", "bos_token": None, "chat_template": "{{ messages }}"}
        (path / "tokenizer_config.json").write_text(json.dumps(settings))


def sentencepiece_model(kind: str, path: Path, **options) -> None:
    """`tokenizer.model` of SentencePiece."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in documents() for line in text.splitlines() if line.strip()]),
        model_writer=model, model_type=kind, vocab_size=1500, byte_fallback=True, character_coverage=0.99,
        minloglevel=2, num_threads=1, user_defined_symbols=["[INST]"], **options,
    )  # fmt: skip
    path.mkdir(parents=True, exist_ok=True)
    (path / "tokenizer.model").write_bytes(model.getvalue())


def tiktoken_file(path: Path) -> None:
    """A file of ranks, of the tokenizer that `byte_level("llama3")` makes."""
    from base64 import b64encode

    from stages.tokens.ranks import LETTERS

    byte_level("llama3", path)
    bytes_of = {letter: byte for byte, letter in LETTERS.items()}
    vocabulary = json.loads((path / "tokenizer.json").read_text())["model"]["vocab"]
    tokens = [bytes(bytes_of[letter] for letter in token) for token in sorted(vocabulary, key=vocabulary.__getitem__)]
    lines = [f"{b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
    (path / "tokenizer.json").unlink()
    (path / "base.tiktoken").write_text("\n".join(lines) + "\n")
