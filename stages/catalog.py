"""Every name a recipe may use, in one table each: nodes, and the values that stand in their fields.

A name maps to "module:Class"; nothing is imported before it is asked for, so reading a recipe costs nothing.
A node of your own needs no line here: `map` calls a function of yours, and the Python API takes any `Node`.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from pipeline.errors import RecipeError

NODES = {
    "read": "stages.read.read:Read",
    "language": "stages.clean.language:Language",
    "gopher_quality": "stages.clean.gopher_quality:GopherQuality",
    "gopher_repetition": "stages.clean.gopher_repetition:GopherRepetition",
    "exact_dedup": "stages.dedup.exact:ExactDedup",
    "minhash_dedup": "stages.dedup.minhash:MinHashDedup",
    "url_dedup": "stages.dedup.urls:UrlDedup",
    "line_dedup": "stages.dedup.lines:LineDedup",
    "decontaminate": "stages.dedup.decontaminate:Decontaminate",
    "split": "stages.split:Split",
    "train_quality": "stages.quality.train:TrainQuality",
    "quality": "stages.quality.score:Quality",
    "ensemble": "stages.quality.ensemble:Ensemble",
    "train_ngram": "stages.quality.perplexity:TrainNgram",
    "perplexity": "stages.quality.perplexity:Perplexity",
    "train_classifier": "stages.quality.classify:TrainClassifier",
    "classify": "stages.quality.classify:Classify",
    "hf_quality": "stages.quality.hf_quality:HfQuality",
    "train_head": "stages.quality.head:TrainHead",
    "head": "stages.quality.head:Head",
    "generate": "stages.generate.generate:Generate",
    "model_folder": "stages.generate.model_folder:ModelFolder",
    "embed": "stages.generate.embed:Embed",
    "train_clusters": "stages.generate.train_clusters:TrainClusters",
    "cluster": "stages.generate.cluster:Cluster",
    "judge": "stages.generate.judge:Judge",
    "select": "stages.select:Select",
    "tokenizer": "stages.tokens.tokenizer:Tokenizer",
    "pack": "stages.tokens.pack:Pack",
    "pretrain": "stages.training.pretrain:Pretrain",
    "evaluate": "stages.training.evaluate:Evaluate",
    "compare": "stages.training.compare:Compare",
    "export": "stages.training.export:Export",
    "map": "stages.map:Map",
    "compact": "stages.compact:Compact",
    "write": "stages.write:Write",
}

MODELS = {
    "llama": "models.presets:Llama",
    "lost": "models.presets:Lost",
    "low_rank": "models.presets:LowRank",
    "sltrain": "models.presets:SLTrain",
}
REWEIGHTING = {
    "uniform": "models.reweight_config:Uniform",
    "lin_upper": "models.reweight_config:LinUpper",
    "quadratic": "models.reweight_config:Quadratic",
    "extremes": "models.reweight_config:Extremes",
}
OPTIMISERS = {"adamw": "models.optim_config:AdamW"}
SCHEDULES = {
    "cosine": "models.optim_config:Cosine",
    "wsd": "models.optim_config:WSD",
    "linear": "models.optim_config:Linear",
}
LANGUAGE_MODELS = {"endpoint": "stages.generate.endpoint:Endpoint"}
VALUES = {**LANGUAGE_MODELS, **MODELS, **REWEIGHTING, **OPTIMISERS, **SCHEDULES}


def load(name: str) -> type:
    """The class behind a node's recipe name; `RecipeError` names the nearest one."""
    return _load(name, NODES, "node")


def load_value(name: str) -> type:
    """The class behind the name of a model, a reweighting, an optimiser or a schedule."""
    return _load(name, VALUES, "value")


def _load(name: str, table: dict[str, str], what: str) -> Any:
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        raise RecipeError(
            f"use: {name}",
            f"no {what} of this name",
            f"{near[0]!r}?" if near else "one of " + ", ".join(sorted(table)),
        )
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)
