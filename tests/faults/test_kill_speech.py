"""SIGKILL of the driver in every node of sound, also within a round of units, and the same bytes from workers."""

from __future__ import annotations

import pytest
import soundfile
from corpus import bytes_of
from kill import UnbrokenRecipe, kill_in_each, run_to_the_end

from recipes.worlds import voices

RECIPE = """
name: speech
nodes:
  sounds: {use: audio, paths: ["sounds"], rate: 8000, shard_files: 3}
  learned: {use: train_units, docs: sounds, k: 6, rounds: 2, views: 2, steps: 41, batch: 3, hidden: 8,
            frames: {log_mel: {bands: 12, context: 1}}}
  kmeans: {use: units, docs: sounds, model: learned, round: 0, as: kmeans}
  last: {use: units, docs: kmeans, model: learned, as: last}
  other: {use: units, docs: last, model: learned, as: other, change: {one_of: {noise: [0, 5]}}}
  distance: {use: unit_distance, docs: other, clean: last, changed: other}
  numbers: {use: vocabulary, size: 6}
  rows: {use: pack, docs: other, tokenizer: numbers, ids: kmeans, length: 32}
  language: {use: pretrain, rows: rows, model: {lost: 1m, rank: 4, density: 0.05, hidden: 32, inter: 48, layers: 1,
             heads: 2}, steps: 3, batch_rows: 4}
"""
KILLS = (  # about in the order in which the nodes run
    "audio-:before-receipt", "audio-:after-receipt", "vocabulary-:before-receipt", "train_units-:before-receipt",
    "train_units-:before-receipt:4", "train_units-:log-step:2", "train_units-:log-learned", "train_units-:log-step:5",
    "train_units-:before-manifest", "units-:before-receipt", "units-:before-receipt:3", "unit_distance-:before-receipt",
    "pack-:before-receipt", "pretrain-:log-trained",
)  # fmt: skip
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> UnbrokenRecipe:
    folder = tmp_path_factory.mktemp("speech")
    (folder / "sounds").mkdir()
    for sound in voices.sounds(9):
        soundfile.write(folder / "sounds" / f"{sound.name}.flac", sound.samples, voices.RATE)
        (folder / "sounds" / f"{sound.name}.phn").write_text(sound.alignment)
    (folder / "speech.yaml").write_text(RECIPE)
    made = UnbrokenRecipe(folder, "speech.yaml")
    run_to_the_end(made.command(folder / "store"))
    return made


def test_a_run_that_is_killed_in_every_node_and_round_goes_on_to_the_same_bytes(unbroken, tmp_path):
    kill_in_each(unbroken.command, KILLS, unbroken.folder / "store", tmp_path)


@pytest.mark.parametrize("cpus", ["1", "2"])
def test_the_bytes_are_those_of_any_number_of_workers(unbroken, tmp_path, cpus):
    run_to_the_end(unbroken.command(tmp_path / "store", "--cpus", cpus))
    assert bytes_of(tmp_path / "store") == bytes_of(unbroken.folder / "store")
