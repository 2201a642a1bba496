"""The classifier: learns, is the same bytes in every process, and reads documents at scoring as it did at
training."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.fasttext_models import bundled_language_model, load, predict
from stages.quality.auc import auc
from stages.quality.calibration import calibrate, isotonic
from stages.quality.drawing import LabelledLine, _Smallest
from stages.quality.lines import Normaliser
from stages.quality.score import Quality
from stages.quality.train import TrainQuality
from stages.read.read import Read

GOOD, BAD = Read(paths=("good",)), Read(paths=("bad",), keep=("held_out:bool",))
PROSE = "the river went on past the old mill and she thought of her brother while evening fell over fields".split()
JUNK = "index 0x3f _init() lib/usr ;; nullptr 404 deb pkg-config --flag v2.1 {0} void* ret++ #include EOF".split()


def table(words, count, seed, **columns):
    rng = np.random.default_rng(seed)
    texts = ["\n".join(" ".join(rng.choice(words, 12)) for _ in range(3)) for _ in range(count)]
    return pa.table({"id": [f"{seed}:{i}" for i in range(count)], "text": texts, **columns})


def tables():
    return {"good": table(PROSE, 300, 1), "bad": table(JUNK, 500, 2, held_out=[i % 5 == 0 for i in range(500)])}


def train(folder, inputs, **fields):
    node = TrainQuality(good=GOOD, bad=BAD, **{"buckets": 5000, "epochs": 20, "lr": 0.5, **fields})
    node.check()
    ctx = LocalContext(node, folder, inputs)
    return node, ctx, ctx.run_all()["all"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("train"), tables())


def scores(trained, texts, folder, **fields):
    node, ctx, _ = trained
    scorer = Quality(docs=GOOD, model=node, **fields)
    scorer.check()
    reader = LocalContext(scorer, folder)
    reader.path = lambda phase, key, ext, of: ctx.path(phase, key, ext)
    return scorer.open(reader)(pa.table({"text": pa.array(texts, pa.string())})).added[scorer.as_].to_pylist()


def test_it_learns_from_balanced_rows_that_are_not_held_out(trained):
    _, _, result = trained
    counts = result.counts
    assert counts["trained.good"] + counts["tested.good"] == 300
    assert counts["trained.bad"] + counts["tested.bad"] == 300
    assert 10 < counts["tested.good"] < 60
    assert result.facts["auc"] > 0.99


@pytest.mark.parametrize("analyzer", ["char", "word"])
def test_held_out_rows_are_never_seen(tmp_path, analyzer):
    inputs = tables()
    marks = inputs["bad"]["held_out"].to_pylist()
    texts = [
        PROSE[0] * 9 if mark else text for mark, text in zip(marks, inputs["bad"]["text"].to_pylist(), strict=True)
    ]
    altered = inputs | {"bad": inputs["bad"].set_column(1, "text", pa.array(texts))}
    files = [
        train(tmp_path / str(i), t, analyzer=analyzer)[1].path("train", "all", ".bin")
        for i, t in enumerate((inputs, altered))
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_model_is_the_same_in_fresh_processes_and_for_any_order(tmp_path):
    code = """
