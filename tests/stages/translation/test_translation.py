"""Prompts of other languages and what a model makes of them: five languages in cipher, and a real server that
translates by rule, but for one answer in five.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from sacrebleu.metrics.chrf import CHRF

from pipeline.errors import DataError, NodeFailed, RecipeError
from recipes.worlds import ciphers
from siftloom import Pipeline
from siftloom import stages as s
from stages.generate.endpoint import Endpoint
from stages.translation.choosing import Exemplar, TokenBudget, WantedSet, choose
from stages.translation.identify import identify
from stages.translation.scripts import letters, most
from stages.translation.signs import copied, repeated

sys.path.append(str(Path(__file__).parents[1] / "generate"))
from server import serving

ROWS = list(ciphers.rows())
FAULTS = {"copy": "copy", "loop": "repetition", "cut": "length", "other language": "target_language",
          "other sentence": "round_trip"}  # fmt: skip


def fault_of(text: str) -> str | None:
    """One text in five is answered wrongly, in one of five ways."""
    drawn = hashlib.sha256(text.encode()).digest()
    return list(FAULTS)[drawn[1] % 5] if drawn[0] < 51 else None


def translate(asked: dict) -> str:
    """Out of a cipher into English; out of English into the language that the last exemplar shows."""
    *shots, (last, _) = [line.partition(" = ")[::2] for line in asked["messages"][-1]["content"].split("\n")]
    lang = ciphers.lang_of(last)
    if lang == "en":
        return ciphers.written(last, ciphers.lang_of(shots[-1][1]))
    english = ciphers.read(last, lang)
    match fault_of(last):
        case "copy":
            return last
        case "loop":
            return "the boat " * 6
        case "cut":
            return english[:14]
        case "other language":
            return ciphers.written(english, next(other for other in ciphers.ALPHABETS if other != lang))
        case "other sentence":
            return next(row["english"] for row in reversed(ROWS) if not set(row["english"].split()) & (
                set(english.split()) - {"the", "a", "in", "near", "on", "at"}))  # fmt: skip
    return english


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Both directions: each language by exemplars of the four others, and back by the pairs that came of it."""
    folder = tmp_path_factory.mktemp("ciphers")
    some = [row for row in ROWS if int(row["id"].partition(":")[2]) < 60]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    docs = s.Read(paths=(f"{folder}/docs.jsonl",), keep=("lang:string", "english:string"))
    world = "recipes.worlds.ciphers:"
    foreign = s.Map(docs=s.Select(docs=docs, where="lang != 'en'"), fn=world + "kept", writes={"foreign": "string"})
    with serving(translate) as server:
        asks = {"model": Endpoint(url=server.url, model="m"), "carry": ("foreign", "lang", "english"), "stop": ("\n",)}
        bank = s.Generate(docs=foreign, prompt="{text} = ", **asks)
        shots = s.Exemplars(docs=foreign, bank=bank, source="foreign", target="text", max_tokens=900)
        out = s.Generate(docs=shots, prompt="{shots}{text} = ", **asks)
        turned = s.Exemplars(docs=out, bank=out, source="text", target="foreign", out_of="own")
        kept = s.Map(docs=turned, fn=world + "translated", writes={"translation": "string"})
        back = s.Generate(
            docs=kept, prompt="{shots}{text} = ", **asks | {"carry": ("foreign", "lang", "english", "translation")}
        )
        told = s.TrainClassifier(docs=docs, label="lang", min_chars=1)
        checks = s.TranslationChecks(
            docs=back, source="foreign", target="translation", back="text", classifier=told, per_language={"xe": 0.4}
        )
        names = {
            "shots": shots,
            "turned": turned,
            "checks": checks,
            "back": back,
            "right": s.Chrf(docs=out, expected="english"),
        }
        yield Pipeline(list(names.values()), name="ldp", store=str(folder / "store"), names=names).run(
            here=True, progress=False
        )


def shown(shots: str) -> list[list[str]]:
    return [line.split(" = ") for line in shots.splitlines()]


def test_a_set_has_every_other_script_and_one_for_each_language(run):
    rows = run["shots"].rows(["lang", "shots"]).to_pylist()
    by_lang = {row["lang"]: row["shots"] for row in rows}
    assert {(row["lang"], row["shots"]) for row in rows} == set(by_lang.items())
    for lang, shots in by_lang.items():
        scripts = Counter(most(letters(source)) for source, _ in shown(shots))
        assert len(scripts) == 4
        assert most(letters(ciphers.ALPHABETS[lang])) not in scripts
        assert len(shots.encode()) <= 900  # without a tokenizer a byte is a token: not all eight fit in
        assert max(scripts.values()) - min(scripts.values()) <= 1
    assert {len(shown(shots)) for shots in by_lang.values()} != {4}


def test_what_a_model_is_shown_to_write_is_text_that_was_there(run):
    originals = {row["text"] for row in ROWS}
    rows = run["turned"].rows(["lang", "text", "shots"]).to_pylist()
    assert len({row["lang"] for row in rows}) == 5
    for row in rows:
        pairs = shown(row["shots"])
        assert {target for _, target in pairs} <= originals
        assert {ciphers.lang_of(target) for _, target in pairs} == {row["lang"]}
        assert row["text"] not in {source for source, _ in pairs}  # it would be told its own translation
    reasons = Counter(run["turned"].removed(own=True)["reason"].to_pylist())
    assert set(reasons) == {"exemplars.shown"}


