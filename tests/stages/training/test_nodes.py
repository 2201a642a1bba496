"""From documents to an exported folder through the engine: what the nodes write, and that what they write is true."""

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from models.optim_config import AdamW
from models.presets import Llama, Lost
from models.reweight_config import LinUpper
from pipeline.driver.execute import Options, run
from pipeline.errors import RecipeError
from pipeline.files.open_store import file_on_disk
from pipeline.graph import build
from pipeline.report.figures import check
from stages.read.read import Read
from stages.split import Split
from stages.tokens.encoder import Encoder
from stages.tokens.pack import Pack
from stages.tokens.packed_rows import PackedRows
from stages.tokens.tokenizer import END_OF_TEXT, Tokenizer
from stages.training.compare import Compare
from stages.training.evaluate import Evaluate
from stages.training.export import Export
from stages.training.pretrain import Pretrain
from stages.training.results import steps_of_row
from stages.training.scoring import score_documents
from tests.models.calls import logits, losses

pytestmark = pytest.mark.usefixtures("local_ray")

ROOT = Path(__file__).parents[3]
TINY = {"hidden": 32, "inter": 48, "layers": 2, "heads": 2}
WORDS = "tide moon harbour salt rope lantern gull anchor mist kelp oar rhythm of and the".split()


def nodes(folder):
    draw = random.Random(0)
    folder.mkdir()
    with open(folder / "docs.jsonl", "w") as file:
        for number in range(160):
            text = " ".join(draw.choices(WORDS, k=draw.randint(3, 90)))
            file.write(json.dumps({"text": text, "source": "sea" if number % 2 else "land"}) + "\n")
    docs = Split(docs=Read(paths=(str(folder / "docs.jsonl"),)), held_out=0.2)
    rows = Pack(docs=docs, tokenizer=Tokenizer(docs=docs, vocab_size=320), length=32)
    shared = {"rows": rows, "steps": 6, "batch_rows": 8, "optimizer": AdamW(lr=3e-3), "checkpoint_every": 2}
    lost = Pretrain(model=Lost("1m", rank=8, density=0.1, **TINY), reweight=LinUpper(), **shared)
    dense = Pretrain(model=Llama("1m", **TINY), shard=2, workers=2, **shared)
    table = Compare(runs=(lost, dense))
    return {
        "docs": docs, "rows": rows, "lost": lost, "dense": dense, "table": table,
        "scores": table.runs[0], "lost_folder": Export(model=lost), "dense_folder": Export(model=dense),
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory, local_ray):
    """(nodes by name, name -> folder of a node's data) of one store: what is trained was trained on Ray."""
    folder = tmp_path_factory.mktemp("run")
    named = nodes(folder / "input")
    graph = build(list(named.values()), named)
    store = str(folder / "store")
    run(build([named["rows"]]), name="rows", store=store, options=Options(here=True))
    run(build([named["lost"], named["dense"]]), name="trained", store=store)
    found = run(graph, name="run", store=store, options=Options(here=True))
    from pipeline.driver.ledger import Ledger
    from pipeline.files.open_store import open_store

    state = Ledger(graph, open_store(store))
    places = {name: folder / "store" / state.folder(node) / "data" for name, node in named.items()}
    assert found is not None
    return named, places, {name: state.fingerprint(node) for name, node in named.items()}


