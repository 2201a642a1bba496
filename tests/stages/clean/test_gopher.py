"""The Gopher rules: golden documents by hand, and the repetition shares against brute force on any text."""

import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.clean.cut import cut_fresh
from stages.clean.gopher_quality import RULES as QUALITY_RULES
from stages.clean.gopher_quality import GopherQuality
from stages.clean.gopher_repetition import GopherRepetition
from stages.clean.language import Language
from stages.read.read import Read

DOCS = Read(paths=("unread",))
PLAIN = (
    "the cat and the dog sat with a hat of straw " * 6
)  # 66 words of 3 characters in the mean, 30 of them stop words


def score(node, texts, **columns):
    """(columns by name, reason per document) of a node over these texts."""
    table = pa.table({"text": pa.array(texts, pa.string()), **columns})
    added = node.open(None)(table).added
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in node.adds().items()])
    scores = pa.table({name: pa.array(added[name], schema.field(name).type) for name in schema.names})
    removed = node.decide(scores)
    assert set(removed.reason.to_pylist()) <= {None, *node.reasons}
    return scores.to_pydict(), removed


def quality(text, **fields):
    scores, removed = score(GopherQuality(docs=DOCS, **fields), [text])
    return {name: values[0] for name, values in scores.items()}, removed.reason[0].as_py()


def test_columns_of_a_document_by_hand():
    text = "# Title...\n\n- the one\n  * and two\nwith 3 …\n"
    scores, _ = quality(text)
    # words: # Title... - the one * and two with 3 …
    assert scores == {
        "gopher_words": 11,
        "gopher_mean_word": pytest.approx((1 + 8 + 1 + 3 + 3 + 1 + 3 + 3 + 4 + 1 + 1) / 11),
        "gopher_hashes": pytest.approx(1 / 11),
        "gopher_ellipses": pytest.approx(2 / 11),
        "gopher_bullet_lines": pytest.approx(2 / 4),
        "gopher_ellipsis_lines": pytest.approx(2 / 4),
        "gopher_alpha_words": pytest.approx(6 / 11),
        "gopher_stop_words": 3,
        "gopher_skipped": None,
    }


@pytest.mark.parametrize(
    ("text", "reason", "value", "limit"),
    [
        (PLAIN, None, None, None),
        ("the cats of " * 16, "min_words", 48, 50),
        ("the cats of " * 17, None, None, None),
        ("the a of a " * 20, "min_mean_word", 1.75, 3.0),
        ("the of " + "extraordinarily " * 60, "max_mean_word", (60 * 15 + 5) / 62, 10.0),
        (PLAIN + "#" * 7, "max_hashes", 7 / 67, 0.1),
        (PLAIN + "... " * 7 + "end", "max_ellipses", 7 / 74, None),
        (PLAIN + "cat… " * 9, "max_ellipses", 9 / 75, 0.1),
        ("- " + "\n- ".join(["the cats of the house"] * 15), "max_bullet_lines", 1.0, 0.9),
        ("\n".join(["the cats of the house"] * 11 + ["and so on..."] * 5), "max_ellipsis_lines", 5 / 16, 0.3),
        (PLAIN + "1 22 333 4444 55555 " * 4, "min_alpha_words", 66 / 86, 0.8),
        ("quick brown foxes jump " * 15, "min_stop_words", 0, 2),
    ],
)
def test_each_rule_removes_what_it_names_with_value_and_threshold(text, reason, value, limit):
    fields = {} if reason != "min_mean_word" else {"min_alpha_words": None}
    _, removed = score(GopherQuality(docs=DOCS, **fields), [text])
    if limit is None:
        assert removed.reason[0].as_py() is None
        return
    assert removed.reason[0].as_py() == f"gopher_quality.{reason}"
    assert removed.value[0].as_py() == pytest.approx(value, rel=1e-6)
    assert removed.threshold[0].as_py() == limit


def test_max_words_and_a_rule_that_is_off():
    assert quality("these of word " * 40, max_words=119)[1] == "gopher_quality.max_words"
    assert quality("these of word " * 40, max_words=120)[1] is None
    assert (
        quality("x", **{rule.field: None for rule in QUALITY_RULES if rule.field != "min_words"}, min_words=1)[1]
        is None
    )


