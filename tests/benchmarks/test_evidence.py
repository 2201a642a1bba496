"""A verdict follows from its interval: in the records of the documentation, and wherever one is made."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.evidence.__main__ import EXPERIMENTS
from benchmarks.evidence.claims import Claim, Experiment
from benchmarks.evidence.record import FOLDER, Record

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


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_record_says_what_its_numbers_say_and_has_its_experiment(path):
    record = Record.read(path)
    assert record.claims == list(EXPERIMENTS[record.name].claims)
    assert len(record.seeds) == EXPERIMENTS[record.name].seeds
    assert record.steps == EXPERIMENTS[record.name].steps


def test_every_record_stands_on_a_page_and_every_mark_has_its_record():
    assert RECORDS
    assert {path.stem for path in RECORDS} == set(MARKS)


CLAIMED = re.compile(
    r"\[(?P<low>[-+.\d]+), (?P<high>[-+.\d]+)\][^|]*\| "
    r"at (?P<way>most|least) (?P<bound>[-.\d]+)[^|]*\|(?P<says>[^|]*)\|"
)


def test_what_a_page_says_of_a_claim_follows_from_the_interval_beside_it():
    found = [claim for page in DOCS.rglob("*.md") for claim in CLAIMED.finditer(page.read_text())]
    assert found or set(MARKS) == set(EXPERIMENTS)  # a table by hand stands only where an experiment has no record
    for claim in found:
        low, high, bound = (float(claim[name]) for name in ("low", "high", "bound"))
        inside, outside = (high <= bound, low > bound) if claim["way"] == "most" else (low >= bound, high < bound)
        wanted = "holds" if inside else "refuted" if outside else "open"
        assert claim["says"].strip().startswith(wanted), claim[0]