import sys
sys.path[:0] = [{tests!r}, {here!r}]
from pathlib import Path
from test_quality import tables, train
inputs = {{k: v.take(list(range(v.num_rows))[::{step}]) for k, v in tables().items()}}
train(Path({folder!r}), inputs)
"""
    digests = set()
    for step in (1, -1):
        folder = tmp_path / str(step)
        here = Path(__file__).parent
        source = code.format(tests=str(here.parent), here=str(here), step=step, folder=str(folder))
        subprocess.run([sys.executable, "-c", source], check=True, cwd=here.parents[2], env={"PYTHONPATH": "."})
        digests.add(tuple(hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((folder / "train").iterdir())))
    assert len(digests) == 1


def test_scores_rank_and_short_texts_have_none(trained, tmp_path):
    texts = [" ".join(PROSE), " ".join(JUNK), "short", "", " \n " * 30, "__label__bad " * 5 + " ".join(PROSE)]
    found = scores(trained, texts, tmp_path)
    assert found[0] > 0.8
    assert found[1] < 0.3
    assert found[2:5] == [None] * 3
    assert all(0 <= value <= 1 for value in found if value is not None)
    assert scores(trained, texts[:1], tmp_path, as_="q")[0] == found[0]
    assert scores(trained, [], tmp_path) == []


def test_scoring_reads_the_settings_of_the_training(tmp_path):
    short = train(tmp_path / "a", tables(), max_chars=40)
    text = " ".join(PROSE)[:40]
    assert scores(short, [text], tmp_path) == scores(short, [text + " ".join(JUNK)], tmp_path)
    card = json.loads(short[1].path("train", "all", ".json").read_text())
    assert card["normaliser"] == {"max_chars": 40, "min_chars": 20, "form": "join-lines-1"}


def test_too_few_documents_and_wrong_inputs_are_named(tmp_path):
    few = tables() | {"good": table(PROSE, 10, 1)}
    with pytest.raises(DataError, match=r"train_quality\.good: \d+ documents"):
        train(tmp_path, few)
    with pytest.raises(RecipeError, match="gives a quality model, as train_quality or fasttext_model"):
        Quality(docs=GOOD, model=BAD)


@example("__label__bad\n__label____label__ x")
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_a_line_is_one_line(text):
    (line,) = Normaliser(max_chars=50, min_chars=0).lines(pa.array([text], pa.string()))
    assert "\n" not in line
    assert "__label__" not in line
    assert len(line.split()) == len(text[:50].replace("\0", " ").split())


values = st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.5001, 1.0]), min_size=1, max_size=30)


@given(values, values)
def test_auc_equals_counting_pairs(good, bad):
    pairs = [(g > b) + 0.5 * (g == b) for g in good for b in bad]
    assert auc(np.array(good), np.array(bad)) == pytest.approx(sum(pairs) / len(pairs))


def test_few_documents_are_read_often_enough_to_rank(tmp_path):
    few = {"good": table(PROSE, 60, 1), "bad": table(JUNK, 60, 2)}
    trained = train(tmp_path, few, epochs=None, lr=0.1)
    good, bad = (scores(trained, table(words, 40, 9)["text"].to_pylist(), tmp_path) for words in (PROSE, JUNK))
    assert auc(np.array(good), np.array(bad)) == 1.0
    assert np.median(good) - np.median(bad) > 0.05  # five passes leave all of them at 0.5


def test_sides_are_balanced_after_short_texts_fall_out(tmp_path):
    inputs = tables()
    texts = ["short" if i % 2 else text for i, text in enumerate(inputs["bad"]["text"].to_pylist())]
    counts = train(tmp_path, inputs | {"bad": inputs["bad"].set_column(1, "text", pa.array(texts))})[2].counts
    assert counts["trained.good"] + counts["tested.good"] == counts["trained.bad"] + counts["tested.bad"] == 200


def test_sources_that_are_held_out_are_tested_on_and_never_trained_on(tmp_path):
    inputs = {side: rows.append_column("source", pa.array(["new" if i % 4 == 0 else "old" for i in range(len(rows))]))
              for side, rows in tables().items()}  # fmt: skip
    _, ctx, result = train(tmp_path / "a", inputs, test_sources=("new",))
    assert result.counts["outside.good"] == 75
    assert result.facts["auc_outside"] > 0.99
    texts = [PROSE[0] * 9 if i % 4 == 0 else text for i, text in enumerate(inputs["good"]["text"].to_pylist())]
    altered = inputs | {"good": inputs["good"].set_column(1, "text", pa.array(texts))}
    other = train(tmp_path / "b", altered, test_sources=("new",))[1]
    assert ctx.path("train", "all", ".bin").read_bytes() == other.path("train", "all", ".bin").read_bytes()


def test_a_calibrated_score_is_the_share_of_good_documents(trained, tmp_path):
    texts = [*table(PROSE, 50, 7)["text"].to_pylist(), *table(JUNK, 50, 8)["text"].to_pylist()]
    found = scores(trained, texts, tmp_path, calibrated=True)
    assert np.mean(found[:50]) > 0.9
    assert np.mean(found[50:]) < 0.1
    untested = train(tmp_path / "x", tables(), test_share=0.0)
    with pytest.raises(DataError, match="test_share"):
        scores(untested, texts, tmp_path, calibrated=True)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7]), st.booleans()), min_size=1, max_size=25))
def test_isotonic_regression_is_the_closest_rising_function(pairs):
    score, good = np.array([s for s, _ in pairs]), np.array([g for _, g in pairs], float)
    values = np.unique(score)
    found = calibrate(values, isotonic(score, good))
    assert (np.diff(found) >= -1e-12).all()
    # min-max formula of isotonic regression
    for i, value in enumerate(values):
        spans = [min(good[(score >= low) & (score <= high)].mean() for high in values[i:]) for low in values[: i + 1]]
        assert found[i] == pytest.approx(max(spans)), value


def test_a_draw_keeps_the_smallest_however_many_come(monkeypatch):
    smallest = _Smallest(3)
    for draw in [9, 1, 8, 2, 7, 3, *range(10, 5000), 0]:
        smallest.add(LabelledLine(draw, "id", "good", "line", False, False))
    assert [document.draw for document in smallest.documents()] == [0, 1, 2]


def test_the_word_that_ends_a_line_for_fasttext_ends_no_text():
    model = load(bundled_language_model())
    german = "Dies ist ein einfacher deutscher Satz über das Wetter im Norden"
    texts = [f"</s> {german}", f"The {german} </s>", f"{german}\t</s>", f"</s></s> {german}", german]
    labels, shares = predict(model, texts, k=1)
    assert labels == [["de"]] * len(texts)
    assert min(share[0] for share in shares) > 0.8