def test_stop_words_are_those_of_the_language_and_a_language_without_them_is_not_judged():
    texts = [PLAIN, PLAIN, PLAIN, "the of the"]
    node = GopherQuality(docs=Language(docs=DOCS), min_words=None)
    assert node.phases()[0].needs == ("text", "lang")
    scores, removed = score(node, texts, lang=["en", "de", None, "en"])
    assert scores["gopher_stop_words"] == [30, 0, None, 3]
    assert scores["gopher_skipped"] == [None, None, "stop_words", None]
    assert removed.reason.to_pylist()[:3] == [None, "gopher_quality.min_stop_words", None]
    german = "Der Hund und die Katze SIND nicht in dem Haus. "
    labels = ["de", "deu_Latn", "DE", "tlh"]
    assert score(node, [german] * 4, lang=labels)[0]["gopher_stop_words"] == [6, 6, 6, None]
    distinct = GopherQuality(docs=DOCS, min_words=None, distinct_stop_words=True)
    assert score(distinct, texts)[0]["gopher_stop_words"] == [4, 4, 4, 2]
    assert GopherQuality(docs=DOCS).phases()[0].needs == ("text",)


def test_unicode_words_leave_punctuation_out_and_cut_unspaced_scripts():
    cases = {
        "Don't -- stop, 'please'!": 3,
        "naïve café №5": 3,
        "日本語のテキスト": 8,
        "...": 0,
        "한국어 문장": 2,
        "": 0,
    }
    scores, _ = score(GopherQuality(docs=DOCS, words="unicode", unit="word"), list(cases))
    assert scores["gopher_words"] == list(cases.values())


JAPANESE = "このページでは、文書を開いて保存する方法について説明します。設定は後から変更できます。"
CHINESE = "本页说明如何打开和保存文档。设置可以在以后更改，也可以由管理员更改。"
THAI = "หน้านี้อธิบายวิธีเปิดและบันทึกเอกสาร สามารถเปลี่ยนการตั้งค่าได้ในภายหลัง"


@pytest.mark.parametrize(
    ("text", "language", "skipped"),
    [(JAPANESE, "ja", "mean_word"), (CHINESE, "zh", "mean_word"), (THAI, "th", "mean_word,stop_words")],
)
def test_a_script_without_spaces_is_counted_in_characters(text, language, skipped):
    pages = [(text + "\n") * 1, "\n".join(text[i:] + text[:i] for i in range(0, 4))]
    node = GopherQuality(docs=Language(docs=DOCS))
    scores, removed = score(node, pages, lang=[language, language])
    letters = sum(c.isalpha() for c in text)
    assert scores["gopher_words"][0] == (letters + 1) // 2
    assert scores["gopher_mean_word"] == [None, None]
    assert scores["gopher_skipped"] == [skipped, skipped]
    assert removed.reason.to_pylist() == ["gopher_quality.min_words", None]
    # one "word" to a rule that counts runs between white space
    plain = GopherQuality(docs=DOCS, unit="word", min_stop_words=None)
    assert score(plain, pages)[1].reason[1].as_py() == "gopher_quality.min_words"


def test_an_english_page_that_quotes_japanese_is_counted_in_words():
    scores, _ = score(GopherQuality(docs=DOCS), [PLAIN + JAPANESE[:10], JAPANESE + "HTML 5 " * 3])
    assert scores["gopher_words"][0] == 67
    assert scores["gopher_skipped"] == [None, "mean_word"]


def test_a_rule_that_says_nothing_about_a_language_is_left_out_there():
    korean = "이 문서는 창을 열고 닫는 방법 및 그 설정을 설명합니다. " * 6
    english_in_japanese = PLAIN + JAPANESE[:12]  # an untranslated page: counted in words, the list is of characters
    node = GopherQuality(docs=Language(docs=DOCS))
    scores, removed = score(node, [korean, english_in_japanese], lang=["ko", "ja"])
    assert scores["gopher_skipped"] == ["mean_word", "stop_words"]
    assert removed.reason.to_pylist() == [None, None]


