"""What the table of a comparison claims of the text that it was made on."""

import json

import pytest
from local_context import LocalContext

from stages.read.read import Read
from stages.training.compare import Compare
from stages.training.evaluate import Evaluate
from stages.training.hf_model import HfModel

DOCS = Read(paths=("unread",), keep=("held_out:bool",))


class Reports(LocalContext):
    """Evaluations by their place in `runs`."""

    def path(self, phase, key, ext, of=None):
        return super().path(phase, key, ext) if of is None else self.folder / f"{of[1]}.json"


@pytest.mark.parametrize(("documents", "same"), [((10, 10), True), ((10, 11), False)])
@pytest.mark.parametrize("which", ["held_out", "all"])
def test_it_claims_no_more_than_is_known(tmp_path, documents, same, which):
    """Of a folder of others nobody knows what it was trained on."""
    run = {"label": "of others", "parameters": 1, "bytes": 4, "tokens": None}
    for place, count in enumerate(documents):
        held = {"documents": count, "bytes": 100, "loss": 1.0, "bits_per_byte": 1.0}
        curves = {key: [] for key in ("loss", "effective", "weight_max", "weight_min")}
        report = {"run": run, "held_out": held, "sources": {}, "curves": curves, "texts": []}
        (tmp_path / f"{place}.json").write_text(json.dumps(report))
    node = Compare(runs=(Evaluate(model=HfModel(paths=("x",)), docs=DOCS, which=which),) * 2)
    note = next(iter(node.figures(Reports(node, tmp_path))))["note"]
    assert "saw the held-out text" not in note
    assert ("other documents" not in note) == same


@pytest.mark.parametrize(
    ("more", "seen"), [({}, 40), ({"tokens_before": 60}, 100), ({"tokens_before": None}, None)],
    ids=["fresh", "from a model of here", "from a model of others"],
)  # fmt: skip
def test_what_a_start_has_seen_is_counted(tmp_path, more, seen):
    run = {"label": "a", "parameters": 1, "bytes": 4, "tokens": 40, **more}
    held = {"documents": 10, "bytes": 100, "loss": 1.0, "bits_per_byte": 1.0}
    curves = {key: [] for key in ("loss", "effective", "weight_max", "weight_min")}
    report = {"run": run, "held_out": held, "sources": {}, "curves": curves, "texts": []}
    (tmp_path / "0.json").write_text(json.dumps(report))
    node = Compare(runs=(Evaluate(model=HfModel(paths=("x",)), docs=DOCS, which="all"),))
    table = next(iter(node.figures(Reports(node, tmp_path))))
    [row] = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert (row["tokens seen"], row["of them in this run"]) == (seen, 40)
