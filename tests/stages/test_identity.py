"""Whatever can change a byte is in a node's name: one field of every kind is changed at random, 2,000 times in all with
`--hypothesis-profile explore`, a few hundred times else.
"""

from __future__ import annotations

import dataclasses
import random
import sys
from collections.abc import Iterator
from importlib import metadata

import catalogue_nodes as catalogue
import pytest
from hypothesis import settings
from run_here import Here

from pipeline.contract import Node
from pipeline.driver import drift
from pipeline.driver.actions import siblings
from pipeline.driver.ledger import Ledger
from pipeline.driver.plan import Entry, _changes, plan
from pipeline.driver.prepare import digest_sources
from pipeline.errors import SourceError
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from stages.catalog import NODES

CHANGES = 2000 if settings.default.max_examples >= 1000 else 280


@pytest.fixture(autouse=True)
def looked_again(monkeypatch):
    """Versions that a test changed are seen by no other one."""
    yield
    monkeypatch.undo()
    drift.look_again()


@pytest.fixture(scope="module")
def at(tmp_path_factory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("files")
    sys.path.insert(0, str(folder))
    yield catalogue.files(folder)
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def made(at: dict[str, str]) -> dict[str, Node]:
    return catalogue.nodes(at)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> LocalStore:
    return LocalStore(str(tmp_path_factory.mktemp("store")))


def identity(node: Node, store: LocalStore) -> Ledger:
    """What a driver knows of the node, its sources digested."""
    state = Ledger(build([node]), store)
    digest_sources(state, lambda: None)
    return state


@pytest.mark.parametrize("kind", NODES)
def test_a_changed_field_changes_the_name_unless_it_is_runtime(kind, at, made, store):
    node = made[kind]
    before = identity(node, store).fingerprint(node)
    roles = {field.name: field.metadata.get("role") for field in dataclasses.fields(node)}
    drawn = catalogue.changes(node, at, random.Random(f"{kind} 1"))
    for _, (name, changed) in zip(range(-(-CHANGES // len(NODES))), drawn, strict=False):
        try:
            state = identity(changed, store)
            found = state.fingerprint(changed)
        except SourceError:  # the file is of a format that it does not read
            continue
        if roles[name] == "runtime":
            # `trust` says how files are told apart, so it may change what stands for them
            assert found == before or name == "trust", f"{kind}.{name} is runtime and changed the name"
        elif roles[name] == "sources":
            assert (found == before) == (sources(state, changed) == sources(identity(node, store), node)), (
                f"{kind}.{name}: {getattr(changed, name)}"
            )
        else:
            assert found != before, f"{kind}.{name}: {getattr(node, name)!r} -> {getattr(changed, name)!r}"


def sources(state: Ledger, node: Node) -> list[tuple[str, ...]]:
    return [tuple(source.digest for source in group) for group in state.sources(node).values()]


@pytest.mark.parametrize("kind", NODES)
def test_every_library_that_decides_bytes_is_in_the_identity_or_in_the_code(kind, made):
    """By the imports of the code behind a node: one that the tables below do not know is a decision to make."""
    node = made[kind]
    drift.look_again()
    behind = drift.code_of(node).libraries.keys() - {"python"}
    assert behind <= RULES | EXECUTES, f"is what {behind - RULES - EXECUTES} makes its own rule, or what we told it?"
    declared = {name.lower() for each in (node, *variants(kind, made)) for name in each.libraries}
    missing = {name for name in behind & RULES if name.lower() not in declared and (kind, name) not in NOT_USED}
    assert not missing, f"{kind}.libraries lacks {missing}, which its code imports"


# What comes out is the library's to say, and another release may say otherwise: part of the identity.
RULES = {
    "fasttext-community", "tokenizers", "kitoken", "transformers", "datasketch", "trafilatura", "Resiliparse",
    "charset-normalizer", "datatrove", "FastWARC", "uniseg", "langdetect", "lm_eval", "sacrebleu",
}  # fmt: skip
# They do the arithmetic that our code spells out, and write the files: compared for drift.
EXECUTES = {
    "numpy", "pyarrow", "numba", "torch", "safetensors", "ahocorasick_rs", "fasttext-predict", "peft", "soundfile",
    "RapidFuzz", "datasets",
}  # fmt: skip
# An import that the node never comes to, or that decides none of its bytes.
NOT_USED = {
    ("read", "Resiliparse"): "where it decides, its release is in the mark of the file",
    ("read", "FastWARC"): "where it decides, its release is in the mark of the file",
    ("fasttext_model", "fasttext-community"): "copies the file, and opens it to see that it is a model",
    **{(kind, name): "knows `pretrain` by its class, and encodes nothing" for name in ("kitoken", "tokenizers")
       for kind in ("pretrain", "compare", "ablation", "export", "export_tokens")},
    **{(kind, "kitoken"): "asks transformers, which encodes by tokenizers"
       for kind in ("hf_quality", "embed", "judge", "generate", "likelihood", "posterior", "score_loss", "step_tree",
                    "dclm_eval")},
    ("generate", "charset-normalizer"): "makes a new base, and reads no file",
    ("step_tree", "charset-normalizer"): "makes a new base, and reads no file",
    ("haystack", "charset-normalizer"): "makes a new base, and reads no file",
    ("pairs", "charset-normalizer"): "makes a new base, and reads no file",
    **{(kind, name): "the library of its model is named where it has one, and a function has none"
       for kind in ("entail", "diverse") for name in ("kitoken", "tokenizers", "transformers")},
    ("kaft", "charset-normalizer"): "makes a new base, and reads no file",
    ("compact", "charset-normalizer"): "makes a new base, and reads no file",
    ("refinedweb_lines", "uniseg"): "counts runs between white space alone",
    ("length", "uniseg"): "counts runs between white space alone",
    **{(kind, "charset-normalizer"): "reads texts in UTF-8 alone"
       for kind in ("audio", "train_units", "units", "unit_distance")},
    **{("vocabulary", name): "writes numbers, and encodes nothing" for name in ("kitoken", "tokenizers")},
    **{(kind, name): "tries a stranger's tokenizer and template in a process of its own (`trial.py`), and keeps nothing"
       for kind in ("model_folder", "hf_model") for name in ("kitoken", "tokenizers", "transformers")},
    **{(kind, "transformers"): "renders a stranger's template in a process of its own (`trial.py`), and keeps nothing"
       for kind in ("needle", "tokenizer", "pack", "pack_samples", "vocabulary", "pretrain", "evaluate", "compare",
                    "export")},
    ("write", "charset-normalizer"): "takes names and a schema of the readers, and reads no file",
}  # fmt: skip


def variants(kind: str, made: dict[str, Node]) -> list[Node]:
    """The node again, where other fields take other libraries."""
    more = {
        "read": {"encoding": "detect"}, "extract": {"engine": "trafilatura"}, "minhash_dedup": {"similarity": 0.8},
        **{name: {"words": "datatrove"} for name in ("gopher_quality", "gopher_repetition", "fineweb_quality", "c4")},
        "language": {"detector": "langdetect"},
    }  # fmt: skip
    dclm = [{"words": "dclm"}] if kind in ("gopher_quality", "gopher_repetition") else []
    return [dataclasses.replace(made[kind], **fields) for fields in (*([more[kind]] if kind in more else []), *dclm)]


@pytest.mark.parametrize("kind", NODES)
def test_another_release_of_a_declared_library_is_another_node(kind, made, store, monkeypatch):
    release = metadata.version
    for node in (made[kind], *variants(kind, made)):
        before = identity(node, store)
        names = _names(before, node)
        for library in node.libraries:
            with monkeypatch.context() as other:
                other.setattr(
                    metadata, "version", lambda name, library=library: release(name) + ".1" * (name == library)
                )
                state = identity(node, store)
                now = _names(state, node)
            assert all(now[name] != value for name, value in names.items()), f"{kind}: {library}"


def _names(state: Ledger, node: Node) -> dict[str, str]:
    """The fingerprint of a node, the rules of its phases, and those of its scores over each base; without those that
    it has not.
    """
    names = {"fingerprint": state.fingerprint(node)}
    names |= {phase.name: state.rule(node, phase) for phase in state.graph.phases(node)}
    names |= {state.folder(base): state.score_rule(node, base) for base in state.graph.input_chains(node)}
    return {name: value for name, value in names.items() if value is not None}


def test_a_finished_node_is_told_of_another_version_and_gives_its_scores_to_none(made, tmp_path, monkeypatch):
    done = Here(made["tidy"], tmp_path)
    other = dataclasses.replace(made["tidy"], min_left_chars=2)

    def entry() -> Entry:
        return plan(build([done.target]), str(tmp_path)).entries[-1]

    def donors() -> list[str]:
        state = identity(other, done.store)
        return [folder for folder, _ in siblings(state, other)]

    assert (entry().action, entry().notices) == ("reuse", ())
    assert donors() == [done.state.folder(done.target)]
    release = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99.0" if name == "pyarrow" else release(name))
    told = f"pyarrow was {release('pyarrow')} and is 99.0 since it ran; raise `version` to run it again"
    assert (entry().action, entry().notices) == ("reuse", (told,))
    assert donors() == []


def test_the_plan_names_the_library_that_changed():
    before = {"kind": "pack", "version": 3, "fields": {}, "libraries": {"kitoken": "0.11.1", "tokenizers": "0.23.3"}}
    now = before | {"libraries": {"kitoken": "0.11.1", "tokenizers": "0.24.0"}}
    assert _changes(before, now) == ['tokenizers: "0.23.3" -> "0.24.0"']
