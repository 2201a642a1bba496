"""What the configurations of a training tell of its model before anything runs, and what of that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.accounting import parameter_names
from models.hf_settings import llama_of
from models.presets import Llama
from models.starting import no_plain, no_way
from models.strange_files import json_of
from pipeline.contract import Node
from pipeline.errors import RecipeError
from stages.training.lineage import alike

MATERIALISE = (
    "model: {llama: ...}, which a LOST or low-rank model without an activation between its factors starts, too"
)
ONE_TOKENIZER = "pack the rows with the tokenizer of the model, or start from a draw"


def check_freeze(node: Any) -> None:
    """Raise RecipeError for a policy that names what the model of a `pretrain` has not."""
    if node.freeze is not None and (wrong := node.freeze.unfit(parameter_names(node.model))):
        raise RecipeError("pretrain.freeze", *wrong)


def check_adapter(node: Any) -> None:
    """Raise RecipeError for an adapter beside nothing that was trained, or of a model that it does not fit."""
    adapter = node.adapter
    if adapter is None:
        return
    kind = type(adapter).__name__
    if node.start is None:
        raise RecipeError(
            "pretrain.adapter", f"{kind} without a start: what stands still would be a random draw",
            "a node that gives a model in `start`", "start: a pretrain or hf_model node, or no adapter",
        )  # fmt: skip
    if node.freeze is not None:
        raise RecipeError("pretrain.freeze", f"a policy beside {kind}, which freezes the whole model", "one of the two")
    if wrong := adapter.unfit(node.model):
        found, expected = wrong
        raise RecipeError("pretrain.adapter", found, expected, MATERIALISE)
    if node.shard > 1 and not adapter.in_shards:
        raise RecipeError("pretrain.adapter", f"{kind} with shard {node.shard}", "shard: 1, or lora", "set shard: 1")
    if node.compile == "on" and not adapter.compiles:
        raise RecipeError("pretrain.compile", f"on, with a {kind} that torch does not compile", "off", "compile: off")
    if adapter.library is not None and find_spec(adapter.library) is None:
        raise RecipeError(
            "pretrain.adapter", f"{kind}, and the library {adapter.library} is not installed", adapter.library,
            f"pip install siftloom[{adapter.library}]",
        )  # fmt: skip


def check_mixture(packs: Sequence[Any]) -> None:
    """Raise RecipeError for packed rows of another length, or with other ids, than the first ones of a mixture."""
    for place, pack in enumerate(packs[1:], 1):
        if pack.length != packs[0].length:
            raise RecipeError(
                f"pretrain.rows[{place}]", f"rows of length {pack.length}", f"{packs[0].length}, as in the first",
                "pack all sources with one length",
            )  # fmt: skip
        if not alike(pack.tokenizer, packs[0].tokenizer):
            raise RecipeError(
                f"pretrain.rows[{place}]", f"{_said(pack.tokenizer)}", f"{_said(packs[0].tokenizer)}, as in the first",
                "pack all sources with one tokenizer: equal ids stand for other texts",
            )  # fmt: skip


def check_start(node: Any) -> None:
    """Raise RecipeError for a start that no rule makes the model of a `pretrain` from, or whose ids are others."""
    start = node.start
    if start is None and node.transform:
        raise RecipeError("pretrain.transform", "transforms of a draw", "a node that gives a model in `start`")
    if start is None or (trained := trained_by(start)) is None:
        return
    if node.feed is not None and any(one.measures for one in node.transform):
        raise RecipeError("pretrain.transform", "layers chosen by the rows of a stream", "packed rows, or layers: RUNS")
    for place, one in enumerate(node.transform):
        try:
            trained = one.config(trained)
        except ValueError as error:
            raise RecipeError(f"pretrain.transform[{place}]", f"{error}", "one that the start allows") from None
    if reason := no_way(trained, node.model):
        raise RecipeError("pretrain.start", *reason)
    ours, theirs = tokenizer_of(node), tokenizer_of(start)
    if added := added_tokens(node):
        _check_added(node, added, ours, theirs)
        return
    if ours is not None and theirs is not None and not alike(ours, theirs):
        raise RecipeError("pretrain.start", _said(theirs), f"{_said(ours)}, as the rows have", ONE_TOKENIZER)
    if ours is not None and theirs is None:
        words, most = (folder_settings(start) or {})["vocab_size"], getattr(ours, "entries", None)
        if most is not None and words > most:  # a small corpus may give fewer than were asked for
            found = f"a model with a vocabulary of {words:,}"
            raise RecipeError("pretrain.start", found, f"one of {most:,}, as the rows have", ONE_TOKENIZER)


def added_tokens(node: Any) -> list[str]:
    """The special tokens that the transforms of a `pretrain` add, in the order of their ids."""
    return [name for one in node.transform for name in one.adds]


def _check_added(node: Any, added: list[str], ours: Any, theirs: Node | None) -> None:
    """Raise RecipeError where the tokenizer of the rows is not that of the start with these special tokens behind it,
    as far as the nodes tell.
    """
    if node.adapter is not None:
        raise RecipeError(
            "pretrain.transform", f"add_tokens beside {type(node.adapter).__name__}, which trains no row of a token",
            "one of the two", "train the new rows first, and start the adapter from that",
        )  # fmt: skip
    known, extends = getattr(ours, "reserved", None), getattr(ours, "extends", None)
    wanted = f"a tokenizer with `extends`, and specials: [{', '.join(added)}]"
    if known is not None and (missing := [name for name in added if name not in known]):
        raise RecipeError("pretrain.transform", f"no {missing[0]} in the tokenizer of the rows", wanted)
    if extends is not None and (list(ours.specials) != added or (theirs is not None and not alike(extends, theirs))):
        raise RecipeError(
            "pretrain.transform", f"the tokens {', '.join(added)}, and rows of {_said(ours)}, which extends "
            f"{_said(extends)}", "the tokens that the rows' tokenizer adds to that of the start",
        )  # fmt: skip


def trained_by(node: Node) -> Llama | None:
    """The model that a node gives, as far as anything tells it before the node has run."""
    config, adapter = getattr(node, "model", None), getattr(node, "adapter", None)
    if isinstance(config, Llama) and adapter is not None:
        if (plain := adapter.merged(config)) is None:
            raise RecipeError("pretrain.start", *no_plain(adapter, config))
        return plain
    if isinstance(config, Llama):
        return config
    settings = folder_settings(node)
    return None if settings is None else checked_llama(settings)


def checked_llama(settings: dict[str, Any]) -> Llama:
    """The Llama of a `config.json`. Raises RecipeError for another model."""
    try:
        return llama_of(settings)
    except (ValueError, TypeError, AttributeError) as error:
        raise RecipeError("hf_model.paths", f"{error}", "a dense Llama that has no biases") from None


def folder_settings(node: Node) -> dict[str, Any] | None:
    """The `config.json` among the local files of an `hf_model`, where one can be read now."""
    given = getattr(node, "paths", ())
    found: set[str] = set()
    for path in (given,) if isinstance(given, str) else given:
        if "://" not in path:
            found |= {name for name in (path, *glob(path), f"{path}/config.json") if Path(name).name == "config.json"}
    files = [Path(name) for name in sorted(found) if Path(name).is_file()]
    if len(files) != 1:
        return None
    try:
        return json_of(files[0])
    except (OSError, ValueError) as error:
        raise RecipeError("hf_model.paths", f"{error}", "the settings of a dense Llama") from None


def tokenizer_of(node: Node) -> Node | None:
    """The tokenizer node of what a training reads."""
    if (given := getattr(node, "tokenizer", None)) is not None:
        return given
    mixture = getattr(node, "mixture", ())
    return getattr(mixture[0][0], "tokenizer", None) if mixture else None


def _said(tokenizer: Any) -> str:
    specials = ", ".join(getattr(tokenizer, "specials", ()))
    more = f" and the special tokens {specials}" if specials else ""
    return f"the ids of a tokenizer of {getattr(tokenizer, 'entries', None) or '?'} entries{more}"
