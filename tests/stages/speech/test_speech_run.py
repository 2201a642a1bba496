"""Sounds to units to packed ids, in one run; what cannot be used has a reason."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from local_context import LocalContext
from run_here import Here

from pipeline.driver.execute import Options, run
from pipeline.driver.plan import plan
from pipeline.driver.verify import verify
from pipeline.errors import DataError, MissingExtra, RecipeError, SourceDamaged, SourceError
from pipeline.graph import build
from recipes.worlds import voices
from siftloom import stages as s
from stages.speech import sound as sounds_of_files
from stages.speech.changes import OneOf
from stages.speech.clusterings import Agreement
from stages.speech.ctc import merged
from stages.speech.frames import LogMel
from stages.speech.unit_distance import distance

SPOKEN = list(voices.sounds(7))
FRAMES = LogMel(bands=12, context=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven sounds: six FLAC and one WAV of two channels, one of them with a transcript; a copy under another name."""
    path = tmp_path_factory.mktemp("sounds")
    for one in SPOKEN[:6]:
        soundfile.write(path / f"{one.name}.flac", one.samples, voices.RATE)
        (path / f"{one.name}.phn").write_text(one.alignment)
    both = np.stack([SPOKEN[6].samples, np.zeros_like(SPOKEN[6].samples)], 1)
    soundfile.write(path / "stereo.WAV", both, voices.RATE)
    (path / "stereo.txt").write_text("\ufeffwhat is said\n", encoding="utf-8")
    (path / "twin.flac").write_bytes((path / "03.flac").read_bytes())
    (path / "twin.txt").write_text(" \n")
    return path


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory):
    """Everything behind the sounds: the target packs the units of the last round."""
    docs = s.Audio(paths=(str(folder),), rate=voices.RATE)
    model = s.TrainUnits(docs=docs, k=6, rounds=2, frames=FRAMES, views=2, steps=4, batch=3, hidden=8)
    nodes = {"docs": docs, "model": model}
    nodes["kmeans"] = s.SpeechUnits(docs=docs, model=model, round=0, as_="kmeans")
    nodes["changed"] = s.SpeechUnits(docs=nodes["kmeans"], model=model, round=0, as_="changed", change=OneOf())
    nodes["smooth"] = s.SpeechUnits(docs=nodes["changed"], model=model, round=0, smooth=3, as_="smooth")
    nodes["last"] = s.SpeechUnits(docs=nodes["smooth"], model=model)
    nodes["distance"] = s.UnitDistance(docs=nodes["last"], clean="kmeans", changed="changed", by="text")
    numbers = s.NumberVocabulary(size=6, specials=("<turn>",))
    nodes["pack"] = s.Pack(docs=nodes["last"], tokenizer=numbers, length=32, ids="kmeans")
    root = tmp_path_factory.mktemp("store")
    for name in ("distance", "pack"):
        Here(nodes[name], root)
    return nodes, root