@pytest.mark.long
@pytest.mark.timeout(600)  # with the trainings of `made`, which it may be the first to ask for
def test_one_worker_without_ray_trains_the_same_model(made, tmp_path):
    _, places, _ = made
    program = (
        "import pathlib, sys\n"
        "from pipeline.driver.execute import Options, run\n"
        "from pipeline.graph import build\n"
        "from tests.stages.training.test_nodes import nodes\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "lost = nodes(folder / 'input')['lost']\n"
        "run(build([lost], {'lost': lost}), name='run', store=str(folder / 'store'), options=Options(here=True))\n"
        "import ray\n"
        "assert not ray.is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True, timeout=200)
    [alone] = tmp_path.glob("store/nodes/pretrain-*/data/train/all")
    for name in ("model.safetensors", "config.json"):
        assert (alone / name).read_bytes() == (places["lost"] / "train/all" / name).read_bytes()
    records = [pq.read_table(folder / "steps.parquet") for folder in (alone, places["lost"] / "train/all")]
    for column in ("step", "loss", "rows"):
        assert records[0][column].equals(records[1][column])


@pytest.mark.long
def test_the_record_holds_every_step_and_the_rows_that_the_sampler_gives(made):
    _, places, prints = made
    config = json.loads((places["dense"] / "train/all/config.json").read_text())
    record = pq.read_table(places["dense"] / "train/all/steps.parquet").to_pydict()
    assert record["step"] == list(range(6))
    assert all(math.isfinite(loss) for loss in record["loss"])
    assert record["rows"] == pq.read_table(places["lost"] / "train/all/steps.parquet")["rows"].to_pylist()
    source = config["sources"][0]
    assert source["name"] == prints["rows"]
    path = places["dense"] / "train/all/config.json"
    for row in range(source["rows"]):
        seen = [step for step, rows in enumerate(record["rows"]) for number in rows if number == row]
        assert steps_of_row(path, source["name"], row) == seen


@pytest.mark.long
def test_held_out_documents_are_in_no_row_and_every_other_one_is(made):
    _, places, _ = made
    meta, folder = json.loads((places["rows"] / "meta/all.json").read_text()), places["rows"] / "pack"
    packed = PackedRows.described(meta, lambda key, ext: file_on_disk(folder / f"{key}{ext}"))
    lines = [pq.read_table(path) for path in sorted((places["rows"] / "pack").glob("*.rows.parquet"))]
    [side_car] = list((places["docs"] / "rows").glob("*.parquet"))
    held = pq.read_table(side_car)["held_out"].to_pylist()
    assert 0 < sum(held) < len(held)
    names = lines[0].schema.metadata
    for row, mark in enumerate(held):
        rows = packed.rows_of_document(names[b"base"].decode(), names[b"shard"].decode(), row)
        assert bool(rows) != mark
    scored = pq.read_table(places["scores"] / "score/all.parquet")
    assert {int(name.split(":")[1]) for name in scored["id"].to_pylist()} == {i for i, mark in enumerate(held) if mark}


@pytest.mark.long
def test_scores_are_those_of_documents_alone(made):
    """Against a forward of each document by itself, and transformers' own loss on the exported dense model."""
    from models.files import load

    _, places, _ = made
    report = json.loads((places["scores"] / "score/all.json").read_text())
    model = load(places["lost"] / "train/all/model.safetensors")
    encoder = Encoder.load(places["lost"] / "train/all/tokenizer.json")
    texts = ["tide moon", "the harbour and the gull " * 30, "x"]
    ids = encoder.encode(texts)
    together = score_documents(model, ids, [len(text.encode()) for text in texts], 0, batch_rows=2)
    for i, text in enumerate(texts):
        whole = [0, *ids[i].tolist()]
        nats = 0.0
        for start in range(0, len(whole) - 1, 32):
            part = torch.tensor([whole[start : start + 33]])
            nats += float(losses(model, part[:, :-1], part[:, 1:]).detach().double().sum())
        assert together.nats[i] == pytest.approx(nats, rel=1e-5)
        assert together.tokens[i] == len(ids[i])
        assert encoder.token_bytes[ids[i]].sum() == len(text.encode())
    totals = report["held_out"]
    scored = pq.read_table(places["scores"] / "score/all.parquet").to_pydict()
    assert totals["bits_per_byte"] == pytest.approx(sum(scored["nats"]) / math.log(2) / sum(scored["bytes"]), rel=1e-12)
    assert set(report["sources"]) == {"sea", "land"}
    assert sum(values["bytes"] for values in report["sources"].values()) == totals["bytes"]


@pytest.mark.long
def test_the_dense_folder_loads_offline_and_gives_the_runs_logits(made, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from models.files import load

    _, places, _ = made
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ids = torch.randint(0, 300, (2, 30), generator=torch.Generator().manual_seed(1))
    for name in ("dense", "lost"):
        folder = places[f"{name}_folder"] / "folder/all"
        foreign = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=name == "lost").eval()
        ours = load(places[name] / "train/all/model.safetensors")
        with torch.no_grad():
            assert (foreign(ids).logits - logits(ours, ids)).abs().max() <= 1e-5
    assert (places["lost_folder"] / "folder/all/modeling_siftloom_lost.py").exists()
    assert not (places["dense_folder"] / "folder/all/modeling_siftloom_lost.py").exists()
    tokenizer = AutoTokenizer.from_pretrained(places["dense_folder"] / "folder/all")
    encoder = Encoder.load(places["dense"] / "train/all/tokenizer.json")
    assert tokenizer("tide 42 of the moon").input_ids == encoder.encode(["tide 42 of the moon"])[0].tolist()
    assert tokenizer.eos_token == END_OF_TEXT
    card = (places["lost_folder"] / "folder/all/README.md").read_text()
    assert "trust_remote_code=True" in card
    assert "`pack`: `length=32`" in card


@pytest.mark.long
@pytest.mark.timeout(600)
def test_lm_eval_runs_on_the_folder_offline_and_finds_our_bits_per_byte(made, tmp_path):
    """With a task that is a JSON file."""
    from models.files import load

    _, places, _ = made
    texts = ["tide moon harbour", "the gull and the anchor", "salt rope"]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    task = {
        "task": "ours", "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "texts.jsonl")}},
        "test_split": "test", "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}], "metadata": {"version": 1},
    }  # fmt: skip
    (tmp_path / "ours.yaml").write_text(json.dumps(task))
    arguments = f"pretrained={places['dense_folder'] / 'folder/all'},dtype=float32"
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", arguments, "--tasks", "ours"]
    command += ["--include_path", str(tmp_path), "--device", "cpu", "--output_path", str(tmp_path / "out")]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    subprocess.run(command, env=os.environ | offline, check=True)
    [written] = (tmp_path / "out").rglob("*.json")
    found = json.loads(written.read_text())["results"]["ours"]["bits_per_byte,none"]
    encoder = Encoder.load(places["dense"] / "train/all/tokenizer.json")
    model = load(places["dense"] / "train/all/model.safetensors")
    scores = score_documents(model, encoder.encode(texts), [len(text.encode()) for text in texts], 0, batch_rows=2)
    assert (scores.tokens < 32).all(), "longer texts are cut into windows in two ways"
    assert found == pytest.approx(scores.bits_per_byte, rel=1e-5)


@pytest.mark.long
def test_the_table_and_the_curves_name_both_models(made):
    _, places, _ = made
    figures = json.loads((Path(places["table"]).parent / "figures.json").read_text())
    figures = figures["figures"] if isinstance(figures, dict) else figures
    table = next(figure for figure in figures if figure["kind"] == "table")
    assert [row[0] for row in table["rows"]] == ["Lost 1m, rank 8, density 0.1, LinUpper r 1", "Llama 1m"]
    assert "None of the models saw the held-out text." in table["note"]
    for figure in figures:
        check(figure)
    curves = next(figure for figure in figures if figure["title"] == "Training loss")
    assert [len(series["points"]) for series in curves["series"]] == [6, 6]
    record = pq.read_table(places["dense"] / "train/all/steps.parquet").to_pydict()
    assert curves["series"][1]["points"][-1] == [sum(record["tokens"]), round(record["loss"][-1], 6)]


def test_contradicting_fields_are_named_before_anything_runs(tmp_path):
    named = nodes(tmp_path / "input")
    lost, rows = named["lost"], named["rows"]
    for wrong, place in [
        (Export(model=lost, form="dense"), "export.form"),
        (Export(model=named["dense"], form="factors"), "export.form"),
        (Pretrain(rows=rows, model=Llama("1m"), micro_batches=3), "pretrain.micro_batches"),
        (Pretrain(rows=rows, model=Llama("1m"), workers=4), "pretrain.workers"),
        (Pretrain(rows=rows, model=Llama("1m"), batch_rows=9), "pretrain.batch_rows"),
        (Evaluate(model=lost, docs=named["docs"].docs), "evaluate.docs"),
        (Compare(runs=(lost, named["dense"]), labels=("one",)), "compare.labels"),
    ]:
        with pytest.raises(RecipeError, match=place.replace(".", r"\.")):
            build([wrong])
    with pytest.raises(RecipeError, match=r"^Pretrain\.rows\[0\]\[0\]: a split node; expected a node that gives pack"):
        Pretrain(rows={named["docs"]: 1.0}, model=Llama("1m"))
    longer = Pack(docs=named["docs"], tokenizer=rows.tokenizer, length=64)
    with pytest.raises(RecipeError, match=r"pretrain\.rows\[1\]: rows of length 64; expected 32, as in the first"):
        build([Pretrain(rows={rows: 0.8, longer: 0.2}, model=Llama("1m"))])
    other = Pack(docs=named["docs"], tokenizer=rows.tokenizer, length=32, seed=1)
    mixture = Pretrain(rows={rows: 0.8, other: 0.2}, model=Llama("1m"))
    assert [share for _, share in mixture.mixture] == [0.8, 0.2]
    assert rows in build([mixture]).ancestors(mixture)
    unsplit = Pretrain(rows=Pack(docs=named["docs"].docs, tokenizer=rows.tokenizer), model=Llama("1m"))
    with pytest.raises(RecipeError, match="never split"):
        Compare(runs=(unsplit,))
