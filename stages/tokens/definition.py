"""What a `tokenizer.json` says of its tokens, without a library.

The driver asks for it too, which loads no tokenizer library: one crashed it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # a token that stands for one byte (`byte_fallback`)
BLANK = "▁"  # a blank, in the tokens of SentencePiece
NO_TEXT = "\ue000"  # around a special piece of a Unigram model, so that no text spells it


class Definition:
    """A `tokenizer.json`.

    special  name -> id of the special tokens: those that no text may spell
    """

    def __init__(self, text: str) -> None:
        self._all: dict[str, Any] = json.loads(text)
        added = self._all["added_tokens"]
        self.special: dict[str, int] = {entry["content"]: entry["id"] for entry in added if entry["special"]}
        self._words: dict[str, int] = {entry["content"]: entry["id"] for entry in added if not entry["special"]}

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Token -> id, without the added tokens."""
        found = self._all["model"]["vocab"]
        return found if isinstance(found, dict) else {token: number for number, (token, _) in enumerate(found)}

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max([*self.vocabulary.values(), *self.special.values(), *self._words.values()]) + 1

    @property
    def split(self) -> object:
        """How texts are split before their tokens are looked for."""
        return self._all["pre_tokenizer"]

    @property
    def byte_level(self) -> bool:
        """Whether the letters of a token stand for bytes."""
        return '"ByteLevel"' in json.dumps(self._all["decoder"])

    def name(self, number: int) -> str | None:
        """The text of a token."""
        for names in (self.special, self._words, self.vocabulary):
            for name, at in names.items():
                if at == number:
                    return name
        return None

    def plain(self) -> str:
        """The definition without special tokens: their texts are text. Nothing is cut and nothing filled up. Added
        tokens that are not special stay, since texts are spelled with them (runs of blanks in GPT-NeoX's).
        """
        model = dict(self._all["model"])
        if model["type"] == "Unigram":
            hidden = [NO_TEXT + token + NO_TEXT if token in self.special else token for token, _ in model["vocab"]]
            vocab = [[token, score] for token, (_, score) in zip(hidden, model["vocab"], strict=True)]
            names = {number: token for token, number in self._words.items()}
            behind = range(len(vocab), max(names, default=-1) + 1)
            model["vocab"] = vocab + [[names.get(at, f"{NO_TEXT}{at}{NO_TEXT}"), 0.0] for at in behind]
        else:
            # a library numbers added tokens anew, in their order, unless the model knows their ids
            model["vocab"] = model["vocab"] | self._words
            if model.get("byte_fallback") and sum(map(bool, map(BYTE.fullmatch, model["vocab"]))) == 256:
                model["unk_token"] = None  # every text has bytes
        words = [entry for entry in self._all["added_tokens"] if not entry["special"]]
        return json.dumps(self._all | {"added_tokens": words, "truncation": None, "padding": None, "model": model})

    def token_bytes(self) -> np.ndarray:
        """Bytes of text that each id stands for, int64 [vocab_size]; special tokens stand for none. They are about
        right where texts are changed before they are split (NFKC), or begin with a blank that is not theirs.
        """
        import numpy as np

        byte_level, prefix = self.byte_level, "##" if self._all["model"]["type"] == "WordPiece" else ""
        sizes = np.zeros(self.vocab_size, np.int64)
        for token, number in self.vocabulary.items():
            # byte-level: each character of the token's name is one byte of text
            sizes[number] = (
                len(token) if byte_level else 1 if BYTE.fullmatch(token) else _size(token.removeprefix(prefix))
            )
        for token, number in self._words.items():
            sizes[number] = _size(token)
        for number in self.special.values():
            sizes[number] = 0
        return sizes


def _size(token: str) -> int:
    return len(token.replace(BLANK, " ").encode("utf-8", "surrogatepass"))


def extended(text: str, names: Sequence[str]) -> tuple[str, int]:
    """A `tokenizer.json` with more special tokens, whose ids stand behind all others, and how many ids there are then.
    Raises ValueError for a name that it has already.
    """
    content, first = json.loads(text), Definition(text).vocab_size
    known = {entry["content"] for entry in content["added_tokens"]} | Definition(text).vocabulary.keys()
    if twice := [name for name in names if name in known]:
        raise ValueError(f"{twice[0]!r}, which the tokenizer has already")
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    more = [{"id": first + place, "content": name, **flags, "special": True} for place, name in enumerate(names)]
    content["added_tokens"] = [*content["added_tokens"], *more]
    return json.dumps(content, ensure_ascii=False, indent=2), first + len(names)
