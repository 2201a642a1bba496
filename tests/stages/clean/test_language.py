"""Language identification by the real model, and its decisions."""

import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from pipeline.recipe import parse
from siftloom.vocabulary import vocabulary
from stages.clean.language import Language
from stages.clean.languages import CODES, NAMES
from stages.fasttext_models import LABEL, bundled_language_model, load
from stages.read.read import Read

DOCS = Read(paths=("unread",))
ENGLISH = "This is a plain English sentence about the weather in the north of the country."
GERMAN = "Dies ist ein einfacher deutscher Satz über das Wetter im Norden des Landes."


def scores(node, texts, folder, files=None):
    function = node.open(LocalContext(node, folder, files={"model": files or []}))
    added = function(pa.table({"text": pa.array(texts, pa.string())})).added
    return pa.table({"lang": added["lang"], "lang_p": added["lang_p"]})


def test_languages_are_named_and_decided(tmp_path):
    node = Language(docs=DOCS)
    found = scores(node, [ENGLISH, GERMAN, ENGLISH.replace(" ", "\n"), "qx zzq wv"], tmp_path)
    assert found["lang"].to_pylist()[:3] == ["en", "de", "en"]
    assert found["lang_p"].to_pylist()[2] == pytest.approx(found["lang_p"].to_pylist()[0], abs=1e-6)
    removed = node.decide(found)
    assert removed.reason.to_pylist()[:3] == [None, "language.other", None]
    assert removed.threshold[1].as_py() == 0.65


def test_decisions_follow_the_thresholds():
    table = pa.table(
        {
            "lang": pa.array(["en", "en", "de", None, "de"]),
            "lang_p": pa.array([0.65, 0.6499, 0.9, 0.0, 0.1], pa.float32()),
        }
    )
    other, unsure = "language.other", "language.unsure"
    assert Language(docs=DOCS).decide(table).reason.to_pylist() == [None, unsure, other, other, other]
    both = Language(docs=DOCS, keep=("en", "de"), min_probability=0.2)
    assert both.decide(table).reason.to_pylist() == [None, None, None, other, unsure]
    assert Language(docs=DOCS, keep=()).decide(table).reason.to_pylist() == [None, unsure, None, unsure, unsure]


def test_only_the_beginning_is_looked_at_and_odd_texts_pass(tmp_path):
    node = Language(docs=DOCS, max_chars=70)
    texts = [ENGLISH[:70], ENGLISH[:70] + GERMAN * 10, "", "\n\n", "__label__de " * 5, "a\0b", "\u2028" * 9]
    found = scores(node, texts, tmp_path)
    assert found["lang_p"].to_pylist()[0] == found["lang_p"].to_pylist()[1]
    assert all(0 <= p <= 1 for p in found["lang_p"].to_pylist())


def test_a_model_of_ones_own_is_used_and_a_wrong_file_is_named(tmp_path):
    path = bundled_language_model()
    node = Language(docs=DOCS, model=str(path))
    own = scores(node, [ENGLISH], tmp_path, [path])
    assert own.to_pydict() == scores(Language(docs=DOCS), [ENGLISH], tmp_path).to_pydict()
    bad = tmp_path / "bad.bin"
    bad.write_bytes(b"no model")
    with pytest.raises(DataError, match="not a fastText model"):
        scores(node, [ENGLISH], tmp_path, [bad])


def test_code_does_not_make_a_manual_unsure_but_alone_it_is_read(tmp_path):
    options = " ".join(f"--opt-{i}=<file{i}> /usr/lib/x{i}.so foo.bar::baz_{i}" for i in range(5))
    text = f"{options}\nWrites the names of the files to the given place.\n{options}"
    read, skipped = (scores(Language(docs=DOCS, skip_code=skip), [text, options], tmp_path) for skip in (False, True))
    assert skipped["lang"][0].as_py() == "en"
    assert skipped["lang_p"][0].as_py() > 0.65 > read["lang_p"][0].as_py()
    assert skipped["lang_p"][1] == read["lang_p"][1]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Погода на севере страны сегодня была очень хорошая, температура 25 градусов.", "ru"),
        ("今日は北の地方でとても良い天気でした。気温は25度まで上がりました。", "ja"),
        ("आज देश के उत्तर में मौसम बहुत अच्छा था, तापमान 25 डिग्री रहा।", "hi"),
        ("L'été, il fait 30 degrés à l'ombre dans le sud du pays.", "fr"),
    ],
)
def test_other_scripts_are_left_whole(tmp_path, text, language):
    assert scores(Language(docs=DOCS), [text], tmp_path)["lang"].to_pylist() == [language]


