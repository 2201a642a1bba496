"""Where a file's name decides what is done with it, the name belongs to the identity."""

import dataclasses
import shutil

import pytest

from pipeline.contract import Source
from pipeline.driver.ledger import Ledger
from pipeline.driver.plan import plan
from pipeline.driver.prepare import digest_sources
from pipeline.errors import DataError
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from siftloom import stages as s
from stages.catalog import NODES, load
from stages.one_folder import by_name

DOCS = s.Read(paths=("demo://corpus",), keep=("url",))
MODEL = ("config.json", "model.safetensors", "tokenizer.json")
# node -> how it is made over files of its own, and two of them whose names are exchanged
NAMED = {
    "model_folder": (lambda paths: s.ModelFolder(paths=paths), MODEL),
    "hf_model": (lambda paths: s.HfModel(paths=paths), MODEL[1:]),  # a config.json is read by the graph
    "dclm_eval": (
        lambda paths: s.DclmEval(model=s.ModelFolder(paths=(__file__,)), paths=paths),
        ("boolq.jsonl", "copa.jsonl"),
    ),
    "tokenizer": (lambda paths: s.Tokenizer(from_=paths), ("tokenizer.json", "tokenizer_config.json")),
    **{
        kind: (lambda paths, kind=kind: load(kind)(docs=DOCS, against_folders=paths), ("manifest.json", "keys.npy"))
        for kind in ("minhash_dedup", "exact_dedup", "url_dedup")
    },
    "audio": (lambda paths: s.Audio(paths=paths), ("a.wav", "b.flac")),
    "read": (lambda paths: s.Read(paths=paths), ("a.jsonl", "b.txt")),  # by their endings
}
# all files of a field in order of their names, each found by its place
BY_CONTENT = {
    "decontaminate", "fasttext_model", "keyword", "language", "line_patterns", "patterns", "safety", "tidy",
    "translation_checks", "url",
}  # fmt: skip


def fingerprint(node, store):
    ledger = Ledger(build([node]), LocalStore(str(store)))
    digest_sources(ledger, lambda: None)
    return ledger.fingerprint(node)


def test_every_node_that_takes_files_says_what_their_names_decide():
    takes = {
        kind for kind in NODES for field in dataclasses.fields(load(kind)) if field.metadata.get("role") == "sources"
    }
    assert takes == NAMED.keys() | BY_CONTENT, "a new node: do the names of its files decide something?"


@pytest.mark.parametrize("kind", NAMED)
def test_files_that_exchange_their_names_are_another_identity(kind, tmp_path):
    make, names = NAMED[kind]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f'{{"text": "{name}", "query": "a", "choices": ["b"], "gold": 0}}\n')
    before = fingerprint(make((str(folder),)), tmp_path / "store")
    shutil.copytree(folder, tmp_path / "copy")
    for paths in ((str(tmp_path / "copy"),), (f"{folder}/*",), tuple(f"{folder}/{name}" for name in names)):
        assert fingerprint(make(paths), tmp_path / "store") == before, "the same files of the same names"
    first, second = folder / names[0], folder / names[1]
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    assert fingerprint(make((str(folder),)), tmp_path / "store") != before
    # and a name that keeps its place in the order
    for path in (first, second):
        path.unlink()
    first.write_text(f'{{"text": "{names[0]}", "query": "a", "choices": ["b"], "gold": 0}}\n')
    other = {
        "read": "a.txt", "audio": "a.flac", "tokenizer": "other.json", "dclm_eval": "copa.jsonl",
    }.get(kind, f"{names[0]}.old")  # fmt: skip
    first.rename(folder / other)
    moved = fingerprint(make((str(folder),)), tmp_path / "store")
    (folder / other).rename(first)
    assert fingerprint(make((str(folder),)), tmp_path / "store") != moved


@pytest.mark.parametrize("kind", ["model_folder", "hf_model"])
def test_a_model_of_two_folders_is_an_error_of_the_plan(kind, tmp_path):
    for name in ("m1", "m2"):
        (tmp_path / name).mkdir()
        for file in MODEL:
            (tmp_path / name / file).write_text(name + file)
    node = load(kind)(paths=(f"{tmp_path}/m1", f"{tmp_path}/m2"))
    with pytest.raises(DataError, match=rf"{kind}\.paths: config\.json twice.*one Hugging Face folder"):
        plan(build([node]), str(tmp_path / "store"))


def test_files_of_two_folders_with_names_that_differ_are_no_folder():
    def source(path, name):
        return Source(0, name, f"/models/{path}", 1, "0" * 64)

    with pytest.raises(DataError, match="files of 2 folders"):
        by_name(
            "model_folder.paths", [source("m1/config.json", "config.json"), source("m2/a.safetensors", "a.safetensors")]
        )
    found = by_name(
        "x", [source("m1/config.json", "config.json"), source("m1/1_Pooling/config.json", "1_Pooling/config.json")]
    )
    assert list(found) == ["config.json"]
