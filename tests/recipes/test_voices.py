"""The sounds of the world of voices are what its rule makes, and its recipe is a graph that ends in a table."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.errors import MissingExtra
from pipeline.graph import build
from pipeline.recipe import parse
from recipes.worlds import spoken, voices
from siftloom.vocabulary import vocabulary
from stages.speech.clusterings import parsed


def test_the_files_are_what_the_rule_makes():
    folder = Path(str(files("recipes") / "worlds" / "voices"))
    made = list(voices.sounds())
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{one.name}.{ending}" for one in made for ending in ("flac", "phn")
    )
    for one in made:
        samples, rate = soundfile.read(folder / f"{one.name}.flac", dtype="int16")
        assert rate == voices.RATE
        # the last of 8 bits may be rounded otherwise on another machine
        assert np.abs(samples.astype(int) - one.samples.astype(int)).max() <= 256
        assert (folder / f"{one.name}.phn").read_text() == one.alignment
        assert parsed(one.name, one.alignment)[-1].stop == len(samples)


def test_the_recipe_is_a_graph_that_ends_in_a_table_and_a_language():
    nodes = parse((Path(__file__).parents[2] / "recipes" / "speech.yaml").read_text(), vocabulary()).nodes
    graph = build(list(nodes.values()), nodes)
    assert {nodes["table"], nodes["language"]} <= set(graph.nodes)
    assert len(nodes["table"].runs) == len(nodes["table"].labels) == 4


def test_espeak_tells_the_phone_at_every_sample():
    try:
        espeak = spoken.Espeak()
    except MissingExtra:
        pytest.skip("espeak-ng is a tool of the system, and is not installed here")
    said = espeak.say("She sells sea shells.", "en-us")
    phones = parsed("said", said.alignment)
    assert len(phones) > 10
    assert phones[-1].stop == len(said.samples)
    assert [phone.name for phone in phones].count("S") == 2, "she, shells"


def test_sentences_to_speak_are_plain_and_none_stands_twice():
    found = [sentence for _, sentence in zip(range(spoken.SENTENCES), spoken.sentences(), strict=False)]
    assert len(set(found)) == spoken.SENTENCES
    assert all(spoken.SENTENCE.fullmatch(sentence) for sentence in found)