def rows_of(ran, *names):
    """The rows of the sounds with the columns of some units nodes, in the order of the base."""
    nodes, root = ran
    state = Here(nodes["docs"], root).state
    paths = sorted((root / state.folder(nodes["docs"]) / "data" / "shards").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    for name in names:
        for column, values in zip(
            *(lambda t: (t.column_names, t.columns))(Here(nodes[name], root).columns()), strict=True
        ):
            if column.startswith((nodes[name].as_, f"{nodes[name].as_}_")):
                table = table.append_column(column, values)
    return table.to_pylist()


def test_a_row_says_what_is_said_and_holds_no_sample(ran):
    rows = {row["source_id"]: row for row in rows_of(ran)}
    assert len(rows) == 8
    assert rows["stereo"]["text"] == "what is said"
    assert rows["twin"]["text"] == "twin", "a blank transcript is none"
    assert rows["twin"]["sound"] == rows["03"]["sound"]
    assert rows["twin"]["id"] != rows["03"]["id"]
    assert rows["03"]["phones"] == SPOKEN[3].alignment.strip()
    assert rows["stereo"]["phones"] is None
    assert [rows[one.name]["seconds"] * voices.RATE for one in SPOKEN[:6]] == [len(one.samples) for one in SPOKEN[:6]]
    assert {type(value) for row in rows.values() for value in row.values()} <= {str, float, int, type(None)}


def test_a_sound_that_is_no_longer_the_one_that_was_read_is_found_by_verify(folder, tmp_path):
    sounds = shutil.copytree(folder, tmp_path / "sounds")
    docs = s.Audio(paths=(str(sounds),), rate=voices.RATE)
    store = str(tmp_path / "store")
    run(build([docs]), name="sounds", store=store, options=Options(here=True))
    assert verify(store, "sounds") == []
    changed = sounds / f"{SPOKEN[0].name}.flac"
    soundfile.write(changed, SPOKEN[0].samples[::-1], voices.RATE)
    assert [found.file for found in verify(store, "sounds")] == [str(changed)]


def test_units_are_those_of_the_sound_in_the_file(ran):
    rows = {row["source_id"]: row for row in rows_of(ran, "kmeans", "changed", "smooth", "last")}
    for row in rows.values():
        labels = np.array(row["kmeans_frames"])
        assert len(labels) == int(row["seconds"] * voices.RATE) // FRAMES.hop(voices.RATE)
        assert row["kmeans"] == merged(labels, None).tolist()
        assert len(row["smooth"]) <= len(row["kmeans"])
        assert row["units"] == [unit for unit in merged(np.array(row["units_frames"]), -1)]
    assert rows["twin"]["kmeans"] == rows["03"]["kmeans"]
    assert any(row["kmeans"] != row["changed"] for row in rows.values())
    assert {unit for row in rows.values() for unit in row["kmeans"]} == set(range(6))
    samples = SPOKEN[6].samples / 2 / 2**15  # the mean of both channels
    first = rows["stereo"]["kmeans_frames"]
    assert len(first) == len(FRAMES.energies(samples, voices.RATE))


def test_the_distance_stands_beside_purity_information_and_entropy(ran):
    nodes, root = ran
    run = Here(nodes["distance"], root)
    score = json.loads((root / run.state.folder(nodes["distance"]) / "data/score/all.json").read_text())
    rows = rows_of(ran, "kmeans", "changed")
    wanted = [distance(row["kmeans"], row["changed"]) for row in rows]
    assert score["groups"]["all"]["mean"] == pytest.approx(sum(wanted) / len(wanted))
    assert score["groups"].keys() == {"all", *(row["text"] for row in rows)}
    assert score["constant"] is False
    assert set(score["agreement"]) == {"purity", "nmi", "entropy", "phones", "pairs"}
    assert 0 < score["agreement"]["nmi"] < 1
    assert score["agreement"]["entropy"] > 1


def test_ids_of_a_column_are_packed_as_they_are(ran):
    nodes, root = ran
    run = Here(nodes["pack"], root)
    kmeans = {row["id"]: row["kmeans"] for row in rows_of(ran, "kmeans")}
    folder = root / run.state.folder(nodes["pack"]) / "data"
    meta = json.loads((folder / "meta/all.json").read_text())
    assert meta["vocab_size"] == 8
    assert meta["end_id"] == 6
    assert meta["text_tokens"] == sum(map(len, kmeans.values()))
    rows = np.concatenate([np.fromfile(path, "<u2") for path in sorted(folder.glob("pack/*.bin"))]).tolist()
    packed = sorted(rows)
    assert len([one for one in packed if one < 6]) == meta["text_tokens"]
    whole = " ".join(map(str, rows))
    short = [ids for ids in kmeans.values() if len(ids) + 2 <= 33]
    assert short
    assert all(f"6 {' '.join(map(str, ids))} 6" in whole for ids in short)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "meta/all/tokenizer.json"))
    assert tokenizer.encode("5 0 3").ids == [5, 0, 3]
    assert tokenizer.decode([5, 0, 3]) == "5 0 3"
    assert tokenizer.token_to_id("<turn>") == 7


# what cannot be used ------------------------------------------------------------------------------------------------


def test_views_that_are_too_short_for_their_units_are_left_out_and_counted(folder, tmp_path):
    docs = s.Audio(paths=(str(folder),), rate=voices.RATE)
    fast = OneOf(stretch=(0.05, 0.9), pitch=None, reverb=None, noise=None)
    model = s.TrainUnits(docs=docs, k=6, frames=FRAMES, views=6, steps=2, hidden=4, batch=2, change=fast)
    run = Here(model, tmp_path)
    (receipt,) = (tmp_path / run.state.folder(model) / "receipts" / "views-01").glob("*.json")
    counts = json.loads(receipt.read_text())["counts"]
    assert counts["views"] == 6 * 8
    assert 0 < counts["dropped.short"] < 48
    assert counts["views"] == counts["used"] + counts["dropped.short"] + counts["dropped.silent"]
    too_fast = OneOf(stretch=(0.01, 0.02), pitch=None, reverb=None, noise=None)
    with pytest.raises(DataError, match=r"round 1.*long enough.*hop_ms"):
        Here(s.TrainUnits(docs=docs, k=6, frames=FRAMES, steps=2, change=too_fast), tmp_path)
    with pytest.raises(DataError, match=r"train_units\.k.*units of \d+ frames"):
        Here(s.TrainUnits(docs=docs, k=5000, frames=FRAMES), tmp_path)


def of_table(node, folder, rows):
    ctx = LocalContext(node, folder, {"docs": pa.Table.from_pylist(rows)})
    result = ctx.run_all()["all"]
    return result, ctx


def measured(**columns):
    row = {"id": "a", "units": [4], "changed": [4], "units_frames": [4, 4, -1], "phones": "0 4 x\n4 8 y\n"}
    return {**row, "seconds": 1.0, "rate": 8, **columns}


