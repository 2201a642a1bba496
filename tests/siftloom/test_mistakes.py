"""Mistakes that follow from the configurations are refused before anything runs, in a recipe and in Python alike."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import siftloom

import models as m
from pipeline.errors import RecipeError, SiftloomError
from pipeline.graph import build
from pipeline.recipe import parse
from pipeline.recipe.vocabulary import fields_of
from pipeline.recipe.write import _RecipeWriter, flow
from siftloom import Pipeline
from siftloom import stages as s
from siftloom.vocabulary import vocabulary
from stages.catalog import NODES, VALUES, load, load_value
from tests.stages.samples import sample

BASE = """name: mistakes
nodes:
  docs: {use: read, paths: [a.jsonl]}
  split: {use: split, docs: docs}
  tok: {use: tokenizer, docs: docs}
  rows: {use: pack, docs: docs, tokenizer: tok}
  other: {use: pack, docs: docs, tokenizer: {use: tokenizer, docs: docs, vocab_size: 512}}
  dense: {use: pretrain, rows: rows, model: {llama: 1m}}
  silu: {use: pretrain, rows: rows, model: {lost: 1m, rank: 8, density: 0.1}}
  eval: {use: evaluate, model: dense, docs: split}
"""

IN_A_RECIPE = [
    # a start of another shape, or of a kind that no rule leads from
    ("{use: pretrain, rows: rows, model: {llama: 60m}, start: dense}", "pretrain.start: a model of hidden"),
    ("{use: pretrain, rows: rows, model: {llama: 1m, layers: 1}, start: dense}", "layers 1, heads"),
    (
        "{use: pretrain, rows: rows, model: {llama: 1m, rope_theta: 5}, start: dense}",
        "rope_theta 10000.0; expected one",
    ),
    ("{use: pretrain, rows: rows, model: {llama: 1m}, start: silu}", "a Lost with an activation between its factors"),
    ("{use: pretrain, rows: rows, model: {sltrain: 1m, rank: 8, density: 0.1}, start: dense}", "which has no rule for"),
    (
        "{use: pretrain, rows: other, model: {llama: 1m}, start: dense}",
        "a tokenizer of 4096 entries; expected the ids of",
    ),
    (
        "{use: pretrain, rows: {rows: 1, other: 1}, model: {llama: 1m}}",
        "pretrain.rows[1]: the ids of a tokenizer of 512",
    ),
    (
        "{use: pretrain, rows: rows, model: {llama: 1m}, start: tok}",
        "start is a tokenizer node; expected a node that gives",
    ),
    # names of parameters
    (
        "{use: pretrain, rows: rows, model: {llama: 1m}, freeze: {by_name: {train: [W_s]}}}",
        "the pattern 'W_s', which matches no",
    ),
    (
        "{use: pretrain, rows: rows, model: {llama: 1m}, freeze: {by_name: {train: [head, q_prj]}}}",
        "layers.N.self_attn.q_proj.weight",
    ),
    (
        "{use: pretrain, rows: rows, model: {llama: 1m}, freeze: {by_name: {train: []}}}",
        "no pattern, so nothing to train",
    ),
    # a node of another kind
    ("{use: pack, docs: docs, tokenizer: docs}", "tokenizer is a read node; expected a node that gives a tokenizer"),
    (
        "{use: pack, docs: docs, tokenizer: tok, holdout: tok}",
        "holdout is a tokenizer node; expected a node that gives documents",
    ),
    ("{use: gopher_quality, docs: tok}", "docs is a tokenizer node; expected a node that gives documents"),
    ("{use: quality, docs: docs, model: dense}", "expected a node that gives a quality model, as train_quality or"),
    ("{use: perplexity, docs: docs, model: tok}", "expected a node that gives an n-gram model, as train_ngram"),
    ("{use: cluster, docs: docs, model: tok}", "expected a node that gives clusters, as train_clusters"),
    ("{use: train_quality, good: docs, bad: tok}", "bad is a tokenizer node; expected a node that gives documents"),
    ("{use: train_quality, good: docs, bad: docs}", "the same documents on both sides"),
    (
        "{use: generate, docs: docs, model: tok, prompt: '{text}'}",
        "expected a node that gives a model or a model folder",
    ),
    ("{use: evaluate, model: rows, docs: split}", "model is a pack node; expected a node that gives a model"),
    ("{use: export, model: eval}", "model is an evaluate node; expected a node that gives a model"),
    ("{use: compare, runs: [rows]}", "runs[0] is a pack node; expected a node that gives an evaluation or a model"),
    (
        "{use: ablation, runs: [dense], labels: [a, b]}",
        "runs[0] is a pretrain node; expected a node that gives an evaluation",
    ),
    ("{use: export_tokens, rows: docs}", "rows is a read node; expected a node that gives packed rows"),
    (
        "{use: pretrain, rows: rows, model: {low_rank: 1m, rank: 1}, match: {parameters_of: tok}}",
        "run is a tokenizer node",
    ),
    (
        "{use: cluster, weights: {one: 2.0}, docs: docs, model: tok}",
        "weights has the key 'one'; expected whole numbers as keys",
    ),
    # words and columns
    (
        "{use: embed, docs: docs, model: dense, device: gpu}",
        "device is 'gpu' (text); did you mean 'cpu'?; expected 'cpu' or 'cuda'",
    ),
    ("{use: gopher_quality, docs: docs, words: unicod}", "did you mean 'unicode'?"),
    ("{use: select, docs: docs, by: qualty, keep_fraction: 0.5}", "select.by: no column 'qualty'; expected one of"),
    ("{use: select, docs: docs, by: source, keep_fraction: 0.5}", "the text 'source' in 'source'; expected a number"),
    ("{use: language, docs: docs, keep: [zzz]}", "no language 'zzz' among those of the model"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "words"), IN_A_RECIPE)
def test_a_recipe_is_refused_before_anything_runs(node: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(f"{BASE}  wrong: {node}\n", vocabulary(), source="r.yaml").graph()
    assert str(caught.value).startswith("r.yaml:11:")
    assert words in str(caught.value)
    assert four_parts(caught.value)


def test_plan_and_run_end_with_2_and_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "tide"}\n')
    (tmp_path / "r.yaml").write_text(f"{BASE}  wrong: {IN_A_RECIPE[0][0]}\n")
    for command in ("plan", "run"):
        done = siftloom(command, "r.yaml", "--store", "runs", cwd=tmp_path, code=2)
        assert "r.yaml:11:" in done.stderr
        assert "pretrain.start" in done.stderr
        assert "Next: " in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_is_there_is_read_before_anything_runs(tmp_path: Path) -> None:
    known = {
        "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
        "rms_norm_eps": 1e-6, "vocab_size": 300, "max_position_embeddings": 64, "eos_token_id": 0,
    }  # fmt: skip
    rows = sample("pack")
    start = s.HfModel(paths=[tmp_path / "*"])
    for changes, words in (
        ({}, "pretrain.start: a model of hidden 96, inter 256, layers 2, heads 4, kv_heads 4; expected one of hidden"),
        ({"num_key_value_heads": 2}, "heads 4, kv_heads 2; expected one of hidden"),
        ({"num_key_value_heads": 3}, "config.json: num_key_value_heads 3; expected a divisor of 4 heads"),
        ({"vocab_size": None}, "no vocab_size"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(known | changes))
        with pytest.raises(RecipeError) as caught:
            build([s.Pretrain(rows=rows, model=m.Llama("1m"), start=start)])
        assert words in str(caught.value)
    (tmp_path / "config.json").write_text(json.dumps(known | {"vocab_size": 9000}))
    same = m.Llama("1m", hidden=96, inter=256, layers=2, heads=4)
    with pytest.raises(RecipeError, match="a vocabulary of 9,000; expected one of 4,096"):
        build([s.Pretrain(rows=rows, model=same, start=start)])
    (tmp_path / "config.json").write_text(json.dumps(known))
    build([s.Pretrain(rows=rows, model=same, start=start)])


def docs() -> s.Read:
    return s.Read(paths=["a.jsonl"])


def rows() -> s.Pack:
    return s.Pack(docs=docs(), tokenizer=s.Tokenizer(docs=docs()))


IN_PYTHON = [
    (lambda: s.GopherQuality(docs="docs"), "GopherQuality.docs: 'docs' (text); expected a node that gives documents"),
    (lambda: s.GopherQuality(docs=s.Read), "GopherQuality.docs: the class Read; expected a node that gives documents"),
    (lambda: s.GopherQuality(docs=None), "GopherQuality.docs: an empty value"),
    (lambda: s.GopherQuality(docs=[]), "GopherQuality.docs: []"),
    (lambda: s.GopherQuality(), "GopherQuality: no docs; expected a value for docs"),
    (lambda: s.GopherQuality(docs()), "GopherQuality: a read node without the name of a field"),
    (lambda: s.GopherQuality(docs=docs(), min_word=3), "no field 'min_word'; did you mean 'min_words'?"),
    (lambda: s.GopherQuality(docs=docs(), min_words="many"), "min_words: 'many' (text); expected a whole number"),
    (lambda: s.GopherQuality(docs=docs(), min_words=True), "GopherQuality.min_words: True; expected a whole number"),
    (lambda: s.GopherQuality(docs=docs(), min_words=-1), "GopherQuality.min_words: -1; expected at least 0"),
    (lambda: Pipeline([s.Language(docs=docs(), keep=["zzz"])]), "no language 'zzz' among those of the model"),
    (lambda: s.Language(docs=docs(), keep={"en": 2}), "Language.keep.en: 2; expected at least 0 and at most 1"),
    (
        lambda: s.Map(docs=docs(), fn=lambda text: text),
        "Map.fn: the function <lambda>; expected the name of a function",
    ),
    (lambda: s.Read(paths=[3]), "Read.paths[0]: 3; expected text"),
    (lambda: s.Read(paths=["\ud800"]), "expected text that UTF-8 can hold"),
    (
        lambda: s.Pack(docs=docs(), tokenizer=docs()),
        "Pack.tokenizer: a read node; expected a node that gives a tokenizer",
    ),
    (
        lambda: s.Pretrain(rows=rows(), model={"llama": "1m"}),
        "Pretrain.model: {'llama': '1m'}; expected a value of the",
    ),
    (lambda: s.Pretrain(rows=rows(), model="/x"), "Pretrain.model: '/x' (text); expected a value of the class Llama"),
    (lambda: s.Pretrain(rows=rows(), model=m.Llama), "Pretrain.model: the class Llama; expected a value of the class"),
    (lambda: s.Pretrain(rows=rows(), model=m.Llama("1m"), optimizer=m.Cosine()), "Pretrain.optimizer: Cosine("),
    (lambda: s.Pretrain(rows={docs(): 1}, model=m.Llama("1m")), "Pretrain.rows[0][0]: a read node"),
    (lambda: Pipeline([s.Pretrain(rows={}, model=m.Llama("1m"))]), "pretrain.rows: an empty mixture"),
    (lambda: Pipeline(3), "Pipeline.targets: 3; expected a list"),
    (lambda: Pipeline([docs()], names={"a": 3}), "Pipeline.names.a: 3; expected a node"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), IN_PYTHON)
def test_python_gets_the_message_of_a_recipe(make, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make()
    assert words in str(caught.value)
    assert four_parts(caught.value)


def test_what_python_means_is_taken() -> None:
    taken = s.Read(paths=[Path("a.jsonl")], limit=np.int64(3), shard_bytes=np.uint32(9))
    assert (taken.paths, taken.limit, type(taken.limit)) == (("a.jsonl",), 3, int)
    assert s.Read(paths=Path("a.jsonl")).paths == "a.jsonl"
    node = s.Split(docs=docs(), held_out=np.float32(0.5))
    assert (node.held_out, type(node.held_out)) == (0.5, float)
    assert type(s.Split(docs=docs(), held_out=0).held_out) is float
    assert s.Tidy(docs=docs(), urls=np.bool_(True)).urls is True
    assert s.Keyword(docs=docs(), terms=["a", "b"]).terms == ("a", "b")
    assert m.AdamW(betas=[0.9, np.float64(0.95)]).betas == (0.9, 0.95)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: m.AdamW(lr="fast"), "AdamW.lr: found 'fast', expected a number"),
        (lambda: m.AdamW(lrr=1.0), "AdamW: found 'lrr'; did you mean 'lr'?"),
        (lambda: m.Llama(), "Llama: found no size"),
        (lambda: m.Llama(3), "Llama.size: found 3, expected text"),
        (lambda: m.Lost("1m", rank="x", density=0.1), "Lost.rank: found 'x', expected a whole number"),
        (lambda: m.Cosine(warmup=None), "Cosine.warmup: found None, expected a number"),
    ],
)
def test_a_value_names_its_field(make, words: str) -> None:
    with pytest.raises(ValueError, match=r"found .*expected ") as caught:
        make()
    assert words in str(caught.value)


def four_parts(error: SiftloomError) -> bool:
    return all(getattr(error, part, "") for part in ("place", "found", "expected", "then"))


# every field of every kind, given what does not fit

SOME = ("name", "nodes", "docs", "tok", "rows", "dense")  # of the nodes above: names that a wrong value may hold


def endless() -> list:
    value: list = []
    value.append(value)
    return value


PLAIN = [
    None, True, False, -1, 0, 1, 3, 10**400, 1.5, -0.5, 1e308, "", " ", "zzz", "a/b", "1", "text", "{text}", [], [1],
    ["x"], ["x", "x"], [None], [[1, 2]], {}, {"a": 1}, {"zzz": {"a": [1]}}, {"r": 1}, {"lost": "1m", "rank": 3},
    {"llama": "1m"}, "docs", "tok", "rows", "dense", ["docs", "tok"], {"rows": 1.0}, {"use": "read"},
    {"use": "split", "docs": "docs"},
]  # fmt: skip


def wrong_in_python() -> list:
    deep: list = []
    for _ in range(900):
        deep = [deep]
    nodes = [docs(), s.Tokenizer(docs=docs()), rows(), sample("pretrain"), sample("evaluate"), sample("train_quality")]
    values = [m.Llama("1m"), m.AdamW(), m.Cosine(), m.LinUpper(), m.ByName(train=["x"]), load_value("stage")(until=1.0)]
    odd = [
        float("nan"), float("inf"), b"x", object(), len, lambda: 0, s.Read, m.Llama, Path("x"), np.int64(3),
        np.float32(0.5), np.bool_(True), np.arange(3), "\ud800", endless(), deep, {1: 2}, {None: 1}, {1, 2}, range(3),
        1j, Exception("x"),
    ]  # fmt: skip
    return [*PLAIN, *nodes, *[(node, node) for node in nodes], *[{node: 1.0} for node in nodes], *values, *odd]


def outcome(make: Callable[[], object], what: str) -> str:
    """Whether something was made, or refused with all that a message holds; else what was wrong with the refusal."""
    try:
        make()
    except SiftloomError as error:
        return "refused" if four_parts(error) else f"{what}: {error}"
    except ValueError as error:  # of a value of `models`, which knows no error of ours
        return "refused" if type(error) is ValueError and str(error) else f"{what}: {error!r}"
    except Exception as error:
        return f"{what}: {error!r}"
    return "made"


def test_no_value_in_python_leaves_as_a_bare_exception() -> None:
    draw, pool, seen = random.Random(0), wrong_in_python(), Counter[str]()
    for kind in NODES:
        whole = sample(kind)
        given = {field.name: getattr(whole, field.name) for field in fields_of(type(whole)).values()}
        build([whole])
        for field in fields_of(load(kind)).values():
            for value in draw.sample(pool, 12):
                fields = {**given, field.name: value}
                make = lambda kind=kind, fields=fields: build([load(kind)(**fields)])  # noqa: E731
                seen[outcome(make, f"{kind}.{field.name} = {value!r:.60}")] += 1
    assert set(seen) == {"made", "refused"}
    assert min(seen.values()) > 100


def test_no_value_of_a_value_leaves_as_a_bare_exception() -> None:
    draw, pool, seen = random.Random(1), wrong_in_python(), Counter[str]()
    whole = {"size": "1m", "rank": 8, "density": 0.1, "until": 1.0, "train": ("norm",), "run": sample("pretrain")}
    whole |= {"url": "http://x/v1", "model": "x", "inner": load_value("next_token")()}
    for kind in VALUES:
        cls = load_value(kind)
        names = [field.name for field in fields_of(cls).values()]
        for name in names:
            for value in draw.sample(pool, 25):
                fields = {key: one for key, one in whole.items() if key in names} | {name: value}
                seen[outcome(lambda cls=cls, fields=fields: cls(**fields), f"{kind}.{name} = {value!r:.60}")] += 1
    assert set(seen) == {"made", "refused"}
    assert min(seen.values()) > 100


@pytest.mark.long
def test_no_value_in_a_recipe_leaves_as_a_bare_exception() -> None:
    draw, known, seen = random.Random(2), vocabulary(), Counter[str]()
    base = "".join(line for line in BASE.splitlines(True) if line.split(":")[0].strip() in SOME)
    for kind in NODES:
        graph = build([sample(kind)])
        names = {node: f"{name}_" for node, name in graph.names.items()}
        for key in fields_of(load(kind)):
            for value in draw.sample(PLAIN, 4):
                *before, wrong = [(names[node], _RecipeWriter(names, known).node(node)) for node in graph.nodes]
                nodes = dict([*before, (wrong[0], {**wrong[1], key: value})])
                text = base + "".join(f"  {flow(name)}: {flow(node)}\n" for name, node in nodes.items())
                make = lambda text=text: parse(text, known, source="r.yaml").graph()  # noqa: E731
                seen[outcome(make, text.splitlines()[-1])] += 1
    assert set(seen) == {"made", "refused"}
    assert min(seen.values()) > 100
