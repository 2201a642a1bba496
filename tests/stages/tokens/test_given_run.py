"""From a tokenizer that others have made to a model that transformers loads with it, by the engine."""

import json
import shutil

import pytest

from pipeline.driver.ledger import Ledger
from pipeline.driver.prepare import digest_sources
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from siftloom import Pipeline
from siftloom import stages as s
from tests.stages.tokens import given_tokenizers as given

TINY = {"hidden": 32, "inter": 48, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of the tokenizer, and the finished run of a model on it."""
    from models.presets import Llama

    place = tmp_path_factory.mktemp("given")
    given.byte_level("llama3", place / "theirs")
    settings = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "model_max_length": 99,
                "tokenizer_class": "PreTrainedTokenizerFast"}  # fmt: skip
    (place / "theirs" / "tokenizer_config.json").write_text(json.dumps(settings, indent=7))
    (place / "theirs" / "weights.bin").write_bytes(b"of a model")
    texts = given.documents()[:60]
    (place / "docs.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    (place / "more.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in given.documents()[60:70]))
    docs = s.Split(docs=s.Read(paths=(str(place / "docs.jsonl"),)), held_out=0.1)
    tokenizer = s.Tokenizer(from_=(str(place / "theirs" / "*"),))
    rows = s.Pack(docs=docs, tokenizer=tokenizer, length=64)
    model = s.Pretrain(rows=rows, model=Llama("1m", **TINY), steps=3, batch_rows=4)
    folder = s.Export(model=model)
    others = s.Read(paths=(str(place / "more.jsonl"),))
    nodes = {
        "tokenizer": tokenizer, "rows": rows, "model": model, "folder": folder,
        "evaluation": s.Evaluate(model=model, docs=docs, samples=1, sample_tokens=4),
        "scored": s.ScoreLoss(docs=others, proxies=folder),
    }  # fmt: skip
    pipeline = Pipeline([nodes["evaluation"], nodes["scored"]], name="given", store=str(place / "store"), names=nodes)
    return place, pipeline.run(here=True, progress=False)


@pytest.mark.long
def test_the_exported_folder_has_the_files_of_the_tokenizer_and_loads_with_it(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place, run = finished
    (folder,) = (place / "store").glob("nodes/export-*/data/folder/all")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (place / "theirs" / name).read_bytes()
    assert not (folder / "weights.bin").exists()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer) == 2003
    special = tokenizer.convert_tokens_to_ids(["<|begin_of_text|>", "<|end_of_text|>"])
    assert [model.config.bos_token_id, model.config.eos_token_id] == special
    (rows,) = (place / "store").glob("nodes/pack-*/data/meta/all.json")
    meta = json.loads(rows.read_text())
    assert [meta["begin_id"], meta["end_id"], meta["vocab_size"]] == [*special, 2003]
    assert run["evaluation"].counts["score"]["scored"] > 0
    scored = run["scored"].rows(["text", "ref_tokens"]).to_pylist()
    assert [row["ref_tokens"] for row in scored] == [
        len(tokenizer.encode(row["text"], add_special_tokens=False)) for row in scored
    ]


@pytest.mark.long
def test_its_files_are_its_identity_wherever_they_lie(finished, tmp_path):
    place, _ = finished
    store = LocalStore(str(tmp_path))

    def name(folder):
        node = s.Tokenizer(from_=(str(folder / "*"),))
        state = Ledger(build([node]), store)
        digest_sources(state, lambda: None)
        return state.fingerprint(node)

    same, changed = place / "same", place / "changed"
    for copy in (same, changed):
        shutil.copytree(place / "theirs", copy)
    (changed / "tokenizer_config.json").write_text("{}")
    assert name(same) == name(place / "theirs") != name(changed)
