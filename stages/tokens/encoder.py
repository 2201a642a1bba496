"""Text to token ids: by kitoken, checked against `tokenizers`.

kitoken reads the same `tokenizer.json` and is several times faster; on a keyed sample of the documents its
ids are compared with those of `tokenizers`, and on the first difference the rest is encoded by
`tokenizers`. A document that holds the literal text of a special token keeps it as ordinary text: both
encoders are loaded without the special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

SAMPLE = 101  # one document in so many is encoded twice; costs about a tenth of the encoding


class Encoder:
    """Encodes documents; `differs` holds the first document (its text) on which the two encoders disagreed,
    or None.
    """

    def __init__(self, tokenizer_json: str) -> None:
        import kitoken
        from tokenizers import Tokenizer

        definition = json.loads(tokenizer_json)
        self.special = {entry["content"]: entry["id"] for entry in definition["added_tokens"]}
        plain = json.dumps(definition | {"added_tokens": []})
        self._vocabulary: dict[str, int] = definition["model"]["vocab"]
        self._fast = kitoken.Kitoken.from_tokenizers(plain.encode())
        self._reference = Tokenizer.from_str(plain)
        self.differs: str | None = None

    @classmethod
    def load(cls, path: Path) -> Encoder:
        """The encoder of a `tokenizer.json`."""
        return cls(Path(path).read_text(encoding="utf-8"))

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(*self._vocabulary.values(), *self.special.values()) + 1

    def encode(self, texts: Sequence[str], first: int = 0) -> list[np.ndarray]:
        """Ids of each text, uint32. `first` is the number of the first text, which decides the sample."""
        if self.differs is None:
            ids = self._fast.encode_all(list(texts), False)
            for i in range(-first % SAMPLE, len(texts), SAMPLE):
                if list(ids[i]) != self._slow(texts[i]):
                    self.differs = texts[i]
                    break
            else:
                return [np.asarray(one, np.uint32) for one in ids]
        return [np.asarray(self._slow(text), np.uint32) for text in texts]

    def _slow(self, text: str) -> list[int]:
        return self._reference.encode(text, add_special_tokens=False).ids

    @cached_property
    def token_bytes(self) -> np.ndarray:
        """Bytes of text that each id stands for, int64 [vocab_size]; special tokens stand for none."""
        sizes = np.zeros(self.vocab_size, np.int64)
        for token, number in self._vocabulary.items():
            # byte-level: each character of the token's name is one byte of text
            sizes[number] = len(token)
        for number in self.special.values():
            sizes[number] = 0
        return sizes
