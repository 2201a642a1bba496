"""Stop words: how many of them a document holds says whether it is prose in its language.

`STOP_WORDS` holds, for English, the eight words of Rae et al. 2021 (appendix A.1.1), whose rule is "at least two of
them"; for the others, frequent words without a meaning of their own, chosen by hand for the same rule. Nearly all of
those stand in the lists of stopwords-iso (MIT licence), too; the exceptions are common forms that it lacks (Greek
`είναι`, Romanian `și`, Ukrainian `і`, Korean `있습니다`). For Chinese and Japanese they are single characters, since a
text is cut into characters there. A language without a list is not judged by stop words.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pipeline.contract import contiguous
from pipeline.errors import RecipeError
from stages.clean.languages import short

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

OF_CHARACTERS = ("ja", "zh")  # lists of single characters
PLACES = 64  # of a row in the table of stop words; at most half of them are taken

STOP_WORDS = {
    "ar": "في من على إلى أن هذا التي الذي عن مع هذه ما كان لا أو",
    "bg": "на да се за от не са като по това или което при до",
    "ca": "de la que el en les per una un amb els del és no es",
    "cs": "a se na v je že s o jako pro ale by do to",
    "da": "og i at det en til er som på de med af for ikke den",
    "de": "der die und in den von zu das mit sich des auf für ist nicht ein eine dem",
    "el": "και το να του η της με για την από που σε είναι τα ο",
    "en": "the be to of and that have with",
    "es": "de la que el en y los del se las por un para con no una es al",
    "et": "ja on ei et see ka kui mis oli aga või ning",
    "eu": "eta da ez du bat dira ere baina hau zen dute edo",
    "fa": "و در به از که این را با است برای آن یک خود تا",
    "fi": "ja on ei se että oli hän mutta ovat joka kun tai myös ole",
    "fr": "de la le et les des en un du une que est pour qui dans par sur ne pas au",
    "gl": "de que o a e do da en os un para con non unha as se",
    "he": "של את על לא הוא זה עם כי גם או היא אל",
    "hi": "के में की है और से का को पर इस कि यह ने",
    "hr": "i u je na se da za od su a što kao ili s iz",
    "hu": "a az és hogy nem is egy ez meg de vagy el volt csak",
    "id": "yang dan di dengan untuk ini dari dalam tidak pada adalah ke akan atau",
    "it": "di che e la il un in per è non una del si le con i della da",
    "ja": "の に は を た が で て と し れ さ い も な",
    "ko": "이 그 및 수 것 등 때 더 한 할 또는 있는 다른 모든 있습니다 하는 위해 대한 다음 경우 같은 없는 있다",
    "lt": "ir kad į su yra ne tai iš kaip bet ar buvo arba",
    "lv": "un ir no par ar kas uz ka bet vai arī tas lai",
    "nl": "de en van het een in is dat op te zijn met voor niet die",
    "no": "og i det er på til som en å for av at med ikke de",
    "pl": "w i na z się do że nie to jest o jak ale po",
    "pt": "de a o que e do da em um para com não uma os se na por",
    "ro": "și în de la a cu pe care din nu este un să o mai",
    "ru": "и в не на что с как по но из за от для это к",
    "sk": "a na sa v je že s o ako pre ale by do to",
    "sl": "in je v na da se za so ki z pa po kot ne",
    "sv": "och i att det som en på är av för med till den inte om",
    "tr": "ve bir bu için ile de da olarak daha çok gibi olan ancak",
    "uk": "і в на що не з до як та за від але це для у",
    "vi": "và của là có cho các được trong với một không này những",
    "zh": "的 是 了 在 不 和 有 我 人 这 一 为 也 就 這 為",
}


def require_stop_words(place: str, language: str) -> None:
    """Raise a RecipeError for a language without a list."""
    if language not in STOP_WORDS:
        raise RecipeError(place, f"{language!r}, which has no stop words", ", ".join(sorted(STOP_WORDS)))


@cache
def stop_word_table() -> tuple[dict[str, int], np.ndarray]:
    """Language -> its row, and the rows: hashes of words in lower case in open addressing; uint64 [lists, 64]."""
    import numpy as np
    import pyarrow as pa

    from stages.clean.cut import cut_fresh

    rows = {language: row for row, language in enumerate(sorted(STOP_WORDS))}
    table = np.zeros((len(rows), PLACES), np.uint64)
    # One document a language; ideographs stand apart already, and a word is hashed alike in every way of cutting.
    cut = cut_fresh(pa.array([STOP_WORDS[language] for language in rows]), "whitespace", "word")
    for row, (start, stop) in enumerate(cut.words.T):
        assert stop - start <= PLACES // 2
        for word in cut.folded[start:stop]:
            place = int(word) % PLACES
            while table[row, place]:
                place = (place + 1) % PLACES
            table[row, place] = word
    return rows, table


def row_of(language: str) -> int:
    """The row of a language in the table of stop words."""
    return stop_word_table()[0][language]


def rows_of(labels: pa.ChunkedArray | None, otherwise: str, documents: int) -> tuple[np.ndarray, np.ndarray]:
    """(each document's row in the table of stop words, -1: no list, int64; the table).

    `otherwise` is the language of all where there is no column of labels.
    """
    import numpy as np

    rows, table = stop_word_table()
    if labels is None:
        return np.full(documents, rows[otherwise]), table
    encoded = contiguous(labels).dictionary_encode()
    known = np.array([*(rows.get(short(label), -1) for label in encoded.dictionary.to_pylist()), -1])
    return known[encoded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)], table