def brute_force(text: str, words: list[str], step: int = 1) -> dict[str, float]:
    """The definitions of the module, said as slowly and plainly as they can be; an n-gram has n * step pieces."""
    scores = {}
    whole = max(len(text), 1)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [part.strip() for part in re.split(r"\n[ \t\n\f\r]*\n", text) if part.strip()]
    for name, parts in (("line", lines), ("paragraph", paragraphs)):
        copies = [part for i, part in enumerate(parts) if part in parts[:i]]
        scores[f"gopher_dup_{name}s"] = len(copies) / max(len(parts), 1)
        scores[f"gopher_dup_{name}_chars"] = sum(map(len, copies)) / whole
    for n in (2, 3, 4):
        grams = [(" " if step == 1 else "").join(words[i : i + n * step]) for i in range(len(words) - n * step + 1)]
        (most, count), *_ = Counter(grams).most_common(1) or [("", 0)]
        scores[f"gopher_top_{n}gram"] = min(len(most) * count / whole, 1) if count > 1 else 0.0
    for n in range(5, 11):
        seen: list[list[str]] = []
        i = chars = 0
        while i + n * step <= len(words):
            if words[i : i + n * step] in seen:
                chars += sum(map(len, words[i : i + n * step]))
                i += n * step
            else:
                seen.append(words[i : i + n * step])
                i += 1
        scores[f"gopher_dup_{n}grams"] = chars / whole
    return scores


word = st.sampled_from(["a", "b", "long", "word", "ü", "日本"])
space = st.sampled_from([" ", " ", " ", "\n", "\n\n", "\n \n", "  ", "\r\n", "\x1f", "\xa0", "\u2003", "\u3000"])
phrase = st.lists(st.tuples(word, space), min_size=1, max_size=12)
# phrases that come again, since chance alone seldom says five words twice
repetitive = (
    st.lists(phrase, max_size=4)
    .flatmap(lambda phrases: st.lists(st.sampled_from(phrases), max_size=12) if phrases else st.just([]))
    .map(lambda chosen: "".join(w + s for phrase in chosen for w, s in phrase))
)


@pytest.mark.long
@settings(max_examples=300)
@given(st.lists(repetitive, min_size=1, max_size=6))
def test_repetition_equals_brute_force(texts):
    scores, _ = score(GopherRepetition(docs=DOCS, unit="word"), texts)
    for i, text in enumerate(texts):
        expected = brute_force(text, text.split())
        assert {name: values[i] for name, values in scores.items()} == pytest.approx(expected, abs=1e-6)


@settings(max_examples=60)
@given(st.lists(st.text("日本の語", max_size=90), min_size=1, max_size=3))
def test_repetition_in_characters_equals_brute_force_with_two_of_them_a_word(texts):
    scores, _ = score(GopherRepetition(docs=DOCS), texts)
    for i, text in enumerate(texts):
        expected = brute_force(text, list(text), step=2)
        assert {name: values[i] for name, values in scores.items()} == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), min_size=1, max_size=6))
def test_words_are_those_of_python(texts):
    cut = cut_fresh(pa.array(texts, pa.string()), "whitespace", "word")
    numbers: dict[str, int] = {}
    for text, start, stop in zip(texts, *cut.words, strict=True):
        assert cut.lengths[start:stop].tolist() == [len(word) for word in text.split()]
        for word, number in zip(text.split(), cut.exact[start:stop].tolist(), strict=True):
            assert numbers.setdefault(word, number) == number
    assert len(set(numbers.values())) == len(numbers)


@pytest.mark.parametrize("text", ["", " \n ", "one", "a\0b a\0b", "x" * 100_000])
def test_odd_documents_have_scores(text):
    scores, _ = score(GopherRepetition(docs=DOCS), [text, "plain words here"])
    assert all(0 <= value <= 1 for values in scores.values() for value in values)
    score(GopherQuality(docs=DOCS), [text, "plain words here"])


def test_a_document_that_says_one_line_over_and_over_goes():
    _, removed = score(GopherRepetition(docs=DOCS), ["\n".join(["Buy now and save a lot today."] * 20), PLAIN[:44]])
    assert removed.reason.to_pylist() == ["gopher_repetition.max_dup_lines", None]
    assert removed.value[0].as_py() == pytest.approx(0.95)
