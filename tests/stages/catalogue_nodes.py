"""A small valid node of every kind in the catalogue, over real files, and ways to change one field of it."""

from __future__ import annotations

import dataclasses
import json
import random
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import models as m
from pipeline.contract import Node
from pipeline.errors import RecipeError, SiftloomError
from pipeline.graph import build
from pipeline.recipe.vocabulary import fields_of
from stages.catalog import (
    ADAPTERS,
    CHANGES,
    COLLATORS,
    FEEDS,
    FRAMES,
    FREEZE,
    GUIDES,
    LANGUAGE_MODELS,
    LR_SCHEDULES,
    MATCH,
    MODELS,
    NODES,
    OBJECTIVES,
    OPTIMISERS,
    ORDERS,
    REWARDS,
    REWEIGHTING,
    SAMPLES,
    STAGES,
    TRANSFORMS,
    load,
    load_value,
)  # fmt: skip

FUNCTIONS = """
def f(table):
    return {"chars": [len(text) for text in table["text"].to_pylist()]}

def g(table):
    return {"chars": [len(text) + 1 for text in table["text"].to_pylist()]}

def judge(premises, hypotheses):
    return [1.0 for _ in premises]

def other_judge(premises, hypotheses):
    return [0.9 for _ in premises]

def scores(table):
    sizes = [len(text) for text in table["text"].to_pylist()]
    parts = {"quality": [size % 97 / 97 for size in sizes], "topic": ["ab"[size % 2] for size in sizes]}
    losses = {"ref_loss": [size % 11 / 5 for size in sizes], "other_loss": [1.0] * len(sizes), "ref_tokens": sizes}
    return parts | losses
"""
TRIES = 20  # values for a field, until one is valid in a graph
TABLES = (
    MODELS, REWEIGHTING, OPTIMISERS, LR_SCHEDULES, OBJECTIVES, COLLATORS, ORDERS, FREEZE, ADAPTERS, STAGES, MATCH,
    FEEDS, LANGUAGE_MODELS, SAMPLES, TRANSFORMS, GUIDES, REWARDS, CHANGES, FRAMES,
)  # fmt: skip
# Values that the type alone does not allow.
WORDS = {
    "lang": ("en", "de"), "language": ("en", "de", "fr"), "device": ("cpu", "cuda"), "on_error": ("fail", "reason"),
    "encoding": ("latin-1", "cp1252", "detect"), "pattern": (r"(\d+)", r"([0-9])"), "prompt": ("{text}", "Say: {text}"),
    "by": ("chars", "vector", "quality"), "column": ("url", "source"), "where": ("chars > 3", "chars < 9"),
    "per": ("source", None), "domain": ("source", None), "fn": ("catalogue_rules:f", "catalogue_rules:g"), 
    "prompts": (("a",), ("b", "c")), "specials": (("<x>",), ("<y>", "<z>")), "columns": (("id",), ("id", "text")),
    "keep": (("en",), ("de",), ("en", "fr")), "reads": (("text",), ("id", "text")), "carry": ((), ("chars",)),
    "levels": ((7, 12), (3, 9, 15)), "label": ("topic", "source", "quality", "ref_loss"), "minus": (None, "other_loss"),
    "fields": ((), ("a",)),
    "writes": ({"chars": "int64"}, {"chars": "int32"}, {"size": "int64"}), "url": ("http://a/v1", "http://b/v1"),
    "removes": ((), ("short",), ("long",)), "params": ({}, {"a": 1}, {"a": 2.5}), "scores": ((), ("chars",)),
    "labels": (("a", "b"), ("b", "c")), "test_sources": ((), ("a.jsonl",)), "workers": (1, 2, (1, 2)),
    "metrics": (("jsonl",), ("jsonl", "tensorboard")), "weights": ({1: 0.5}, {1: 0.25}, {0: 0.5, 1: 1.0}),
    "drop": ((), (1,), (1, 2)), "stop": ((), ("x",)), "terms": (("word",), ("word", "other")),
    "patterns": (("word",), ("wo.d", "other")), "first_by": (None, "url"), "exclude": ((), ("b.jsonl",)),
    "value": ("quality", "ref_loss"), "lengths": ((64,), (64, 128)), "depths": ((0.0,), (0.5, 1.0)),
    "wanted": ("<a>", "<b>"), "expected": ("url", "source"), "boundaries": (("(", ", "), (".",)),
    "clean": ("units", "other"), "changed": ("units", "other"),
    "target": ("{text}", "{url}"), "answer": ("text", "url"), "messages": ("text", "url"),
}  # fmt: skip


