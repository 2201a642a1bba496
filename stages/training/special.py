"""What a folder says of its special tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.contract import Node
from stages.tokens.chat import template_of
from stages.tokens.definition import Definition
from stages.training.lineage import sees_both_sides

if TYPE_CHECKING:
    from stages.training.results import TrainedModel


def special_ids(run: TrainedModel, model: Node) -> dict[str, int]:
    """What `config.json` says of special tokens."""
    end = run.config["end_id"]
    found = {"bos_token_id": run.begin_id, "eos_token_id": end}
    if sees_both_sides(model):
        found["pad_token_id"] = end
        if (mask := mask_of(model)) is not None:
            found["mask_token_id"] = _definition(run).special[mask]
    return found


def mask_of(model: Node) -> str | None:
    """The special token that hides, of a model that sees both sides."""
    return getattr(getattr(model, "ends_with", None), "mask", None)


def token_name(run: TrainedModel, number: int) -> str:
    """The text of a special token."""
    name = _definition(run).name(number)
    assert name is not None, "an id of the model's own settings"
    return name


def _definition(run: TrainedModel) -> Definition:
    return Definition(run.folder["tokenizer.json"].read_text(encoding="utf-8"))


def tokenizer_settings(run: TrainedModel, model: Node) -> dict:
    """The content of `tokenizer_config.json`."""
    mask, end = mask_of(model), token_name(run, run.config["end_id"])
    return {
        **({"pad_token": end} if sees_both_sides(model) else {}),
        **({} if mask is None else {"mask_token": mask}),
        **template_of(model),
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token_name(run, run.begin_id),
        "eos_token": end,
        "model_max_length": run.config["length"],
        "clean_up_tokenization_spaces": False,
    }
