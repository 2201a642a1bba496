"""What does it cost to cut vectors, with and without a loss on their beginning (Matryoshka)? Of models that learn to
find the second part of a page by its first one.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.objectives.rows import texts
from models.objectives.contrastive import Contrastive
from models.optim_config import AdamW
from models.presets import Llama
from siftloom import Pipeline
from siftloom import stages as s
from stages.tokens.pairs import TextPairs
from stages.training.whole_texts import WholeTexts

MODEL = Llama("1m", hidden=256, inter=512, layers=1, heads=4, init_std=0.06)
CHARS, HELD = 100, 100  # of each part; pages that nothing is learned from


def cut(folder: Path, seed: int, steps: int) -> dict[str, float]:
    """Recall@1 among pages of which no half was learned from, by whole vectors and by their first eighth."""
    pages = [page for page in texts("austen", "rust", "sqlite", "postgresql") if len(page) > 2 * CHARS]
    (folder / "docs.jsonl").write_text("".join(
        json.dumps({"id": f"{at}", "text": page, "query": page[:CHARS], "positive": page[CHARS : 2 * CHARS]}) + "\n"
        for at, page in enumerate(pages)
    ))  # fmt: skip
    docs = s.Read(paths=(f"{folder}/docs.jsonl",), keep=("query:string", "positive:string"))
    words = s.Tokenizer(docs=docs, vocab_size=1024)
    parted = s.Split(docs=docs, held_out=HELD / len(pages), seed=seed)
    pairs = s.PackSamples(docs=parted, tokenizer=words, length=80, sample=TextPairs(max_chars=CHARS))
    rows = s.Pack(docs=parted, tokenizer=words, length=128)
    start = s.Pretrain(rows=rows, model=MODEL, steps=2 * steps, batch_rows=16, optimizer=AdamW(lr=0.01), seed=seed)
    eighth = MODEL.shape.hidden // 8
    nodes, asked = {}, s.Select(docs=parted, where="held_out")
    for name, dims in {"plain": (), "Matryoshka": (eighth, MODEL.shape.hidden)}.items():
        model = s.Pretrain(
            rows=pairs, start=start, model=MODEL, steps=steps, batch_rows=32, optimizer=AdamW(lr=0.002), seed=seed,
            objective=Contrastive(dims=dims), collate=WholeTexts(), attend="document",
        )  # fmt: skip
        queries = s.Embed(docs=asked, model=model, template="{query}", as_="q")
        nodes[name] = s.Embed(docs=queries, model=model, template="{positive}", as_="p")
    done = Pipeline(list(nodes.values()), name="cut", store=str(folder / "store"), names=nodes).run(
        here=True, progress=False
    )
    found: dict[str, float] = {}
    for name in nodes:
        both = done[name].rows(["q", "p"])
        q, p = (np.array(both[side].to_pylist()) for side in "qp")
        found[f"{name} whole"], found[f"{name} cut"] = recall(q, p), recall(q[:, :eighth], p[:, :eighth])
        found[f"{name} lost"] = found[f"{name} whole"] - found[f"{name} cut"]
    return found


def recall(q: np.ndarray, p: np.ndarray) -> float:
    """The share of queries whose own text has the highest cosine."""
    one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, p))
    return float(((one @ other.T).argmax(1) == np.arange(len(one))).mean())