LLAMA = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
    "rms_norm_eps": 1e-5, "vocab_size": 300, "max_position_embeddings": 64, "eos_token_id": 0,
}  # fmt: skip


def files(folder: Path) -> dict[str, str]:
    """Files that the nodes read, by name."""
    rows = [{"id": f"{n}", "text": f"the text {n} of a few words and more", "url": f"http://e.x/{n}"} for n in range(9)]
    content = {
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "b.jsonl": "".join(json.dumps(row) + "\n" for row in rows[:4]),
        "evals.jsonl": json.dumps({"text": "which words are in the evaluation " * 4}) + "\n",
        "a.wav": "a sound", "words.txt": "word\nother\n", "more.txt": "more\n", "model/config.json": json.dumps(LLAMA),
        "other/config.json": json.dumps({**LLAMA, "num_hidden_layers": 2}),
        "copa.jsonl": json.dumps({"query": "a", "choices": ["b"], "gold": 0}),
        "model.bin": "m", "other.bin": "o", "e2/evals.jsonl": json.dumps({"text": "another set " * 9}) + "\n",
        "catalogue_rules.py": FUNCTIONS,
    }  # fmt: skip
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in content}


def nodes(at: Mapping[str, str]) -> dict[str, Node]:
    """Kind -> a node of it."""

    def node(kind: str, **fields: Any) -> Any:
        made[kind] = load(kind)(**fields)
        return made[kind]

    made: dict[str, Node] = {}
    docs = node("read", paths=(at["a.jsonl"],), keep=("url",))
    chars = node("map", docs=docs, fn="catalogue_rules:f", writes={"chars": "int64"})
    scored = load("map")(docs=chars, fn="catalogue_rules:scores", writes={
        "quality": "float32", "topic": "string", "ref_loss": "float32", "other_loss": "float32", "ref_tokens": "int32",
    })  # fmt: skip
    for kind in ("language", "gopher_quality", "gopher_repetition", "c4", "fineweb_quality", "refinedweb_lines",
                 "signals", "pii", "garbled", "code", "tidy", "exact_dedup", "minhash_dedup", "url_dedup", "line_dedup",
                 "substring_dedup", "length", "within_page_dedup", "halves", "coherence", "compact", "write",
                 "extract"):  # fmt: skip
        node(kind, docs=docs)
    node("url", docs=docs, urls=(at["words.txt"],))
    node("keyword", docs=docs, terms=("word",))
    node("patterns", docs=docs, patterns=("word",))
    node("line_patterns", docs=docs, patterns=("word",))
    node("safety", docs=docs, violence=(at["words.txt"],))
    node("decontaminate", docs=docs, evals=(at["evals.jsonl"],))
    split = node("split", docs=scored)
    good = node("train_quality", good=docs, bad=chars)
    node("fasttext_model", path=at["model.bin"])
    node("quality", docs=docs, model=good)
    node("ensemble", docs=scored, columns=("quality", "ref_loss"), as_="both")
    node("perplexity", docs=docs, model=node("train_ngram", docs=docs))
    node("classify", docs=docs, model=node("train_classifier", docs=scored, label="topic"))
    folder = node("model_folder", paths=(at["model/config.json"],))
    node("hf_quality", docs=docs, model=folder)
    node("generate", docs=docs, model=folder, prompt="{text}")
    node("step_tree", docs=docs, model=folder, prompt="{text}", reward=load_value("tool_call")(expected="url"))
    node("call_match", docs=docs, expected="url")
    embedded = node("embed", docs=scored, model=folder, width=4)
    node("retrieval", queries=embedded, docs=embedded)
    node("cosine_similarity", docs=embedded, left="vector", right="vector")
    node("similarity", docs=embedded, left="vector", right="vector", gold="quality")
    node("head", docs=embedded, model=node("train_head", docs=embedded, label="quality"), as_="good")
    node("cluster", docs=embedded, model=node("train_clusters", docs=embedded, k=2), weights={1: 0.5})
    node("semantic_dedup", docs=embedded, model=made["train_clusters"])
    node("judge", docs=docs, model=folder)
    node("dclm_eval", model=folder, paths=(at["copa.jsonl"],), beside=(at["words.txt"],))
    node("likelihood", docs=docs, model=folder, prompt="{url}", target="{text}")
    node("measure", docs=scored, value="quality", by="topic")
    node("kaft", docs=docs, question="url", context="url", answer="url", type_="url")
    node("exact_match", docs=docs, expected="url")
    node("exemplars", docs=docs, bank=docs, lang="url", target="url")
    node("translation_checks", docs=docs, source="url", out_of="en", back="url")
    node("chrf", docs=docs, expected="url")
    ranked = node("calibrate", docs=scored, reward="quality", by="topic")
    node("transform_reward", docs=ranked, by="topic", kl=0.5)
    wins = node("win_rate", policy=scored, reference=scored, reward="quality", by="topic", nats=("ref_loss", "quality"))
    node("equal_kl", runs=(wins, dataclasses.replace(wins, seed=1)), labels=("a", "a"))
    pairs = node("pairs", docs=docs, by="url", carry=("url",))
    node("critics", docs=pairs)
    node("diverse", docs=node("entail", docs=pairs, fn="catalogue_rules:judge"), by="url", fn="catalogue_rules:judge")
    node("select", docs=scored, by="quality", keep_fraction=0.5)
    node("outliers", docs=scored, max={"quality": 0.9}, per="topic")
    tokenizer = node("tokenizer", docs=split, vocab_size=300)
    rows = node("pack", docs=split, tokenizer=tokenizer, length=16)
    node("pack_samples", docs=docs, tokenizer=tokenizer, length=16, sample=load_value("answer")(prompt="url"))
    node("export_tokens", rows=rows)
    sounds = node("audio", paths=(at["a.wav"],))
    units = node("units", docs=sounds, model=node("train_units", docs=sounds, k=4))
    node("unit_distance", docs=dataclasses.replace(units, docs=units, as_="other"), changed="other")
    node("vocabulary", size=4)
    train = node("pretrain", rows=rows, model=m.Llama("1m"), device="cpu", precision="fp32", steps=4, micro_batches=4)
    other = dataclasses.replace(train, seed=1)
    node("score_loss", docs=docs, proxies=folder)
    node("loss_weights", docs=scored)
    node("hf_model", paths=(at["model/config.json"],))
    node("evaluate", model=train, docs=split)
    node("haystack", docs=split)
    node("needle", model=train, docs=split, lengths=(64,))
    node("compare", runs=(train, other))
    node("ablation", runs=tuple(load("evaluate")(model=run, docs=split) for run in (train, other)), labels=("a", "b"))
    node("export", model=train)
    of_classes = load("pack_samples")(
        docs=scored, tokenizer=load("tokenizer")(docs=split, vocab_size=300, specials=("<a>", "<b>")), length=32,
        sample=load_value("classes")(label="topic", codes={"a": "<a>", "b": "<b>"}),
    )  # fmt: skip
    judge = dataclasses.replace(
        train, rows=of_classes, objective=load_value("gedi")(codes=("<a>", "<b>")), attend="document"
    )
    node("posterior", docs=docs, model=judge, wanted="<a>")
    assert made.keys() == NODES.keys(), made.keys() ^ NODES.keys()
    return made


