"""A model of somebody else's scores as it does by itself, on DCLM's line of a text."""

import sys

import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.errors import DataError, MissingExtra
from stages.fasttext_models import bundled_language_model, load
from stages.quality.fasttext_model import FasttextModel
from stages.quality.score import Quality
from stages.read.read import Read


def test_a_released_model_scores_as_by_itself(tmp_path):
    import fasttext

    lines = [f"__label__{'hq' if i % 2 else 'cc'} {'prose of a book' if i % 2 else 'buy now'} {i}" for i in range(40)]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    made = fasttext.train_supervised(str(tmp_path / "train.txt"), epoch=20, dim=8, bucket=1000, thread=1, verbose=0)
    made.save_model(str(tmp_path / "hq.bin"))
    node = FasttextModel(path="hq.bin")
    ctx = LocalContext(node, tmp_path, files={"path": [tmp_path / "hq.bin"]})
    ctx.run_all()
    texts = ["  prose of\na book\n", "buy\r\nnow", "x"]
    score = Quality(docs=Read(paths=("unread",)), model=node)
    score.check()
    found = score.open(ctx)(pa.table({"text": texts})).added["quality"].to_pylist()
    labels, shares = made.predict([" ".join(text.strip().splitlines()) for text in texts], k=2)
    assert found == pytest.approx([row[names.index("__label__hq")] for names, row in zip(labels, shares, strict=True)])
    assert found[0] > 0.6 > 0.4 > found[1]
    wrong = FasttextModel(path="hq.bin", label="good")
    with pytest.raises(DataError, match="one of cc, hq"):
        LocalContext(wrong, tmp_path / "w", files={"path": [tmp_path / "hq.bin"]}).run_all()
    (tmp_path / "bad.bin").write_bytes(b"no model")
    with pytest.raises(DataError, match="not a fastText model"):
        LocalContext(node, tmp_path / "b", files={"path": [tmp_path / "bad.bin"]}).run_all()


def test_the_build_that_is_in_no_identity_answers_nothing(tmp_path, monkeypatch):
    """`fasttext-predict` brings a module of the same name."""
    (tmp_path / "fasttext").mkdir()
    (tmp_path / "fasttext" / "__init__.py").write_text("def load_model(path): return None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "fasttext", raising=False)
    with pytest.raises(MissingExtra, match="predict-only build"):
        load(bundled_language_model())
