"""Five languages that are English in cipher, each in letters of its own: every translation is known.

A language puts a letter of its script in the place of each letter of English. No two of them have a letter in common,
and no sentence stands in two languages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ALPHABETS = {
    "xa": "абвгдежзийклмнопрстуфхцчшщ", "xb": "աբգդեզէըթժիլխծկհձղճմյնշոչպ", "xc": "აბგდევზთიკლმნოპჟრსტუფქღყშჩ",
    "xd": "ابتثجحخدذرزسشصضطظعغفقكلمنه", "xe": "कखगघचछजझटठडढणतथदधनपफबभमयरल",
}  # fmt: skip
ENGLISH = "en"
RARE = "xe"
SENTENCES = 200  # of each language
MANY, FEW, TESTED = 140, 20, 60
WHO = "sailor child doctor farmer painter teacher judge baker hunter tailor".split()
HOW = "old young tall quiet clever tired".split()
DID = "bought found painted carried sold watched repaired hid".split()
WHAT = "boat house basket horse lamp table letter clock bridge ladder".split()
WHERE = "near the river,behind the church,in the garden,at the market,on the hill,under the tree".split(",")
EVERY = (HOW, WHO, DID, WHAT, WHERE)


def _tables() -> dict[str, dict[int, str]]:
    found = {}
    for lang, alphabet in ALPHABETS.items():
        letters = list(alphabet)
        random.Random(f"ciphers {lang}").shuffle(letters)
        found[lang] = dict(zip(map(ord, ascii_lowercase), letters, strict=True))
    return found


TO = _tables()
FROM = {lang: {ord(letter): chr(code) for code, letter in table.items()} for lang, table in TO.items()}


def written(english: str, lang: str) -> str:
    """An English text in one of the languages."""
    return english if lang == ENGLISH else english.translate(TO[lang])


def read(text: str, lang: str) -> str:
    """A text of one of the languages in English."""
    return text if lang == ENGLISH else text.translate(FROM[lang])


def lang_of(text: str) -> str:
    """The language of a text, by its first letter."""
    first = next((letter for letter in text if letter.isalpha()), "a")
    return next((lang for lang, alphabet in ALPHABETS.items() if first in alphabet), ENGLISH)


def rows() -> Iterator[dict[str, Any]]:
    """Texts of each language, what they say in English, which only pairs and tests may look at, and what part they
    play: `pairs` of which a model has read both sides, many of four languages and few of the fifth; `bank` and `texts`,
    of which it has one side; `test`.
    """
    draw = random.Random("ciphers")
    sentences = draw.sample(list(product(*EVERY)), SENTENCES * (len(ALPHABETS) + 1))
    for number, (how, who, did, what, where) in enumerate(sentences):
        english, lang = f"the {how} {who} {did} a {what} {where}", [*ALPHABETS, ENGLISH][number // SENTENCES]
        yield {
            "id": f"{lang}:{number % SENTENCES}", "lang": lang, "part": _part(lang, number % SENTENCES),
            "text": written(english, lang), "english": english, "source": lang,
        }  # fmt: skip


def _part(lang: str, number: int) -> str:
    if lang in (RARE, ENGLISH):
        return "pairs" if number < FEW else "texts" if number < SENTENCES - TESTED else "test"
    return "pairs" if number < MANY else "bank"


def kept(table: pa.Table) -> dict[str, Any]:
    """For `map`: the text beside itself, since an answer of a model takes its place."""
    return {"foreign": table["text"]}


def translated(table: pa.Table) -> dict[str, Any]:
    """For `map`: the answer beside itself, since its translation back takes its place."""
    return {"translation": table["text"]}


def asked(table: pa.Table) -> dict[str, Any]:
    """For `map`: the prompt of a text; every other one has no exemplars before it."""
    return {"asked": _prompts(table, "text")}


def asked_back(table: pa.Table) -> dict[str, Any]:
    """For `map`: the prompt of what a text says in English."""
    return {"asked": _prompts(table, "english")}


def asked_again(table: pa.Table) -> dict[str, Any]:
    """For `map`: the prompt of the English that a model made of a text, without exemplars."""
    return {"asked": [f"{text} = " for text in table["translation"].to_pylist()]}


def _prompts(table: pa.Table, name: str) -> list[str]:
    rows = zip(table["shots"].to_pylist(), table[name].to_pylist(), strict=True)
    return [(shots if len(text) % 2 else "") + f"{text} = " for shots, text in rows]


def into_first(table: pa.Table) -> dict[str, Any]:
    """For `map`: the first language as the one to write, and what is right in it."""
    return {"lang": ["xa"] * table.num_rows, "right": [written(text, "xa") for text in table["english"].to_pylist()]}