def changes(node: Node, at: Mapping[str, str], draw: random.Random) -> Iterator[tuple[str, Node]]:
    """Nodes that differ from this one in one field, and the field's name, without an end; each is valid in a graph."""
    fields = [field.name for field in dataclasses.fields(node)]
    while True:
        name = draw.choice(fields)
        for _ in range(TRIES):
            try:
                changed = dataclasses.replace(node, **{name: other(node, name, at, draw)})
                if same(getattr(changed, name), getattr(node, name)):
                    continue
                build([changed])
            except (SiftloomError, ValueError, TypeError, AttributeError, LookupError):
                continue
            yield name, changed
            break


def role_of(value: Any, name: str) -> str | None:
    """The role of a field, such as `runtime`."""
    return next(field.metadata.get("role") for field in dataclasses.fields(value) if field.name == name)


def same(one: Any, two: Any) -> bool:
    """Whether two values are one configuration, as a user reads it."""
    if isinstance(one, Node) and isinstance(two, Node):
        return one is two
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def other(value: Any, name: str, at: Mapping[str, str], draw: random.Random) -> Any:
    """Another value for a field of a node or of a value in its fields."""
    now = getattr(value, name)
    role = role_of(value, name)
    if role == "sources":
        return draw.choice([(at[file],) for file in at] + [(at["words.txt"], at["more.txt"])])
    if role == "target":
        return draw.choice([str(Path(at["a.jsonl"]).parent / "to"), None])
    hint = typing.get_type_hints(type(value)).get(name, Any)
    literals = [word for each in alternatives(hint) for word in typing.get_args(each) if isinstance(word, str)]
    if isinstance(now, str) and literals:
        return draw.choice(literals)
    fit = [word for word in WORDS.get(name, ()) if now is None or word is None or type(word) is type(now)]
    if fit and draw.random() < 0.9:
        return draw.choice(fit)
    return changed_value(now, hint, at, draw)


