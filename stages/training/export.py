"""A trained model as a Hugging Face folder: it loads offline, and says in its card how it came to be."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.presets import Llama
from pipeline.contract import Context, Node, Result, TaskPhase, one
from pipeline.errors import RecipeError
from stages.training.card import model_card
from stages.training.lineage import sees_both_sides
from stages.training.special import special_ids, tokenizer_settings
from stages.training.vector_folder import SentencePooling, write_modules
from stages.wants import TrainedNode

if TYPE_CHECKING:
    import torch

    from models.llama import LlamaModel


Form = Literal["auto", "dense", "factors", "bidirectional", "merged", "adapter", "sentence_transformers"]


VECTORS = "sentence_transformers"


@dataclass(frozen=True, kw_only=True, eq=False)
class Export(Node):
    """Write `folder/all/`: `config.json`, `model.safetensors`, the tokenizer and a model card. Of a tokenizer
    that others have made, all its files as they were.

    model  a node that gives a model
    dtype  of the weights in the file
    form   "dense": a plain Llama, for a model that has an equal one (dense, SLTrain, LOST or low rank without an
           activation between the factors); "factors": LOST or low rank as they are, with a modelling file
           (`trust_remote_code`); "bidirectional": an encoder with a head for masked tokens, loaded without foreign
           code, for a model that was trained last to see both sides; "merged": an adapter folded into its model, which
           is dense then; "adapter": an adapter alone, for `PeftModel.from_pretrained` beside the folder of its base;
           "sentence_transformers": a folder for `SentenceTransformer(FOLDER)`, whose vectors are those of `embed`;
           "auto": bidirectional for a model that sees both sides, else dense or merged wherever that is exact
    pooling  of the form "sentence_transformers", as of `embed`; such a folder holds no template, instruction or echo
    """

    model: TrainedNode
    form: Form = "auto"
    dtype: Literal["fp32", "bf16"] = "fp32"
    pooling: SentencePooling = "mean"

    version = 2
    gives = "model folder"

    def check(self) -> None:
        if self.pooling != "mean" and self.form != VECTORS:
            raise RecipeError("export.pooling", f"{self.pooling} with form: {self.form}", f"form: {VECTORS}")
        config = getattr(self.model, "model", None)
        if not isinstance(config, Llama):
            return  # known when the model is: a folder of another's
        if self.form in ("merged", "adapter") or getattr(self.model, "adapter", None) is not None:
            config = plain_of(self.model, self.form)
        both = sees_both_sides(self.model)
        if both and self.form in ("dense", "factors"):
            raise RecipeError(
                "export.form", f"{self.form}, a causal model, for one that was trained last to see both sides",
                "bidirectional or auto", "or export the model before its last stage",
            )  # fmt: skip
        if self.form == "bidirectional" and not both:
            raise RecipeError(
                "export.form", "bidirectional, for a model that was trained last to see what stands before",
                "auto, or a last stage that sees both sides", "schedule a stage with collate: {mask_tokens: {}}",
            )  # fmt: skip
        if both and not config.merges:
            raise RecipeError(
                "export.model", f"a {type(config).__name__} with an activation between its factors, which no encoder "
                "of transformers equals", "a model that has an equal dense one", "train with activation: none",
            )  # fmt: skip
        if self.form in ("dense", VECTORS) and not config.merges:
            raise RecipeError(
                "export.form", f"{self.form}, for a {type(config).__name__} with an activation between its factors, "
                "which no dense Llama equals", "factors or auto", "set form: factors, or train with activation: none",
            )  # fmt: skip
        if self.form == "factors" and not config.factored:
            raise RecipeError("export.form", f"factors, for a {type(config).__name__}, which has none", "dense or auto")

    def phases(self):
        return (TaskPhase(name="folder", keys=one, run=self._export),)

    def _export(self, ctx: Context, key: str) -> Result:
        import tempfile

        import torch

        from stages.training.results import TrainedModel

        run = TrainedModel.of(ctx)
        special, form = special_ids(run, self.model), self.form
        if form in ("auto", VECTORS) and sees_both_sides(self.model):
            form = "bidirectional"
        elif form == VECTORS:
            form = "auto"
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            dtype = torch.float32 if self.dtype == "fp32" else torch.bfloat16
            model = run.load()
            form = write_folder(model, folder, form, dtype, special)
            shutil.copyfile(run.folder["tokenizer.json"], folder / "tokenizer.json")
            write_json(folder / "tokenizer_config.json", tokenizer_settings(run, self.model))
            for name in ctx.result("train", "all", of="model").facts.get("tokenizer_files", []):
                shutil.copyfile(ctx.path("train", "all", f"/{name}", of="model"), folder / name)
            if self.form == VECTORS:
                write_modules(folder, self.pooling, model.config.shape.hidden, run.config["length"])
                form = VECTORS
            elif form not in ("bidirectional", "adapter"):
                write_json(folder / "generation_config.json", special)
            card = model_card(self.model, run, form, self.dtype, ctx.fingerprint("model"))
            (folder / "README.md").write_text(card, encoding="utf-8")
            files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            for name in files:
                with ctx.create(f"/{name}") as path:
                    shutil.copyfile(folder / name, path)
        return Result(counts={"files": len(files)}, facts={"form": form, "files": files})

    def figures(self, ctx: Context):
        facts = ctx.result("folder", "all").facts
        yield {"kind": "text", "title": "Exported folder", "lines": [f"form: {facts['form']}", *facts["files"]]}


def write_folder(model: LlamaModel, folder: Path, form: Form, dtype: torch.dtype, special: dict[str, int]) -> str:
    """Write a model or its adapter, and return the form written."""
    assert form != VECTORS, "files beside one of the other forms"
    from models.adapter import adapter_of
    from models.convert import export
    from models.transfer import merge

    if form == "adapter":
        adapter = adapter_of(model)
        assert adapter is not None, "checked"
        adapter.write(model.to(dtype), folder)
        return form
    if model.adapter is None:
        assert form != "merged", "checked"
        return export(model, folder, form=form, dtype=dtype, special_ids=special)
    found = export(merge(model), folder, form="auto" if form == "merged" else form, dtype=dtype, special_ids=special)
    return "merged" if found == "dense" else found


def plain_of(node: Node, form: str) -> Llama:
    """The model that is exported of one with an adapter. Raises RecipeError for a form that it has not."""
    config, adapter = node.model, getattr(node, "adapter", None)  # type: ignore[attr-defined]
    if adapter is None:
        raise RecipeError("export.form", f"{form}, for a model that was trained itself", "auto, dense or factors")
    kind, plain = type(adapter).__name__, adapter.merged(config)
    if form == "adapter":
        if adapter.library is None:
            raise RecipeError("export.form", f"adapter, for a {kind}, which no library loads", ALONE)
        if config != config.dense:
            raise RecipeError(
                "export.form", f"adapter, for one beside a {type(config).__name__}, which no other library has",
                "merged, where the factors have no activation between them, or an adapter of a llama",
            )  # fmt: skip
        return config
    if plain is None:
        raise RecipeError(
            "export.model", f"a {type(config).__name__} with {kind}, which no plain model equals",
            "an adapter that merges, such as lora of a llama", "evaluate takes the model as it is",
        )  # fmt: skip
    return plain


ALONE = "one of lora, adalora, ia3 and norms"


def write_json(path: Path, values: dict) -> None:
    """Write a mapping with its keys in order, so that equal values are equal bytes."""
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
