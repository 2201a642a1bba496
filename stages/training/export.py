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
from stages.tokens.tokenizer import END_OF_TEXT
from stages.training.lineage import lineage

if TYPE_CHECKING:
    from stages.training.results import TrainedModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Export(Node):
    """Write `folder/all/`: `config.json`, `model.safetensors`, the tokenizer and a model card.

    model  a node that gives a model
    dtype  of the weights in the file
    form   "dense": a plain Llama, for a model that has an equal one (dense, SLTrain, LOST or low rank without an
           activation between the factors); "factors": LOST or low rank as they are, with a modelling file
           (`trust_remote_code`); "auto": dense wherever that is exact
    """

    model: Node
    form: Literal["auto", "dense", "factors"] = "auto"
    dtype: Literal["fp32", "bf16"] = "fp32"

    def check(self) -> None:
        if self.model.gives != "model":
            raise RecipeError("export.model", f"a {self.model.kind()}", "a node that gives a model, as pretrain")
        config = getattr(self.model, "model", None)
        if not isinstance(config, Llama):
            return  # known when the model is: a folder of another's
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

        from models.convert import export
        from stages.training.results import TrainedModel

        run = TrainedModel.of(ctx)
        special = {"bos_token_id": run.config["end_id"], "eos_token_id": run.config["end_id"]}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            dtype = torch.float32 if self.dtype == "fp32" else torch.bfloat16
            form = export(run.load(), folder, form=self.form, dtype=dtype, special_ids=special)
            shutil.copyfile(run.folder["tokenizer.json"], folder / "tokenizer.json")
            write_json(folder / "tokenizer_config.json", tokenizer_settings(run))
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
        lines = [f"form: {facts['form']}", *facts["files"]]
        yield {"kind": "text", "title": "Exported folder", "lines": lines}


def tokenizer_settings(run: TrainedModel) -> dict:
    """The content of `tokenizer_config.json`."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "model_max_length": run.config["length"],
        "clean_up_tokenization_spaces": False,
    }


def write_json(path: Path, values: dict) -> None:
    """Write a mapping with its keys in order, so that equal values are equal bytes."""
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


CARD = """---
library_name: transformers
pipeline_tag: text-generation
---

# {label}

{parameters:,} parameters, {length} tokens of context, a vocabulary of {vocab_size:,}; stored as {stored} in {dtype}.
Trained on {tokens:,} tokens in {steps:,} steps of {batch_rows} rows ({epochs} epochs), seed {seed}.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("."{code})
tokenizer = AutoTokenizer.from_pretrained(".")
# every training document began with {begin}, which the tokenizer does not add by itself
ids = tokenizer("{begin}Once", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=40)[0]))
```
{warning}
## How it came to be

Pre-training `{fingerprint}`, of these nodes:

{nodes}
"""

WARNING = """
Its projections are products of factors with an activation between them, which no dense Llama equals. The file
`modeling_siftloom_lost.py` in this folder is code that `trust_remote_code=True` runs: read it first.
"""


def model_card(node: Node, run: TrainedModel, form: str, dtype: str, fingerprint: str) -> str:
    """The folder's README.md, from the record of the run alone."""
    factors = form == "factors"
    return CARD.format(
        **{name: run.config[name] for name in ("label", "parameters", "length", "vocab_size", "tokens", "steps")},
        **{name: run.config[name] for name in ("batch_rows", "seed")},
        epochs=", ".join(f"{epochs:.2f}" for epochs in run.config["epochs"]),
        stored="factors" if factors else "a plain Llama",
        dtype=dtype,
        code=", trust_remote_code=True" if factors else "",
        begin=END_OF_TEXT,
        warning=WARNING if factors else "",
        fingerprint=fingerprint,
        nodes="\n".join(lineage(node)),
    )
