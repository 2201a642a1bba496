"""A verdict follows from its interval: in the records of the documentation, and wherever one is made."""

import importlib
import json
import re
from pathlib import Path

import pytest

from benchmarks.evidence import __main__ as command
from benchmarks.evidence.__main__ import EXPERIMENTS, seeds_of
from benchmarks.evidence.chart import chart
from benchmarks.evidence.claims import Claim, Experiment
from benchmarks.evidence.parts import Parts
from benchmarks.evidence.record import FOLDER, Record
from benchmarks.smollm2 import place_of
from pipeline.driver import drift
from pipeline.errors import MissingExtra

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = sorted(FOLDER.glob("*.json"))
MARKS = {
    mark: page for page in DOCS.rglob("*.md") for mark in re.findall(r"<!-- evidence: (\w+) -->", page.read_text())
}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "bounds", "verdict"),
    [
        ([1.0, 1.1, 0.9], {"least": 0.0}, "holds"),
        ([1.0, 1.1, 0.9], {"most": 0.5}, "refuted"),
        ([1.0, -1.1, 0.9], {"least": 0.0}, "open"),
        ([0.1, 0.0, 0.2], {"least": -1.0, "most": 1.0}, "holds"),
        ([0.1, 0.0, 0.2], {}, ""),
    ],
)
def test_a_verdict_is_what_the_whole_interval_says(one, bounds, verdict):
    arms = {"one": one, "other": [0.0] * 3}
    assert Claim(what="it", one="one", other="other", **bounds).verdict(arms) == verdict


def test_a_record_is_read_back_and_one_that_says_more_than_its_numbers_is_refused(tmp_path):
    claims = (Claim(what="it gains", one="a", other="b", percent=True, least=0.0),)
    experiment = Experiment(name="made", about="Made.", run=lambda *_: {}, steps=4, claims=claims)
    record = Record.of(experiment, 4, [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 2.0}, {"a": 2.0, "b": 2.0}])
    path = record.write(tmp_path)
    again = Record.read(path)
    assert again.arms == {"a": [1.0, 3.0, 2.0], "b": [2.0, 2.0, 2.0]}
    assert "| it gains | +0 % [-124, +124] | at least 0 % | open |" in again.table()
    values = json.loads(path.read_text())
    values["claims"][0]["verdict"] = "holds"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="it gains: found 'holds', expected 'open' from its interval"):
        Record.read(path)


def test_an_experiment_that_was_stopped_goes_on_and_one_that_was_changed_begins_anew(tmp_path, monkeypatch, capsys):
    module = tmp_path / "an_experiment.py"
    module.write_text(
        "asked = []\n\ndef run(folder, seed, steps):\n    asked.append(seed)\n    return {'a': seed / 8}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    drift.look_again()
    made = importlib.import_module("an_experiment")
    experiment = Experiment(name="made", about="Made.", run=made.run, steps=4, claims=())

    def parts(steps=4):
        return Parts.of(experiment, steps, tmp_path / "seeds")

    assert seeds_of(experiment, [0, 1], 4, parts()) == [{"a": 0.0}, {"a": 0.125}]
    assert seeds_of(experiment, range(3), 4, parts()) == [{"a": 0.0}, {"a": 0.125}, {"a": 0.25}]
    assert made.asked == [0, 1, 2]
    assert "made, seed 1 (kept): a 0.1250\nmade, seed 2: a 0.2500" in capsys.readouterr().out
    assert parts(steps=5).read(0) is None
    module.write_text(module.read_text().replace("/ 8", "/ 4"))
    drift.look_again()
    assert parts().read(0) is None


def test_of_all_experiments_one_without_its_package_is_left_out_and_asked_by_name_it_is_an_error(
    tmp_path, monkeypatch, capsys
):
    def lacking(folder, seed, steps):
        return {"a": float(len(str(place_of("no_such_base", "pip install it"))))}

    made = [
        Experiment(name=name, about="Made.", run=run, steps=4, claims=())
        for name, run in (("lacking", lacking), ("other", lambda *_: {"a": 1.0}))
    ]
    monkeypatch.setattr(command, "EXPERIMENTS", {one.name: one for one in made})
    asked = ["benchmarks.evidence", "--small", "--into", str(tmp_path)]
    monkeypatch.setattr("sys.argv", asked)
    command.main()
    assert "lacking is left out: benchmarks: no package no_such_base; expected it installed. Next: pip install it" in (
        capsys.readouterr().out
    )
    assert [path.name for path in tmp_path.glob("*.json")] == ["other.json"]
    monkeypatch.setattr("sys.argv", [*asked, "lacking"])
    with pytest.raises(MissingExtra, match="no_such_base"):
        command.main()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_record_says_what_its_numbers_say_and_has_its_experiment(path):
    record = Record.read(path)
    assert record.claims == list(EXPERIMENTS[record.name].claims)
    assert len(record.seeds) == EXPERIMENTS[record.name].seeds
    assert record.steps == EXPERIMENTS[record.name].steps


def test_the_picture_in_the_documentation_is_that_of_its_record():
    picture = (DOCS / "images" / "curation.svg").read_text(encoding="utf-8")
    assert picture == chart(Record.read(FOLDER / "curation.json"))


def test_every_record_stands_on_a_page_and_every_mark_has_its_record():
    assert RECORDS
    assert {path.stem for path in RECORDS} == set(MARKS)


def test_every_experiment_has_its_record_but_the_one_that_takes_six_hours():
    assert set(EXPERIMENTS) - set(MARKS) == {"lost"}, "its page says that it was not run"
    assert "evidence lost`" in MARKS["lost_million"].read_text()


CLAIMED = re.compile(
    r"\[(?P<low>[-+.\d]+), (?P<high>[-+.\d]+)\][^|]*\| "
    r"at (?P<way>most|least) (?P<bound>[-.\d]+)[^|]*\|(?P<says>[^|]*)\|"
)


def wrongly_said(page):
    """Rows of tables that were written by hand, whose word does not follow from their interval."""
    wrong = []
    for claim in CLAIMED.finditer(page):
        low, high, bound = (float(claim[name]) for name in ("low", "high", "bound"))
        inside, outside = (high <= bound, low > bound) if claim["way"] == "most" else (low >= bound, high < bound)
        wanted = "holds" if inside else "refuted" if outside else "open"
        if not claim["says"].strip().startswith(wanted):
            wrong.append(claim[0])
    return wrong


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ("| it gains | -0.10 [-0.12, -0.08] | at most 0 | {} |", "holds"),
        ("| it gains | +0.02 [-0.01, +0.05] | at most 0 | {} |", "open"),
        ("| it gains | +0.04 [+0.03, +0.05] % | at least 0.1 % | {} |", "refuted"),
    ],
)
def test_a_row_that_says_more_than_its_interval_is_found(row, right):
    words = ("holds", "open", "refuted")
    assert [word for word in words if not wrongly_said(row.format(word))] == [right]


def test_what_a_page_says_of_a_claim_follows_from_the_interval_beside_it():
    pages = [path.read_text() for path in DOCS.rglob("*.md")]
    assert [row for page in pages for row in wrongly_said(page)] == []
