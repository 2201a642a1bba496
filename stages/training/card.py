"""The README.md of an exported folder: what is in it, how to use it, and how it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.contract import Node
from stages.training.lineage import lineage
from stages.training.special import mask_of, token_name

if TYPE_CHECKING:
    from stages.training.results import TrainedModel

CARD = """---
library_name: {library}
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

EMBEDS = """from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer(".").encode(["Once", "Twice"])
"""

STORED = {
    "sentence_transformers": "a folder of sentence-transformers", "factors": "factors",
    "bidirectional": "a plain EuroBERT", "adapter": "an adapter alone, to be put into its base,",
}  # fmt: skip

WARNING = """
Its projections are products of factors with an activation between them, which no dense Llama equals. The file
`modeling_siftloom_lost.py` in this folder is code that `trust_remote_code=True` runs: read it first.
"""


def model_card(node: Node, run: TrainedModel, form: str, dtype: str, fingerprint: str) -> str:
    """The folder's README.md, from the record of the run alone."""
    factors, fills, embeds = form == "factors", form == "bidirectional", form == "sentence_transformers"
    pools = fills and mask_of(node) is None
    code = ", trust_remote_code=True" if factors else ""
    begin, here = token_name(run, run.begin_id), "steps" in run.config  # nothing is known of another's training
    texts = {"sentence_transformers": EMBEDS, "adapter": ADAPTS, "bidirectional": READS if pools else FILLS}
    usage = texts.get(form, WRITES).format(begin=begin, mask=mask_of(node), code=code)
    task = "feature-extraction" if pools else "fill-mask" if fills else "text-generation"
    task = "sentence-similarity" if embeds else task
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
        task=task,
        library="sentence-transformers" if embeds else "transformers",
        usage=usage,
        dtype=dtype,
        warning=WARNING if factors else "",
        fingerprint=fingerprint,
        nodes="\n".join(lineage(node)),
    )
