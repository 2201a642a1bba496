"""A vocabulary of numbers in the place of a tokenizer: for documents whose ids stand in a column (`pack.ids`).

The artefact is a `tokenizer.json`, as of every tokenizer, whose words are the numbers: `7 12 12` is encoded as 7, 12,
12 and decoded so. The special tokens stand behind all numbers, so that an id in a row is the number in the column.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from pipeline.contract import Context, Node, Result, TaskPhase, one
from pipeline.errors import RecipeError
from stages.tokens.tokenizer import END_OF_TEXT


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberVocabulary(Node):
    """The numbers from 0 to `size` - 1, such as units of sound, as tokens.

    size      how many there are
    specials  reserved special tokens, with the ids behind `<|endoftext|>`, which is `size`
    """

    size: Annotated[int, Interval(ge=1, le=2**24)]
    specials: tuple[str, ...] = ()

    recipe_name = "vocabulary"
    gives = "tokenizer"
    made = ("tokens",)

    def check(self) -> None:
        for name in self.specials:
            if not name.strip() or name == END_OF_TEXT or name.isdecimal() or self.specials.count(name) > 1:
                found = f"names that differ, no numbers, none of them {END_OF_TEXT}"
                raise RecipeError("vocabulary.specials", repr(name), found)

    @property
    def entries(self) -> int:
        """Entries of the vocabulary."""
        return self.size + 1 + len(self.specials)

    @property
    def reserved(self) -> frozenset[str]:
        """Names of the special tokens."""
        return frozenset(self.specials)

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=self._write),)

    def _write(self, ctx: Context, key: str) -> Result:
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        names = (END_OF_TEXT, *self.specials)
        content = {
            "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
            "added_tokens": [
                {"id": self.size + place, "content": name, **flags, "special": True} for place, name in enumerate(names)
            ],
            "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
            "model": {
                "type": "WordLevel", "unk_token": "0",
                "vocab": {str(number): number for number in range(self.size)},
            },
        }  # fmt: skip
        with ctx.create(".json") as path:
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        facts = {"vocab_size": self.entries, "begin": END_OF_TEXT, "end": END_OF_TEXT, "agree": False, "files": []}
        return Result(counts={"tokens": self.entries}, facts=facts)
