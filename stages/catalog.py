"""Every name a recipe may use, in one table each: nodes, and the values that stand in their fields.

A name maps to "module:Class"; nothing is imported before it is asked for, so reading a recipe costs nothing.
A node of your own needs no line here: `map` calls a function of yours, and `use: module:Class` takes any node.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import models
from pipeline.errors import RecipeError

NODES = {
    "read": "stages.read.read:Read",
    "language": "stages.clean.language:Language",
    "gopher_quality": "stages.clean.gopher_quality:GopherQuality",
    "gopher_repetition": "stages.clean.gopher_repetition:GopherRepetition",
    "c4": "stages.clean.c4:C4",
    "fineweb_quality": "stages.clean.fineweb_quality:FinewebQuality",
    "refinedweb_lines": "stages.clean.refinedweb_lines:RefinedwebLines",
    "signals": "stages.clean.signals:Signals",
    "url": "stages.clean.url:Url",
    "pii": "stages.clean.pii:Pii",
    "garbled": "stages.clean.garbled:Garbled",
    "code": "stages.clean.code:Code",
    "keyword": "stages.clean.keyword:Keyword",
    "safety": "stages.clean.safety:Safety",
    "tidy": "stages.clean.tidy:Tidy",
    "length": "stages.clean.length:Length",
    "patterns": "stages.clean.patterns:Patterns",
    "line_patterns": "stages.clean.line_patterns:LinePatterns",
    "within_page_dedup": "stages.clean.within_page_dedup:WithinPageDedup",
    "exact_dedup": "stages.dedup.exact:ExactDedup",
    "minhash_dedup": "stages.dedup.minhash:MinHashDedup",
    "url_dedup": "stages.dedup.urls:UrlDedup",
    "line_dedup": "stages.lines.line_dedup:LineDedup",
    "substring_dedup": "stages.substrings.substring_dedup:SubstringDedup",
    "decontaminate": "stages.decontaminate.decontaminate:Decontaminate",
    "split": "stages.split:Split",
    "measure": "stages.measure:Measure",
    "halves": "stages.halves:Halves",
    "train_quality": "stages.quality.train:TrainQuality",
    "fasttext_model": "stages.quality.fasttext_model:FasttextModel",
    "quality": "stages.quality.score:Quality",
    "ensemble": "stages.quality.ensemble:Ensemble",
    "train_ngram": "stages.quality.perplexity:TrainNgram",
    "perplexity": "stages.quality.perplexity:Perplexity",
    "train_classifier": "stages.quality.classify:TrainClassifier",
    "classify": "stages.quality.classify:Classify",
    "coherence": "stages.quality.coherence:Coherence",
    "hf_quality": "stages.quality.hf_quality:HfQuality",
    "train_head": "stages.quality.head:TrainHead",
    "head": "stages.quality.head:Head",
    "generate": "stages.generate.generate:Generate",
    "model_folder": "stages.generate.model_folder:ModelFolder",
    "embed": "stages.generate.embed:Embed",
    "retrieval": "stages.generate.retrieval:Retrieval",
    "cosine_similarity": "stages.generate.cosine_similarity:CosineSimilarity",
    "similarity": "stages.generate.similarity:Similarity",
    "train_clusters": "stages.generate.train_clusters:TrainClusters",
    "cluster": "stages.generate.cluster:Cluster",
    "semantic_dedup": "stages.generate.semantic_dedup:SemanticDedup",
    "judge": "stages.generate.judge:Judge",
    "audio": "stages.speech.audio:Audio",
    "train_units": "stages.speech.train_units:TrainUnits",
    "units": "stages.speech.units:SpeechUnits",
    "unit_distance": "stages.speech.unit_distance:UnitDistance",
    "haystack": "stages.needle.haystack:Haystack",
    "needle": "stages.needle.needle:Needle",
    "kaft": "stages.teaching.kaft:Kaft",
    "exact_match": "stages.teaching.exact_match:ExactMatch",
    "exemplars": "stages.translation.exemplars:Exemplars",
    "translation_checks": "stages.translation.translation_checks:TranslationChecks",
    "chrf": "stages.translation.chrf:Chrf",
    "calibrate": "stages.rewards.calibrate:Calibrate",
    "transform_reward": "stages.rewards.transform_reward:TransformReward",
    "win_rate": "stages.rewards.win_rate:WinRate",
    "dclm_eval": "stages.in_context.dclm_eval:DclmEval",
    "equal_kl": "stages.rewards.equal_kl:EqualKl",
    "pairs": "stages.distillation.pairs:Pairs",
    "critics": "stages.distillation.critics:Critics",
    "entail": "stages.distillation.entail:Entail",
    "diverse": "stages.distillation.diverse:Diverse",
    "step_tree": "stages.tools.step_tree:StepTree",
    "call_match": "stages.tools.call_match:CallMatch",
    "select": "stages.select:Select",
    "outliers": "stages.outliers:Outliers",
    "tokenizer": "stages.tokens.tokenizer:Tokenizer",
    "pack": "stages.tokens.pack:Pack",
    "pack_samples": "stages.tokens.pack_samples:PackSamples",
    "vocabulary": "stages.tokens.vocabulary:NumberVocabulary",
    "export_tokens": "stages.tokens.export_tokens:ExportTokens",
    "pretrain": "stages.training.pretrain:Pretrain",
    "posterior": "stages.generate.posterior:Posterior",
    "likelihood": "stages.generate.likelihood:Likelihood",
    "score_loss": "stages.generate.score_loss:ScoreLoss",
    "loss_weights": "stages.training.loss_weights:LossWeights",
    "hf_model": "stages.training.hf_model:HfModel",
    "evaluate": "stages.training.evaluate:Evaluate",
    "compare": "stages.training.compare:Compare",
    "ablation": "stages.training.ablation:Ablation",
    "export": "stages.training.export:Export",
    "extract": "stages.extract.extract:Extract",
    "map": "stages.map:Map",
    "compact": "stages.compact:Compact",
    "write": "stages.write:Write",
}


def _places(values: Mapping[str, type]) -> dict[str, str]:
    return {name: f"{value.__module__}:{value.__qualname__}" for name, value in values.items()}


MODELS = _places(models.MODELS)
REWEIGHTING = _places(models.REWEIGHTS)
OPTIMISERS = _places(models.OPTIMISERS)
LR_SCHEDULES = _places(models.LR_SCHEDULES)
ADAPTERS = _places(models.ADAPTERS)
# the slots of a training, each a base class with one method: a new value is one file and one line here
OBJECTIVES = {
    "cross_entropy": "models.objective:CrossEntropy",
    "emo": "models.objectives.emo:Emo",
    "simpo": "models.objectives.preference:SimPO",
    "dpo": "models.objectives.preference:DPO",
    "pointwise": "models.objectives.pointwise:Pointwise",
    "contrastive": "models.objectives.contrastive:Contrastive",
    "gedi": "models.objectives.gedi:Gedi",
}
COLLATORS = {
    "next_token": "stages.training.collate:NextToken",
    "mask_tokens": "stages.training.mask_tokens:MaskTokens",
    "whole_texts": "stages.training.whole_texts:WholeTexts",
    "infill": "stages.training.infill:Infill",
    "growing_vocabulary": "stages.training.growing_vocabulary:GrowingVocabulary",
}
ORDERS = {
    "mixture": "stages.training.order:Mixture",
    "curriculum": "stages.training.curriculum:Curriculum",
    "by_prior": "stages.training.by_prior:ByPrior",
}
TRANSFORMS = {
    "add_tokens": "models.transforms:AddTokens",
    "rope_base": "models.transforms:RopeBase",
    "depth": "models.transforms:Depth",
}
FREEZE = {
    "by_name": "models.freeze:ByName",
    "half_tuning": "models.half_tuning:HalfTuning",
    "bit_fit": "models.half_tuning:BitFit",
}
LANGUAGE_MODELS = {"endpoint": "stages.generate.endpoint:Endpoint"}
MATCH = {"parameters_of": "stages.training.match:ParametersOf", "flops_of": "stages.training.match:FlopsOf"}
STAGES = {"stage": "stages.training.stage:Stage"}
SAMPLES = {
    "answer": "stages.tokens.sample:Answer",
    "chat": "stages.tokens.chat:Chat",
    "preference": "stages.tokens.preference:Preference",
    "text_pairs": "stages.tokens.pairs:TextPairs",
    "classes": "stages.tokens.classes:Classes",
}
GUIDES = {"gedi_guide": "stages.generate.guide:GediGuide", "difference": "stages.generate.guide:Difference"}
REWARDS = {"tool_call": "stages.tools.reward:ToolCall"}
CHANGES = {"one_of": "stages.speech.changes:OneOf"}
FRAMES = {"log_mel": "stages.speech.frames:LogMel"}
FEEDS = {"stream": "stages.training.stream:RowStream"}
VALUES = {
    **LANGUAGE_MODELS, **MODELS, **REWEIGHTING, **OPTIMISERS, **LR_SCHEDULES, **OBJECTIVES, **COLLATORS, **ORDERS,
    **FREEZE, **ADAPTERS, **STAGES, **MATCH, **FEEDS, **SAMPLES, **TRANSFORMS, **GUIDES, **REWARDS, **CHANGES,
    **FRAMES,
}  # fmt: skip


def load(name: str) -> type:
    """The class behind a node's recipe name; `RecipeError` names the nearest one."""
    return _load(name, NODES, "node")


def load_value(name: str) -> type:
    """The class behind the name of a value: a model, a reweighting, an objective and the like."""
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
