"""A small node of every kind of the catalogue, whose fields fit their types."""

from __future__ import annotations

import typing
from typing import Any

from models import Llama
from pipeline.construct import hint_of
from pipeline.contract import Gives
from pipeline.recipe.vocabulary import fields_of
from stages.catalog import load, load_value
from stages.read.read import Read

WIDE = {"a": "float32", "vector": "float32[4]", "url": "string", "ref_loss": "float32", "ref_tokens": "int32"}
NEEDS_MORE: dict[str, dict[str, Any]] = {  # what a graph asks of them beside what a type can say
    "url": {"domains": ("list.txt",)}, "patterns": {"patterns": ("a",)}, "line_patterns": {"patterns": ("a",)},
    "keyword": {"terms": ("a",)}, "safety": {"hate": ("list.txt",)},
    "train_classifier": {"label": "source"}, "train_head": {"label": "a"}, "generate": {"prompt": "{text}"},
    "select": {"where": "text == 'a'"}, "likelihood": {"prompt": "{source}", "target": "{text}"},
    "measure": {"value": "a"}, "outliers": {"max": {"a": 0.9}}, "exact_match": {"expected": "url"},
    "needle": {"lengths": (64,)}, "unit_distance": {"changed": "units"}, "train_units": {"k": 4},
    "vocabulary": {"size": 4}, "dclm_eval": {"paths": ("copa.jsonl",)},
    "kaft": {"question": "url", "context": "url", "answer": "url"}, "calibrate": {"reward": "a", "by": "id"},
    "transform_reward": {"u": "a", "by": "id", "kl": 0.5}, "win_rate": {"reward": "a", "by": "id"},
    "similarity": {"left": "vector", "right": "vector", "gold": "a"},
    "cosine_similarity": {"left": "vector", "right": "vector"},
    "equal_kl": {"labels": ("a", "a")}, "pairs": {"by": "url", "carry": ("url",)}, "critics": {"x": "url"},
    "entail": {"x": "url", "fn": "a:b"}, "diverse": {"by": "url", "fn": "a:b"},
    "step_tree": {"prompt": "{text}", "reward": load_value("tool_call")(expected="url")},
    "exemplars": {"lang": "source", "target": "source"}, "translation_checks": {"source": "url", "out_of": "en"},
    "call_match": {"expected": "url"}, "chrf": {"expected": "url"},
    "map": {"fn": "a:b", "removes": ("c",)}, "ablation": {"labels": ("a", "b")},
}  # fmt: skip
WIDER = (
    "url",
    "url_dedup",
    "ensemble",
    "train_head",
    "head",
    "train_clusters",
    "cluster",
    "loss_weights",
    "measure",
    "calibrate",
    "exact_match",
    "step_tree",
    "call_match",
    "pairs",
    "critics",
    "entail",
    "kaft",
    "translation_checks",
    "chrf",
    "transform_reward",
    "semantic_dedup",
    "similarity",
    "cosine_similarity",
    "outliers",
)


def sample(kind: str, **fields: Any) -> Any:
    """A node of this kind that a graph takes."""
    cls = load(kind)
    for name, value in NEEDS_MORE.get(kind, {}).items():
        fields.setdefault(name, value)
    if kind in WIDER and "docs" not in fields:
        fields["docs"] = load("map")(docs=Read(paths=["docs.jsonl"]), fn="a:b", writes=WIDE)
    if kind == "win_rate" and "policy" not in fields:
        fields["policy"] = fields["reference"] = load("map")(docs=Read(paths=["docs.jsonl"]), fn="a:b", writes=WIDE)
    if kind == "retrieval":
        docs = load("map")(docs=Read(paths=["docs.jsonl"]), fn="a:b", writes=WIDE)
        fields = {"queries": docs, "docs": docs, **fields}
    if kind in ("train_units", "units") and "docs" not in fields:
        fields["docs"] = sample("audio", paths=("a.wav",))
    if kind == "unit_distance" and "docs" not in fields:
        fields["docs"] = sample("units")
    if kind == "pack_samples" and "sample" not in fields:
        fields["sample"] = load_value("answer")(prompt="source", answer="text")
    if kind == "tokenizer" and "from_" not in fields:
        fields.setdefault("docs", Read(paths=["docs.jsonl"]))
    if kind == "evaluate" and "docs" not in fields:
        fields["docs"] = load("split")(docs=Read(paths=["docs.jsonl"]))
    if kind == "score_loss" and "proxies" not in fields:
        fields["proxies"] = sample("model_folder")
    if kind == "posterior":
        fields.setdefault("wanted", "<a>")
        if "model" not in fields:
            fields["model"] = sample("pretrain", objective=load_value("gedi")(codes=("<a>", "<b>")), rows=sample(
                "pack_samples", sample=load_value("classes")(label="source", codes={"a": "<a>", "b": "<b>"}),
                tokenizer=sample("tokenizer", specials=("<a>", "<b>")),
            ), attend="document")  # fmt: skip
    if kind == "diverse" and "docs" not in fields:
        fields["docs"] = sample("entail", docs=sample("pairs"), x="x")
    if kind == "equal_kl" and "runs" not in fields:
        fields["runs"] = (sample("win_rate", nats=("a", "a")), sample("win_rate", nats=("a", "a")))
    if kind in ("compare", "ablation") and "runs" not in fields:
        fields["runs"] = (sample("evaluate"), sample("evaluate"))
    for field in fields_of(cls).values():
        if field.required and field.name not in fields:
            fields[field.name] = fitting(kind, field)
    return cls(**fields)


def fitting(kind: str, field: Any) -> Any:
    """A value that a required field of this kind takes."""
    if (kind, field.name) == ("pretrain", "model"):
        return Llama("1m")
    if field.takes_node:
        wanted = next(wants(hint_of(load(kind), field.name)), None)
        node = sample(wanted.kinds[0]) if wanted and wanted.kinds else Read(paths=[f"{field.name}.jsonl"])
        return (node,) if typing.get_origin(field.hint) is tuple else node
    return 3 if field.hint is int else ("a",) if field.takes_list else "a"


def wants(hint: Any) -> typing.Iterator[Gives]:
    """What the nodes of a hint must give."""
    yield from (item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Gives))
    for argument in typing.get_args(hint):
        yield from wants(argument)