def test_each_language_may_have_its_own_probability_and_codes_are_read_as_they_are_meant():
    table = pa.table(
        {
            "lang": pa.array(["en", "de", "de", "fr", "deu_Latn", None]),
            "lang_p": pa.array([0.64, 0.5, 0.49, 0.99, 0.5, 0.9], pa.float32()),
        }
    )
    other, unsure = "language.other", "language.unsure"
    removed = Language(docs=DOCS, keep={"EN": 0.65, "deu": 0.5}).decide(table)
    assert removed.reason.to_pylist() == [unsure, None, unsure, other, None, other]
    assert removed.threshold.to_pylist() == [0.65, None, 0.5, 0.65, None, 0.65]
    latin = Language(docs=DOCS, keep={"deu_Latn": 0.2}, model="own.bin").decide(table)
    assert latin.reason.to_pylist() == [other, None, None, other, None, other]
    arabic = Language(docs=DOCS, keep={"deu_Arab": 0.2}, model="own.bin").decide(table)
    assert arabic.reason.to_pylist() == [other, None, None, other, other, other]


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (("english",), "no language 'english' .*'en'"),
        (("en", "xq"), "'xq'"),
        ((False,), "False; expected text .*`no` for false"),
    ],
)
def test_a_wrong_code_is_named_before_anything_runs(keep, said):
    with pytest.raises(RecipeError, match=said):
        Language(docs=DOCS, keep=keep).check()
    Language(docs=DOCS, keep=("DE", "eng", "no", "zh")).check()


def test_a_code_that_a_model_of_ones_own_does_not_know_is_named(tmp_path):
    path = bundled_language_model()
    node = Language(docs=DOCS, model=str(path), keep=("eng_Latn", "klingon"))
    node.check()
    with pytest.raises(RecipeError, match="no language 'klingon'"):
        scores(node, [ENGLISH], tmp_path, [path])


def test_lines_vote_by_their_characters(tmp_path):
    mixed = f"{ENGLISH}\n{GERMAN} {GERMAN}\n{ENGLISH[:30]}\n!!\n"
    texts = [mixed, ENGLISH, "kurz und gut", "", f"{ENGLISH}\n{ENGLISH}\n{GERMAN}"]
    page, line = (scores(Language(docs=DOCS, per=per), texts, tmp_path) for per in ("page", "line"))
    assert line["lang"].to_pylist() == ["de", "en", line["lang"][2].as_py(), None, "en"]
    assert line["lang_p"].to_pylist()[1] == pytest.approx(page["lang_p"].to_pylist()[1], abs=1e-6)
    assert 0.5 < line["lang_p"].to_pylist()[0] < 0.7  # the votes of the others count as none
    assert line["lang_p"].to_pylist()[3] == 0


def test_a_page_that_is_translated_by_half_is_found_by_its_lines(tmp_path):
    half = "\n".join([ENGLISH] * 12 + [GERMAN] * 18)  # over 2,000 characters, English as far as a page is looked at
    whole = "\n".join([ENGLISH] * 30)
    pages, lines = Language(docs=DOCS), Language(docs=DOCS, per="line", max_chars=20_000)
    assert pages.decide(scores(pages, [half, whole], tmp_path)).reason.to_pylist() == [None, None]
    assert lines.decide(scores(lines, [half, whole], tmp_path)).reason.to_pylist() == ["language.other", None]
    both = Language(docs=DOCS, per="line", max_chars=20_000, keep=("de",))
    assert both.decide(scores(both, [half], tmp_path)).reason.to_pylist() == ["language.unsure"]


def test_a_page_of_which_the_beginning_says_little_is_read_further(tmp_path):
    text = "Lorem x y z. " * 30 + ENGLISH * 8
    short = scores(Language(docs=DOCS, max_chars=300), [text], tmp_path)
    whole = scores(Language(docs=DOCS, first_chars=1000), [text], tmp_path)
    assert whole.to_pydict() != short.to_pydict()
    assert scores(Language(docs=DOCS, sure=1.0), [text], tmp_path).to_pydict() == whole.to_pydict()
    assert scores(Language(docs=DOCS, sure=0.0), [text], tmp_path).to_pydict() == short.to_pydict()


@pytest.mark.parametrize(
    ("code", "meant"),
    [("english", "en"), ("Germann", "de"), ("pt-BR", "pt"), ("zh_CN", "zh"), ("jp", None), ("e", None)],
)
def test_an_unknown_language_is_an_error_with_the_nearest_code(code: str, meant: str | None) -> None:
    with pytest.raises(RecipeError, match=rf"no language '{code.lower()}'.*{meant or ''}") as caught:
        Language(docs=Read(paths=("x",)), keep=("en", code)).check()
    assert "ISO 639-1" in str(caught.value)


def test_the_case_of_a_code_does_not_matter_and_norwegian_is_no_truth_value() -> None:
    text = "nodes: {a: {use: language, docs: {use: read, paths: [x]}, keep: [EN, no, Fr]}}"
    assert parse(text, vocabulary()).nodes["a"].keep == ("en", "no", "fr")


def test_the_known_codes_are_the_labels_of_the_model() -> None:
    model = load(bundled_language_model())
    assert {label.removeprefix(LABEL) for label in model.get_labels()} == CODES
    assert set(NAMES.values()) <= CODES


@pytest.mark.parametrize(
    "keep", [{"de": 0.5, "deu": 0.9}, {"deu": 0.9, "de": 0.5}, {"de": 0.5, "deu_Latn": 0.9}, {"DE": 1, "de": 0}]
)
def test_two_probabilities_for_one_language_are_no_choice(keep):
    """The order of a mapping is in no identity, so it cannot say which of them counts."""
    with pytest.raises(RecipeError, match="two names of one language"):
        Language(docs=DOCS, keep=keep).check()
