"""Parallel text: the gettext catalogues of Django (BSD), short sentences of English in 98 languages."""

from __future__ import annotations

import gettext
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

# ten languages of six scripts, of which a small model of English has read little
TESTED = ("sw", "id", "tr", "fi", "cy", "bg", "fa", "bn", "hy", "ka")
RICH = ("fr", "de", "ru", "zh_Hans", "ar", "hi", "el", "ko")  # of seven scripts, for exemplars
MARKUP = set("%<>{}\n\x04&_")
CHARACTERS, WORDS = (15, 70), 3
PASSAGE = 3  # words of a test that no exemplar holds

Pairs = Mapping[str, str]  # English -> the other language


def pairs(django: Path, lang: str) -> dict[str, str]:
    """The plain sentences of a language's catalogues."""
    found: dict[str, str] = {}
    for path in sorted(django.glob(f"**/locale/{lang}/LC_MESSAGES/django.mo")):
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for said, other in catalogue.items():
            if isinstance(said, str) and isinstance(other, str):  # else a plural
                english = said.split("\x04")[-1]
                if _plain(english, other):
                    found.setdefault(english, other)
    return found


def _plain(english: str, other: str) -> bool:
    fits = CHARACTERS[0] <= len(english) <= CHARACTERS[1] and len(english.split()) >= WORDS
    return fits and not MARKUP & set(english + other) and other not in ("", english)


def held_out(of_languages: Iterable[Pairs], number: int) -> list[str]:
    """So many English sentences that every language has, by a keyed draw."""
    common = set.intersection(*(set(of) for of in of_languages))
    return sorted(common, key=_drawn)[:number]


def apart(of: Pairs, tests: Sequence[str]) -> dict[str, str]:
    """The pairs of which no three words in a row stand in a test."""
    passages = {passage for test in tests for passage in _passages(test)}
    return {english: other for english, other in of.items() if not passages & _passages(english)}


def _passages(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + PASSAGE]) for at in range(len(words) - PASSAGE + 1)}


def _drawn(english: str) -> bytes:
    return hashlib.blake2b(f"catalogues/{english}".encode(), digest_size=8).digest()


def write(django: Path, folder: Path, texts: int, rich: int) -> None:
    """`test.jsonl`, a language after the other; `rich.jsonl`, so many sentences of each language for exemplars; and
    `own.jsonl`, true pairs of the tested languages.
    """
    tested = {lang: pairs(django, lang) for lang in TESTED}
    tests = held_out(tested.values(), texts)
    _write(folder / "test.jsonl", [(lang, english, tested[lang][english]) for lang in TESTED for english in tests])
    own = {lang: apart(of, tests) for lang, of in tested.items()}
    _write(folder / "own.jsonl", [(lang, *pair) for lang, of in own.items() for pair in sorted(of.items())])
    bank = []
    for lang in RICH:
        free = apart(pairs(django, lang), tests)
        bank += [(lang, english, free[english]) for english in sorted(free, key=_drawn)[:rich]]
    _write(folder / "rich.jsonl", bank)


def _write(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    lines = [
        {"id": f"{lang}/{english}", "text": text, "foreign": text, "lang": lang, "english": english}
        for lang, english, text in rows
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