def changed_value(now: Any, hint: Any, at: Mapping[str, str], draw: random.Random) -> Any:
    if isinstance(now, Node):
        # in a field that decides: one of the input that does not is no change of this node
        return next(node for name, node in changes(now, at, draw) if role_of(now, name) not in ("runtime", "sources"))
    if isinstance(now, tuple) and now and draw.random() < 0.7:
        place = draw.randrange(len(now))
        return (*now[:place], changed_value(now[place], Any, at, draw), *now[place + 1 :])
    if dataclasses.is_dataclass(now) and draw.random() < 0.6:
        inner = draw.choice([field.name for field in dataclasses.fields(now) if field.init])
        return dataclasses.replace(now, **{inner: other(now, inner, at, draw)})
    options = [*alternatives(hint)]
    for option in draw.sample(options, len(options)):
        if typing.get_origin(option) is typing.Literal:
            return draw.choice(typing.get_args(option))
        if option is type(None) and draw.random() < 0.3:
            return None
        if isinstance(option, type) and dataclasses.is_dataclass(option) and not issubclass(option, Node):
            return made_of(option, draw)
    if isinstance(now, bool) or bool in options:
        return not now
    if isinstance(now, int) or (now is None and int in options):
        return max(0, (now or 0) + draw.choice([-3, -1, 1, 2, 5, 16]))
    if isinstance(now, float) or (now is None and float in options):
        return draw.choice([0.25, 0.5, 0.75, (now or 1.0) * 0.5, (now or 0.0) + 1.0])
    if isinstance(now, str) or str in options:
        return draw.choice([f"{now or ''}x", "other"])
    raise RecipeError("a field", f"{now!r} of {hint}", "a value that can be changed")


def alternatives(hint: Any) -> Iterator[Any]:
    """The types that a hint allows, without bounds and unions."""
    if typing.get_origin(hint) is typing.Annotated:
        yield from alternatives(typing.get_args(hint)[0])
    elif typing.get_origin(hint) in (typing.Union, types.UnionType):
        for each in typing.get_args(hint):
            yield from alternatives(each)
    else:
        yield hint


def made_of(base: type, draw: random.Random) -> Any:
    """A value of a class, or of one below it, from the tables of the catalogue."""
    known = [load_value(name) for table in TABLES for name in table]
    chosen = draw.choice([cls for cls in known if isinstance(cls, type) and issubclass(cls, base)])
    required = {name: field for name, field in fields_of(chosen).items() if field.required}
    words = {"size": "1m", "url": "http://a/v1", "model": "m", "until": 0.5, "rank": 4, "r": 0.5}
    return chosen(**{field.name: words.get(field.name, 1) for field in required.values()})