def test_good_translations_stay_and_bad_ones_go_by_their_names(run):
    said = dict(zip(*(run["checks"].removed(own=True)[name].to_pylist() for name in ("id", "reason")), strict=True))
    pairs = [(fault_of(row["foreign"]), said.get(row["id"])) for row in run["back"].rows(["id", "foreign"]).to_pylist()]
    bad = [(FAULTS[fault], reason) for fault, reason in pairs if fault]
    good = [reason for fault, reason in pairs if not fault]
    assert len(bad) > 30
    assert {expected for expected, _ in bad} == set(FAULTS.values())
    assert sum(reason is None for reason in good) / len(good) > 0.95
    assert sum(reason == f"translation_checks.{expected}" for expected, reason in bad) / len(bad) > 0.9


def test_chrf_is_that_of_the_library(run):
    rows = run["right"].rows(["text", "english", "chrf"]).to_pylist()
    for row in rows[::37]:
        assert row["chrf"] == pytest.approx(
            CHRF(word_order=2).sentence_score(row["text"], [row["english"]]).score, 1e-6
        )


def bank(*langs: str, size: int = 6) -> list[Exemplar]:
    found = []
    for lang in langs:
        for number, row in enumerate([row for row in ROWS if row["lang"] == lang][:size]):
            found.append(Exemplar(f"{lang}{number}", lang, row["text"], row["english"], f"{row['text']} = {number}\n"))
    return found


SCRIPTS = {lang: most(letters(alphabet)) for lang, alphabet in ciphers.ALPHABETS.items()} | {"en": "LATIN"}


def test_the_draw_hangs_on_the_language_the_seed_and_the_ids_alone():
    pairs = bank("xa", "xb", "xc", "xd", "xe")
    budget = TokenBudget(10_000, len)
    how = WantedSet("xa", SCRIPTS["xa"], "others", 8, 4, 0)
    one = choose(pairs, SCRIPTS, how, budget)
    assert choose(pairs[::-1], SCRIPTS, how, budget) == one
    assert len(one) == 8
    assert Counter(each.lang for each in one) == {"xb": 2, "xc": 2, "xd": 2, "xe": 2}
    assert choose(pairs, SCRIPTS, how._replace(seed=1), budget) != one
    assert [each.lang for each in choose(pairs, SCRIPTS, how._replace(scripts=1), budget)] == [one[0].lang] * 6
    english = how._replace(lang="en", script="LATIN")
    assert {each.lang for each in choose(pairs, SCRIPTS, english, budget)} < {"xa", "xb", "xc", "xd", "xe"}


def test_a_bank_that_is_too_small_is_named():
    budget, how = TokenBudget(10_000, len), WantedSet("xa", SCRIPTS["xa"], "others", 8, 4, 0)
    for pairs, changed, of, words in (
        (
            bank("xa", "xb"),
            how,
            budget,
            r"'xa', written in CYRILLIC, a bank of 1 other scripts \(ARMENIAN\).*4 scripts",
        ),
        (bank("xb", "xc", "xd", "xe"), how, TokenBudget(40, len), "0 have an exemplar within 10 tokens"),
        (bank("xb"), how._replace(out_of="own"), budget, "no pair of 'xa'"),
    ):
        with pytest.raises(DataError, match=words):
            choose(pairs, SCRIPTS, changed, of)


def test_scripts_and_signs():
    assert [most(letters(text)) for text in ("дом 5", "日本のカナと字です", "x", "12 !")] == [
        "CYRILLIC", "KANA", "LATIN", None
    ]  # fmt: skip
    assert copied("The Boat sank", "a boat in the sea") == pytest.approx(2 / 3)
    assert copied("12", "12") == 0
    assert repeated("abcdefgh" * 3) == pytest.approx(9 / 17)
    assert repeated("abc") == 0 == repeated("the quick brown fox jumps")


def test_lid_knows_languages_by_either_kind_of_code():
    from stages.fasttext_models import bundled_language_model, load

    ask = identify(load(bundled_language_model()), "here")
    texts = ["Der Hund schläft heute im Garten hinter dem Haus."] * 4
    found = ask(texts, ["de", "deu", "fr", None])
    assert found[0] == found[1] > 0.9
    assert max(found[2:]) < 0.1
    with pytest.raises(DataError, match="did you mean 'de'"):
        ask(texts[:1], ["german"])


def test_what_cannot_be_used_is_named(run):
    docs, bank = (s.Read(paths=(name,), keep=("lang:string", "english:string")) for name in ("docs.jsonl", "b.jsonl"))
    for node, words in (
        (s.Exemplars(docs=docs, bank=bank, target="german"), "'german' of type none in bank"),
        (s.Exemplars(docs=docs, bank=docs, form="{source}"), "{source} and {target} in it"),
        (s.Exemplars(docs=docs, bank=docs, k=3), "3 exemplars of 4 scripts"),
        (s.TranslationChecks(docs=docs, source="english", into="german"), "did you mean 'de'"),
        (s.TranslationChecks(docs=docs, source="english", out_of="{language}"), "no column 'language'"),
        (s.TranslationChecks(docs=docs, source="german"), "'german' of type none"),
        (s.Chrf(docs=docs, expected="german"), "chrf.expected: 'german'"),
    ):
        with pytest.raises(RecipeError, match=words):
            node.check()


def test_a_language_whose_bank_has_one_script_fails_the_node(tmp_path):
    rows = [row for row in ROWS if row["lang"] in ("xa", "xb")][::20]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    docs = s.Read(paths=(f"{tmp_path}/docs.jsonl",), keep=("lang:string", "english:string"))
    node = s.Exemplars(docs=docs, bank=docs)
    with pytest.raises(NodeFailed, match="a bank of 1 other scripts"):
        Pipeline([node], name="few", store=str(tmp_path / "store")).run(here=True, progress=False)
