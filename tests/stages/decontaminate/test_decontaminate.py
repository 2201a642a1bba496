"""`decontaminate` against plain sets of n-grams, and on planted passages."""

import gzip
import hashlib
import json
import random
import re
import tracemalloc
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataError, RecipeError, UserError
from pipeline.report.figures import check
from stages.decontaminate.decontaminate import Decontaminate
from stages.decontaminate.forms import one_form_of
from stages.decontaminate.grams import Grams, gram_hashes
from stages.decontaminate.hits import find
from stages.hashing.shingles import words
from stages.hashing.sketch import word_hashes
from tests.stages.dedup.local import LocalContext, Run, corpus
from tests.stages.dedup.planted import document
from tests.stages.dedup.texts import texts


def sets(folder, *items, name="evals.jsonl"):
    path = folder / name
    data = "".join(json.dumps(item) + "\n" for item in items).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def question(chance: random.Random, length: int) -> list[str]:
    """Words that no page has, so that what is found was planted."""
    return [word + "x" for word in document(chance, length)]


def removed(run: Run) -> list[int]:
    return [i for i, reason in enumerate(run.reasons()) if reason]


def ngrams(text: str, width: int) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + width]) for i in range(len(found) - width + 1)}


@pytest.fixture
def planted(tmp_path):
    """(items, texts with half an item inside, which)."""
    chance = random.Random(4)
    items = [{"question": " ".join(question(chance, n)), "answer": "yes"} for n in (13, 14, 20, 40, 60, 8, 12) * 8]
    found, where = [], []
    for i in range(400):
        page = document(chance, 120)
        if i % 4 == 0:
            at = chance.randrange(len(page))
            passage = items[i // 4 % len(items)]["question"].split()
            # a passage of 13 words out of a longer item is enough
            first = chance.randrange(max(len(passage) - 13, 0) + 1)
            cut = passage[first : first + 13]
            page[at:at] = [w.upper() + chance.choice(["", ",", " --"]) for w in cut]
            where.append((i, i // 4 % len(items)))
        found.append(" ".join(page))
    return items, found, where


def test_every_planted_passage_is_found_and_nothing_else(tmp_path, planted):
    items, found, where = planted
    path, digest = sets(tmp_path, *items)
    run = Run(Decontaminate(docs=corpus(found, 3), evals=(path,), action="drop"), tmp_path / "run").all(seed=1)
    assert removed(run) == [i for i, _ in where]
    names = run.column("eval_items")
    for i, item in where:
        assert f"{digest}:{item}" in names[i].split(",")
    for i, text in enumerate(found):
        shared = {g for item in items for g in _item_grams(item["question"])} & (ngrams(text, 13) | ngrams(text, 8))
        assert run.column("eval_hits")[i] == len(shared)


@pytest.mark.parametrize("width", [2, 8, 13])
def test_a_long_document_is_the_sum_of_its_passages(width):
    """Longer than the kernel holds words; passages that cross what it holds included."""
    text = " ".join(f"w{i}{'x' * (i % 23)}" for i in range(9_000))
    hashes = gram_hashes(word_hashes(text), width)
    grams = Grams(np.array([width]), np.array([0, len(hashes)]), np.sort(hashes))
    document, gram = find(pa.chunked_array([["before", text]]), grams, "word")
    assert set(document.tolist()) == {1}
    assert np.array_equal(grams.hashes[gram], hashes)


def _item_grams(text):
    return ngrams(text, 13) or ngrams(text, 8)


def worded(grams):
    """Those with two words that are no numbers."""
    return {g for g in grams if sum(not re.fullmatch("[0-9_]+", word) for word in g) >= 2}


def test_the_table_says_which_item_matched_which_document(tmp_path, planted):
    items, found, where = planted
    path, _ = sets(tmp_path, *items, name="evals.jsonl.gz")
    run = Run(Decontaminate(docs=corpus(found, 2), evals=(path,)), tmp_path / "run").all()
    assert removed(run) == []
    table = pq.read_table(run.folder / "matches" / "all.parquet")
    shards = [shard.name for shard in run.docs().shards()]
    pairs = {
        (shards.index(shard) * 200 + row, int(item.split(":")[1]))
        for shard, row, item in zip(*(table[c].to_pylist() for c in ("shard", "row", "item")), strict=True)
    }
    assert pairs == set(where)
    assert all(0 < share <= 1 for share in table["coverage"].to_pylist())
    for figure in run.node.figures(LocalContext(run, "rows", "all")):
        check(figure)


def test_passages_are_cut_out_and_the_rest_is_left(tmp_path, planted):
    items, found, where = planted
    path, _ = sets(tmp_path, *items)
    node = Decontaminate(docs=corpus(found), evals=(path,), action="mask", mask=" [...] ")
    run = Run(node, tmp_path / "run").all()
    changed = [v for key in sorted(run.rows) for part in run.rows[key] for v in part.text.to_pylist()]
    assert [i for i, text in enumerate(changed) if text is not None] == [i for i, _ in where]
    for i, _ in where:
        before, _, after = changed[i].partition(" [...] ")
        assert found[i].startswith(before)
        assert found[i].endswith(after)
        assert len(words(before)) + len(words(after)) == 120
    again = Run(Decontaminate(docs=corpus([t or "" for t in changed]), evals=(path,)), tmp_path / "again").all()
    assert set(again.column("eval_hits")) == {0}


def test_a_document_that_is_a_passage_and_nothing_else_is_removed(tmp_path):
    passage = " ".join(question(random.Random(8), 20))
    path, _ = sets(tmp_path, {"question": passage})
    docs = [f"{passage}\n", f"before {passage}"]
    run = Run(Decontaminate(docs=corpus(docs), evals=(path,), action="mask"), tmp_path / "run").all()
    assert run.reasons() == ["decontaminate.eval", None]
    kept = Run(Decontaminate(docs=corpus(docs), evals=(path,), action="mask", mask="[...]"), tmp_path / "kept").all()
    assert kept.reasons() == [None, None]


@pytest.mark.parametrize("damage", ["cut off", "not packed", "not UTF-8"])
def test_a_damaged_set_is_named(tmp_path, damage):
    path, _ = sets(tmp_path, *[{"q": str(i) * 50} for i in range(200)], name="evals.jsonl.gz")
    data = Path(path).read_bytes()
    damaged = {"cut off": data[: len(data) // 2], "not packed": b"[1]\n", "not UTF-8": gzip.compress(b'"\xff"\n')}
    Path(path).write_bytes(damaged[damage])
    with pytest.raises(UserError, match=r"evals\.jsonl\.gz"):
        Run(Decontaminate(docs=corpus(["x"]), evals=(path,)), tmp_path / "run").all()


def test_boilerplate_is_cut_by_document_frequency(tmp_path):
    chance = random.Random(1)
    licence, secret = " ".join(question(chance, 20)), " ".join(question(chance, 20))
    found = [" ".join(document(chance, 30)) + " " + licence for _ in range(150)]
    found += [" ".join(document(chance, 30)) for _ in range(50)]
    found[170] += " " + secret
    path, digest = sets(tmp_path, {"text": licence}, {"text": secret + " " + licence})
    run = Run(Decontaminate(docs=corpus(found, 2), evals=(path,), action="drop"), tmp_path / "run").all()
    assert removed(run) == [170]
    assert run.column("eval_items")[170] == f"{digest}:1"
    assert run.results["matches"]["all"].counts["boilerplate"] == 8
    run = Run(Decontaminate(docs=corpus(found, 2), evals=(path,), boilerplate=1.0), tmp_path / "all").all()
    assert sum(hits > 0 for hits in run.column("eval_hits")) == 151


def test_random_texts_equal_sets_of_ngrams(tmp_path):
    some = texts(6, 150)
    items = [{"text": t, "parts": [t[: len(t) // 2], {"deep": t[5:90]}], "n": 3} for t in some[::7]]
    path, _ = sets(tmp_path, *items)
    for unit in ("word", "char", "auto"):
        node = Decontaminate(docs=corpus(some, 2), evals=(path,), ngram=5, short_ngram=2, unit=unit, boilerplate=1.0)
        run = Run(node, tmp_path / unit, batch=29).all()

        def grams(text, width, unit=unit):
            found = words(one_form_of(text), unit)
            return {tuple(found[i : i + width]) for i in range(len(found) - width + 1)}

        known = set()
        for item in items:
            for text in (item["text"], item["parts"][0], item["parts"][1]["deep"]):
                known |= worded(grams(text, 5) or grams(text, 2))
        expected = [len((grams(t, 5) | grams(t, 2)) & known) for t in some]
        assert run.column("eval_hits") == expected


def test_a_long_document_is_searched_through(tmp_path):
    chance = random.Random(2)
    page = document(chance, 30_000)
    secret = document(chance, 13)
    path, _ = sets(tmp_path, {"q": " ".join(secret)})
    found = [" ".join(page[:at] + secret + page[at:]) for at in (0, 2040, 2047, 2050, 29_999, 30_000)]
    run = Run(Decontaminate(docs=corpus(found), evals=(path,)), tmp_path / "run").all()
    assert run.column("eval_hits") == [1] * len(found)


def test_named_fields_and_hits(tmp_path):
    chance = random.Random(3)
    asked, answer = (" ".join(document(chance, 15)) for _ in range(2))
    path, _ = sets(tmp_path, {"question": asked, "answer": answer}, "just a string of text", [1, None])
    docs = corpus([asked, answer, f"{asked} {answer}"])
    run = Run(Decontaminate(docs=docs, evals=(path,), fields=("question",)), tmp_path / "a").all()
    assert run.column("eval_hits") == [3, 0, 3]
    run = Run(Decontaminate(docs=docs, evals=(path,), min_hits=4, action="drop"), tmp_path / "b").all()
    assert removed(run) == [2]


def test_rows_of_figures_match_nothing(tmp_path):
    path, _ = sets(
        tmp_path, {"q": "[5], [6], [7], [8], [9], [10], [11], [12], [13]"}, {"q": "1 2 3 4 5 6 seven eight 9"}
    )
    docs = corpus(["1 2 3 4 5 6 7 8 9 10 11 12 13", "1 2 3 4 5 6 seven eight 9"])
    run = Run(Decontaminate(docs=docs, evals=(path,)), tmp_path / "run").all()
    assert run.column("eval_hits") == [0, 2]


def test_bad_lines_and_empty_sets(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"a": "b"}\n{"a": \n')
    with pytest.raises(DataError, match=r"bad\.jsonl, line 2"):
        Run(Decontaminate(docs=corpus(["x"]), evals=(str(path),)), tmp_path / "a").all()
    path.write_text("\n")
    run = Run(Decontaminate(docs=corpus(["x y z", "", "a"]), evals=(str(path),)), tmp_path / "b").all()
    assert run.column("eval_hits") == [0, 0, 0]


@pytest.mark.parametrize(
    "fields",
    [{"evals": ()}, {"short_ngram": 14}, {"action": "hide"}, {"unit": "page"}],
)
def test_fields_that_make_no_sense(fields):
    with pytest.raises(RecipeError):
        Decontaminate(docs=corpus(["x"]), **{"evals": ("x.jsonl",), **fields}).check()


def test_the_shards_of_a_large_corpus_are_counted_one_after_another(tmp_path):
    """A matrix of shards and n-grams would be 10,000 times as large as the n-grams."""
    path, _ = sets(tmp_path, *[{"q": " ".join(question(random.Random(i), 60))} for i in range(300)])
    run = Run(Decontaminate(docs=corpus(["x y z"] * 200, shards=200), evals=(path,)), tmp_path / "run")
    phases = {phase.name: phase for phase in run.node.phases()}
    for name in ("items", "hits"):
        run.phase(phases[name])
    grams = run.results["items"]["all"].counts["grams"]
    assert grams > 10_000
    tracemalloc.start()
    run.phase(phases["matches"])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * grams * 40


def test_spellings_of_a_passage_are_one(tmp_path):
    """Accents apart, zero-width spaces inside words, ligatures and wide letters; and Chinese, which has no spaces."""
    accents = " ".join(f"caf\u00e9{n} \u00e9t\u00e9{n}" for n in "abcdefg")
    chinese = (
        "\u6cb3\u8fb9\u7684\u8001\u623f\u5b50\u5f88\u51b7\uff0c\u4fe1\u91cc\u8bf4\u8239\u5df2\u7ecf\u56de\u6765\u4e86"
    )
    plain = "final offices filed and fixed by fine officers in five official fields of first class"
    path, _ = sets(tmp_path, {"q": accents}, {"q": chinese}, {"q": plain})
    pages = [
        "before " + unicodedata.normalize("NFD", accents) + " after",
        "before " + accents.replace("caf", "ca\u200bf") + " after",
        "\u524d\u9762" + chinese.replace("\uff0c", "") + "\u540e\u9762",
        plain.replace("fi", "\ufb01"),
        "nothing of it",
    ]
    run = Run(Decontaminate(docs=corpus(pages, 1), evals=(path,), action="mask", mask="#"), tmp_path / "run").all()
    assert [hits > 0 for hits in run.column("eval_hits")] == [True] * 4 + [False]
    changed = [v for key in sorted(run.rows) for part in run.rows[key] for v in part.text.to_pylist()]
    assert changed[:3] == ["before # after", "before # after", "\u524d\u9762#\u540e\u9762"]