def test_a_constant_encoder_has_no_distance_and_is_called_constant(tmp_path):
    node = s.UnitDistance(docs=s.Read(paths=("docs.jsonl",)), changed="changed")
    result, ctx = of_table(
        node, tmp_path / "a", [measured(), measured(id="b", units=[], changed=[4], units_frames=[-1])]
    )
    assert result.counts == {"sounds": 2, "measured": 1, "silent": 1}
    assert result.facts["distance"] == 0
    assert result.facts["constant"] is True
    (table,) = node.figures(ctx)
    assert table["note"].startswith("A constant encoder")
    with pytest.raises(DataError, match="no sound with phones"):
        of_table(node, tmp_path / "b", [measured(phones=None), measured(phones=None)])
    with pytest.raises(DataError, match="no unit in any of 1"):
        of_table(node, tmp_path / "c", [measured(units=[])])
    with pytest.raises(DataError, match=r"phones of a, line 2.*4 3 y"):
        of_table(node, tmp_path / "d", [measured(phones="0 4 x\n4 3 y")])
    assert Agreement.of([(1, "x"), (1, "y")]).nmi == 0


def test_sounds_that_cannot_be_used_are_named(tmp_path):
    def read(**files):
        place = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        place.mkdir()
        for name, content in files.items():
            path = place / name.replace("_", ".")
            path.write_bytes(content) if isinstance(content, bytes) else soundfile.write(path, *content)
        return Here(s.Audio(paths=(str(place),), rate=8000), tmp_path / "store")

    good = (np.zeros(80), 8000)
    with pytest.raises(SourceError, match=r"a\.wav: a sound without samples"):
        read(a_wav=(np.zeros(0), 8000))
    with pytest.raises(SourceError, match=r"a\.wav: 16,000 samples per second.*8,000.*-ar 8000"):
        read(a_wav=(np.zeros(80), 16000))
    with pytest.raises(SourceDamaged, match=r"a\.flac: no sound that can be read"):
        read(a_flac=b"fLaC and no more")
    with pytest.raises(SourceError, match=r"a\.mp3: no sound and no transcript"):
        read(a_mp3=b"x", b_wav=good)
    with pytest.raises(SourceError, match="no sound among them"):
        read(a_txt=b"x")
    with pytest.raises(SourceError, match="two sounds of the name a"):
        read(a_wav=good, a_flac=good)
    with pytest.raises(DataError, match=r"a\.txt: bytes that are not UTF-8"):
        read(a_wav=good, a_txt=b"\xff\xfe\xff")


def test_the_plan_says_what_is_wrong_with_a_recipe(folder, monkeypatch):
    docs = s.Audio(paths=(str(folder),), rate=8000)
    texts = s.Read(paths=("demo://corpus",))
    model = s.TrainUnits(docs=docs, k=4)
    units = s.SpeechUnits(docs=docs, model=model)

    def wrong(node, match, error=RecipeError):
        with pytest.raises(error, match=match):
            build([node])

    wrong(s.TrainUnits(docs=texts, k=4), r"train_units\.docs.*'sound'.*behind `audio`")
    wrong(s.SpeechUnits(docs=texts, model=model), r"units\.docs.*'sound'")
    wrong(s.SpeechUnits(docs=docs, model=model, round=2), r"units\.round: 2.*0 to 1")
    wrong(s.SpeechUnits(docs=docs, model=model, smooth=4), r"units\.smooth.*odd")
    wrong(s.UnitDistance(docs=units, changed="other"), r"unit_distance\.changed: no column 'other'")
    numbers = s.NumberVocabulary(size=4)
    wrong(s.Pack(docs=docs, tokenizer=numbers, ids="text"), r"pack\.ids: 'text' of type string.*list<int32>")
    wrong(s.Pack(docs=docs, tokenizer=numbers, ids="units"), r"pack\.ids: no column 'units'")
    wrong(s.NumberVocabulary(size=4, specials=("3",)), r"vocabulary\.specials: '3'")
    monkeypatch.setattr(sounds_of_files, "find_spec", lambda name: None)
    wrong(docs, r"soundfile.*siftloom\[speech\]", MissingExtra)


def test_the_plan_counts_sounds_and_not_their_bytes(folder, tmp_path):
    """A minute of sound has as many bytes as a thousand pages."""
    docs = s.Audio(paths=(str(folder),), rate=voices.RATE)
    model = s.TrainUnits(docs=docs, k=6)
    foreseen = {entry.kind: entry.memory for entry in plan(build([model]), str(tmp_path)).entries}
    assert foreseen["train_units"] == model.predict_memory(8, 0)


def test_an_id_that_is_no_number_of_the_vocabulary_is_named(folder, ran):
    nodes, root = ran
    small = s.Pack(docs=nodes["last"], tokenizer=s.NumberVocabulary(size=5), length=32, ids="kmeans")
    with pytest.raises(DataError, match=r"pack\.ids: kmeans, row \d+ .*the id 5.*5 of them"):
        Here(small, root)
