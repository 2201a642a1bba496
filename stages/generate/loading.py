"""From a field of a node to a language model in a worker: a trained model, an exported one, a folder, an endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from models.adapter import Adapter
from models.presets import Llama
from models.starting import no_plain
from pipeline.contract import ONE, Context, Node, Of
from pipeline.errors import DataError, RecipeError
from stages.generate.endpoint import Endpoint
from stages.generate.lm import LM
from stages.strangers import check_finite
from stages.training.lineage import sees_both_sides
from stages.training.planned_model import folder_settings

MODEL, FOLDER = "model", "model folder"  # what a node gives that can be asked: a model of ours, or a folder of one
Model = Node | Endpoint
Backend = Literal["transformers", "vllm"]  # what runs a model that is loaded here


def check_model(model: Model, place: str, backend: Backend = "transformers", *, writes: bool = True) -> None:
    """Raise `RecipeError` unless the value is a model that `open_model` knows; with `writes` it must be one that reads
    from left to right, which writing and likelihoods take.
    """
    if isinstance(model, Endpoint) and backend == "vllm":
        raise RecipeError(
            place, "an endpoint, and `backend: vllm`, which loads a model here", "one of the two",
            "leave `backend` out: a vLLM server is an endpoint",
        )  # fmt: skip
    if not isinstance(model, Endpoint) and model.gives not in (MODEL, FOLDER):
        expected = "a pretrain, hf_model, export or model_folder node, or {endpoint: {url: ..., model: ...}}"
        raise RecipeError(place, f"a {model.kind()} node", expected)
    adapter, config = getattr(model, "adapter", None), getattr(model, "model", None)
    if isinstance(adapter, Adapter) and isinstance(config, Llama) and adapter.merged(config) is None:
        raise RecipeError(place, *no_plain(adapter, config), "evaluate takes the model as it is")
    if writes and isinstance(model, Node) and sees_both_sides(model):
        raise RecipeError(place, "a model that was trained last to see both sides", "a causal model")


def width_of(model: Model) -> int | None:
    """The width of its vectors, where the configuration tells it before anything has run."""
    if isinstance(model, Endpoint):
        return None
    trained = getattr(model, "model", None) if model.gives == FOLDER else model
    if not isinstance(trained, Node):
        return None
    config = trained.model if isinstance(getattr(trained, "model", None), Llama) else None  # type: ignore[attr-defined]
    if config is not None:
        return config.shape.hidden
    return (folder_settings(trained) or {}).get("hidden_size")


def promises(model: Model, backend: Backend) -> bool:
    """Return whether the model answers equally each time."""
    return not isinstance(model, Endpoint) and backend == "transformers"


def libraries_of(model: Model, backend: Backend = "transformers") -> tuple[str, ...]:
    """Libraries whose versions are in the identity of a node that asks the model; none where it promises nothing."""
    return ("transformers", "tokenizers") if promises(model, backend) else ()


def open_model(
    ctx: Context, field: Of, batch_rows: int, device: str = "cpu", *,
    backend: Backend = "transformers", window: int | None = None, token_budget: int | None = None,
) -> LM:  # fmt: skip
    """Load the model behind a field of the task's node; for `load` and `open` of a phase, once per worker.

    `window`: tokens that a model which is loaded here is shown at once when it scores, if fewer than it can see.
    `token_budget`: that an endpoint may use, if there is a limit; see `EndpointLM`.

    Raises `UserError` where a library is missing, `DataError` for a folder that does not load.
    """
    given = getattr(ctx.node, field) if isinstance(field, str) else None
    if isinstance(given, Endpoint):
        from stages.generate.endpoint import EndpointLM

        return EndpointLM(given, token_budget)
    folder = model_files(ctx, field)
    # What we write brings our own modelling file; that of another folder is run only when its node says so.
    trusted = bool(getattr(ctx.input(field), "trust_code", True))
    if backend == "vllm":
        from stages.generate.vllm_folder import VllmLM

        return VllmLM(folder, batch_rows=batch_rows, device=device, trust_code=trusted)
    from stages.generate.folder import FolderLM

    return FolderLM(folder, batch_rows=batch_rows, device=device, trust_code=trusted, window=window)


def model_files(ctx: Context, field: Of) -> Path:
    """One folder with the files of the model behind a field, for as long as the process lives."""
    node = ctx.input(field)
    folder = ctx.temporary()  # a store may keep every object in a place of its own; transformers wants one folder
    if node.gives == MODEL:
        _export(ctx, field, folder)
    else:
        [phase] = [phase.name for phase in node.phases()]
        for name in ctx.result(phase, ONE[0], of=field).facts["files"]:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(ctx.path(phase, ONE[0], f"/{name}", of=field))
    return folder


def open_classifier(ctx: Context, field: Of, device: str, expected: str) -> tuple[Any, Any]:
    """The tokenizer of a folder and its model with a classification head, as transformers loads them; texts of a batch
    can be filled up. Code of the folder runs only where its node says so.

    Raises `DataError`, which says that the head of such a kind was `expected`.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = model_files(ctx, field)
    options: dict[str, Any] = {
        "trust_remote_code": bool(getattr(ctx.input(field), "trust_code", False)), "local_files_only": True
    }  # fmt: skip
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, **options)
        model = model.to(device).eval()
    except Exception as error:  # transformers raises whatever its parts raise
        raise DataError(f"{ctx.node.kind()}.{field}", f"the model does not load ({error})", expected) from error
    check_finite(f"{ctx.node.kind()}.{field}", model.named_parameters())
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model


def _export(ctx: Context, field: Of, folder: Path) -> None:
    """A trained model, written as `export` would write it."""
    import shutil

    import torch

    from stages.training.export import write_folder, write_json
    from stages.training.results import TrainedModel
    from stages.training.special import special_ids, tokenizer_settings

    run, node = TrainedModel.of(ctx, field), ctx.input(field)
    form = "bidirectional" if sees_both_sides(node) else "auto"
    write_folder(run.load(), folder, form, torch.float32, special_ids(run, node))  # an adapter folded into its model
    shutil.copyfile(run.folder["tokenizer.json"], folder / "tokenizer.json")
    settings = tokenizer_settings(run, node)
    # of a model from elsewhere, how it talks; the rest of its files says what ours say
    for name in ctx.result("train", "all", of=field).facts.get("tokenizer_files", []):
        path = ctx.path("train", "all", f"/{name}", of=field)
        if name == "tokenizer_config.json":
            given = json.loads(path.read_text(encoding="utf-8"))
            settings |= {"chat_template": given["chat_template"]} if "chat_template" in given else {}
        elif name.startswith("chat_template"):
            shutil.copyfile(path, folder / name)
    write_json(folder / "tokenizer_config.json", settings)
