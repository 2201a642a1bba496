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
from stages.tokens.chat import template_of
from stages.tokens.definition import Definition
from stages.training.lineage import lineage, sees_both_sides
from stages.wants import TrainedNode

if TYPE_CHECKING:
    import torch

    from models.llama import LlamaModel
    from stages.training.results import TrainedModel


Form = Literal["auto", "dense", "factors", "bidirectional", "merged", "adapter"]


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
           "auto": bidirectional for a model that sees both sides, else dense or merged wherever that is exact
    """

    model: TrainedNode
    form: Form = "auto"
    dtype: Literal["fp32", "bf16"] = "fp32"

    version = 2
    gives = "model folder"

    def check(self) -> None:
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
        if self.form == "dense" and not config.merges:
            raise RecipeError(
                "export.form", f"dense, for a {type(config).__name__} with an activation between its factors, which no "
                "dense Llama equals", "factors or auto", "set form: factors, or train with activation: none",
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
        if form == "auto" and sees_both_sides(self.model):
            form = "bidirectional"
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            dtype = torch.float32 if self.dtype == "fp32" else torch.bfloat16
            form = write_folder(run.load(), folder, form, dtype, special)
            shutil.copyfile(run.folder["tokenizer.json"], folder / "tokenizer.json")
            write_json(folder / "tokenizer_config.json", tokenizer_settings(run, self.model))
            for name in ctx.result("train", "all", of="model").facts.get("tokenizer_files", []):
                shutil.copyfile(ctx.path("train", "all", f"/{name}", of="model"), folder / name)
            if form not in ("bidirectional", "adapter"):
                write_json(folder / "generation_config.json", special)
            card = model_card(self.model, run, form, self.dtype, ctx.fingerprint("model"))
            (folder / "README.md").write_text(card, encoding="utf-8")
            files = sorted(path.name for path in folder.iterdir())
            for name in files:
                with ctx.create(f"/{name}") as path:
                    shutil.copyfile(folder / name, path)
        return Result(counts={"files": len(files)}, facts={"form": form, "files": files})

    def figures(self, ctx: Context):
        facts = ctx.result("folder", "all").facts
        yield {"kind": "text", "title": "Exported folder", "lines": [f"form: {facts['form']}", *facts["files"]]}


def write_folder(model: LlamaModel, folder: Path, form: Form, dtype: torch.dtype, special: dict[str, int]) -> str:
    """Write a model or its adapter, and return the form written."""
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


def write_json(path: Path, values: dict) -> None:
    """Write a mapping with its keys in order, so that equal values are equal bytes."""
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


CARD = """---
library_name: transformers
pipeline_tag: {task}
---

# {label}

{parameters:,} parameters, {length} tokens of context, a vocabulary of {vocab_size:,}; stored as {stored} in {dtype}.
{trained}
```python
{usage}```
{warning}
## How it came to be

{made} `{fingerprint}`, of these nodes:

{nodes}
"""

TRAINED = """Trained on {tokens:,} tokens in {steps:,} steps of {batch_rows} rows ({epochs} epochs), seed {seed}.
"""

WRITES = """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("."{code})
tokenizer = AutoTokenizer.from_pretrained(".")
# every training document began with {begin}, which the tokenizer does not add by itself
ids = tokenizer("{begin}Once", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=40)[0]))
"""

ADAPTS = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("the base's folder"), ".")
tokenizer = AutoTokenizer.from_pretrained(".")
# every training document began with {begin}, which the tokenizer does not add by itself
ids = tokenizer("{begin}Once", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=40)[0]))
"""

FILLS = """from transformers import AutoModelForMaskedLM, AutoTokenizer

model = AutoModelForMaskedLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
# every training document stood between two {begin}, which the tokenizer does not add by itself
ids = tokenizer("{begin}Once upon a {mask}{begin}", return_tensors="pt")
print(tokenizer.decode(model(**ids).logits[0].argmax(-1)))
"""

READS = """from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
# it was trained last to give vectors of texts by themselves: the mean of their states
states = AutoModel.from_pretrained(".")(**tokenizer("Once", return_tensors="pt")).last_hidden_state.mean(1)
"""

STORED = {
    "factors": "factors", "bidirectional": "a plain EuroBERT", "adapter": "an adapter alone, to be put into its base,",
}  # fmt: skip

WARNING = """
Its projections are products of factors with an activation between them, which no dense Llama equals. The file
`modeling_siftloom_lost.py` in this folder is code that `trust_remote_code=True` runs: read it first.
"""


def model_card(node: Node, run: TrainedModel, form: str, dtype: str, fingerprint: str) -> str:
    """The folder's README.md, from the record of the run alone."""
    factors, fills = form == "factors", form == "bidirectional"
    pools = fills and mask_of(node) is None
    code = ", trust_remote_code=True" if factors else ""
    begin, here = token_name(run, run.begin_id), "steps" in run.config  # nothing is known of another's training
    texts = {"adapter": ADAPTS, "bidirectional": READS if pools else FILLS}
    usage = texts.get(form, WRITES).format(begin=begin, mask=mask_of(node), code=code)
    return CARD.format(
        **{name: run.config[name] for name in ("label", "parameters", "length", "vocab_size")},
        trained=TRAINED.format(
            **{name: run.config[name] for name in ("tokens", "steps", "batch_rows", "seed")},
            epochs=", ".join(f"{epochs:.2f}" for epochs in run.config["epochs"]),
        )
        if here
        else "",
        made="Pre-training" if here else "A model from elsewhere",
        stored=STORED.get(form, "a plain Llama"),
        task="feature-extraction" if pools else "fill-mask" if fills else "text-generation",
        usage=usage,
        dtype=dtype,
        warning=WARNING if factors else "",
        fingerprint=fingerprint,
        nodes="\n".join(lineage(node)),
    )
