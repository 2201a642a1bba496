"""Whether kitoken gives the ids of `tokenizers` for a tokenizer that others have made.

It is asked once for a tokenizer, before any document is encoded, so the answer hangs on the tokenizer and the versions
of the two libraries alone. Three kinds of texts are tried: every character of the first plane of Unicode and many of
the others; keyed draws of characters on which splits were seen to part; and keyed draws of the tokenizer's own tokens.
One text with other ids, and `tokenizers` encodes everything.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from stages.tokens.definition import Definition
from stages.tokens.ranks import LETTERS

TEXTS = 6000  # of each kind of draw
BYTES = {letter: byte for byte, letter in LETTERS.items()}
TRICKY = (
    *" \n\t\r\x0b\x0c\x85\u00a0\u1680\u2003\u2028\u3000\ufeff\u200b\u200d\u00ad",
    *"'sdtmlvreSDTMLVRE’09²½Ⅷ٣!?.,-_/\\()[]{}<>|#@&%$€+=*~^`\"“”…—·",
    *"aZéßİıſAΩжאع中日本かカ한ไद้",
    *"\u0301\u0308\u0345\u093f\u0e33\U0001f30a\U0001f468\U0001f3fd\ufe0f\U0001f1e9\ue000\U00020000",
    *("  ", "\n\n", "\r\n", "'ll", " 'd", "\n'd", "don't", "123", "▁", "<0x0A>", "</s>", "http://"),
)


def agrees(definition: Definition) -> bool:
    """Whether kitoken encodes by this tokenizer, and as `tokenizers` does."""
    from tokenizers import Tokenizer

    from stages.tokens.kitoken_library import kitoken

    plain = definition.plain()
    reference = Tokenizer.from_str(plain)
    try:
        fast = kitoken().Kitoken.from_tokenizers(plain.encode())
    except ValueError:  # a kind of tokenizer that it does not read
        return False
    texts: list[str] = []
    for text in trial(definition):
        texts.append(text)
        if len(texts) == 500:
            if _differ(reference, fast, texts):
                return False
            texts = []
    return not _differ(reference, fast, texts)


def _differ(reference, fast, texts: list[str]) -> bool:
    truth = reference.encode_batch_fast(texts, add_special_tokens=False)
    return any(one.ids != list(ids) for one, ids in zip(truth, fast.encode_all(texts, False), strict=True))


def trial(definition: Definition) -> Iterator[str]:
    """The texts that are tried."""
    chance = random.Random(0)
    for _ in range(TEXTS):
        yield "".join(chance.choices(TRICKY, k=chance.randint(1, 24)))
    for first in [*range(0, 0x10000, 64), *range(0x10000, 0x110000, 64 * 61)]:
        letters = [chr(code) for code in range(first, first + 64) if not 0xD800 <= code < 0xE000]
        yield "".join(f"a{letter}" for letter in letters)
        yield " ".join(letters)
        yield "".join(letter * 2 for letter in letters)
    words = [
        bytes(BYTES.get(letter, 63) for letter in token).decode("utf-8", "ignore") if definition.byte_level
        else token.replace("▁", " ")
        for token in definition.vocabulary
    ]  # fmt: skip
    for _ in range(TEXTS):
        yield "".join(chance.choices(words, k=chance.randint(1, 12)))
