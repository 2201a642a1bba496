"""What a finished pre-training leaves: writing it, and reading it back.

`config.json` says all that is needed to rebuild the model and the order of its training; `model.safetensors` describes
itself (`models.files`); `steps.parquet` holds one line a step.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.accounting import count_flops, count_parameters
from pipeline.contract import Context, Of, Result
from stages.tokens.tokenizer import pass_on_given, tokenizer_file
from stages.tokens.tokenizer_files import pass_on
from stages.training.checkpoint import MODEL, Saver
from stages.training.curves import running_total, thin
from stages.training.lineage import tokens_seen
from stages.training.order import MIXTURE
from stages.training.sampler import Sampler
from stages.training.training import Training

if TYPE_CHECKING:
    from models.llama import LlamaModel
    from stages.training.stream_rows import StreamedRows

FORMAT = 1


def publish(ctx: Context, training: Training, files: Saver, result: dict[str, Any]) -> Result:
    """Write the node's data from what the loop left (`stages.training.worker.train`); the model's file is copied, so
    that no model is ever in the driver's memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with ctx.create("/model.safetensors") as path:
        files.scratch.fetch(MODEL, path)
    record = {name: pa.array(values, pa.float64()) for name, values in result["record"].items()}
    record["tokens"] = record["tokens"].cast(pa.int64())
    with ctx.create("/steps.parquet") as path:
        table = pa.table(
            {"step": pa.array(range(training.node.steps), pa.int64()), **record, "rows": _rows_seen(training)}
        )
        pq.write_table(table, path, compression="zstd")
    tokens = record["tokens"].to_pylist()
    with ctx.create("/config.json") as path:
        run = describe_run(training, sum(tokens), result["feed"])
        if "similarities" in result:  # of the start's layers, where a transform asks for them
            run["similarities"] = result["similarities"]
        if training.start is not None:
            run["tokens_before"] = tokens_seen(
                json.loads(ctx.path("train", "all", "/config.json", of="start").read_text(encoding="utf-8"))
            )
        path.write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    node, packed = training.node, training.node.feed is None
    with ctx.create("/tokenizer.json") as path:
        shutil.copyfile(
            ctx.path("meta", "all", "/tokenizer.json", of=("rows", 0)) if packed else tokenizer_file(ctx), path
        )
    others = pass_on(ctx, "meta", ("rows", 0)) if packed else pass_on_given(ctx)
    unusual = [{**one, "documents": documents_of(training, one["hardest"])} for one in result["unusual"]]
    with ctx.create("/unusual.json") as path:
        path.write_text(json.dumps(unusual, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    losses = [loss for loss in result["record"]["loss"] if math.isfinite(loss)]
    skipped = int(sum(result["record"]["skipped"]))
    facts = {
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "parameters": count_parameters(node.model, training.vocab_size).total,
        **({} if node.adapter is None else {"trained": node.adapter.count(node.model)}),
        **others,
    }
    trained = len(result["record"]["loss"]) - skipped
    counts = {"steps": node.steps, "trained": trained, "skipped": skipped, "tokens": sum(tokens)}
    return Result(counts=counts, facts=facts)


def documents_of(training: Training, numbers: Sequence[int]) -> list[str]:
    """The documents in rows with these global numbers (`PackedRows.documents`)."""
    first = _first_rows(training)
    places = [int(np.searchsorted(first, number, side="right") - 1) for number in numbers]
    held = [
        training.sources[place].rows.documents(number - int(first[place]))
        for place, number in zip(places, numbers, strict=True)
    ]
    return list(dict.fromkeys(name for names in held for name in names))


def _rows_seen(training: Training):
    """Global row numbers of every batch, in its order: int64 [steps, batch_rows] as fixed-size lists; null for a
    stream.
    """
    import pyarrow as pa

    if training.node.feed is not None:
        return pa.nulls(training.node.steps, pa.list_(pa.int64(), training.node.batch_rows))
    sources, rows = training.sampler.batch(0, training.node.steps)
    return pa.FixedSizeListArray.from_arrays(
        pa.array((_first_rows(training)[sources] + rows).ravel()), training.node.batch_rows
    )


def _first_rows(training: Training) -> np.ndarray:
    return np.cumsum([0, *(source.rows.rows for source in training.sources[:-1])])


def describe_training(training: Training) -> dict[str, Any]:
    """What a tracker gets to know of a run: plain numbers and texts, and the model as `config.json` has it."""
    from models.files import describe

    node, names = training.node, ("steps", "batch_rows", "micro_batches", "seed", "attend", "precision")
    slots = {"objective": node.objective, "reweight": node.weighting, "order": node.order, "collate": node.collate}
    parts = {name: type(slot).__name__ for name, slot in slots.items()}
    rows = {"length": training.length, "vocab_size": training.vocab_size}
    plain = {name: getattr(node, name) for name in names} | rows
    return {"label": node.label, "model": describe(node.model), "lr": node.optimizer.lr, **plain, **parts}


def describe_run(training: Training, tokens: int, feed: Sequence[int] | None) -> dict[str, Any]:
    """The content of `config.json`; `feed` is the last state of a stream."""
    from models.files import describe

    node, rows = training.node, cast("StreamedRows", training.sources[0].rows)
    counts = count_parameters(node.model, training.vocab_size)
    beside = 0 if node.adapter is None else node.adapter.count(node.model)
    return {
        "format": FORMAT,
        "label": node.label,
        "model": describe(node.model),
        **({} if node.adapter is None else {"adapter": describe(node.adapter)}),
        "vocab_size": training.vocab_size,
        "length": training.length,
        "end_id": rows.end_id,
        **({} if rows.begins is None else {"begin_id": rows.begins}),
        "attend": node.attend,
        "precision": node.precision,
        "parameters": counts.total + beside,
        # fp32 weights and the indices of kept channels: what the model takes to be used
        "bytes": 4 * (counts.total + beside) + 8 * counts.indices,
        "flops_per_token": count_flops(node.model, training.vocab_size, training.length).training,
        "steps": node.steps,
        "batch_rows": node.batch_rows,
        "seed": node.seed,
        "order": type(node.feed or node.order).__name__,
        "tokens": tokens,
        "sources": [
            {"name": source.name, "rows": source.rows.rows, "share": source.share, "first_row": int(first)}
            for source, first in zip(training.sources, _first_rows(training), strict=True)
        ],
        "epochs": training.sampler.epochs(node.steps) if feed is None else [rows.passes(feed)],
    }


@dataclass(frozen=True)
class TrainedModel:
    """The model that a node gives (`gives = "model"`), as another node finds it: in its phase `train`, `config.json`,
    `model.safetensors`, `tokenizer.json` and, of a model that was trained here, `steps.parquet`.
    """

    config: dict[str, Any]
    folder: dict[str, Path]  # file name -> path

    @classmethod
    def of(cls, ctx: Context, of: Of = "model") -> TrainedModel:
        """The run behind an input field."""
        names = ["config.json", "model.safetensors", "tokenizer.json"]
        # a model that comes from elsewhere has no record of its steps
        names += ["steps.parquet"] * bool(ctx.result("train", "all", of=of).counts.get("steps"))
        folder = {name: ctx.path("train", "all", f"/{name}", of=of) for name in names}
        return cls(json.loads(folder["config.json"].read_text(encoding="utf-8")), folder)

    @property
    def begin_id(self) -> int:
        """The special token that begins a text: of a model that was trained here, the one that ends it too."""
        return self.config.get("begin_id", self.config["end_id"])

    def load(self) -> LlamaModel:
        """The model, on the CPU in fp32."""
        from models.files import load

        return load(self.folder["model.safetensors"])

    def curves(self) -> dict[str, list[list[float]]]:
        """Loss and weights over tokens seen, thinned: name of the column -> points."""
        import pyarrow.parquet as pq

        names = ["tokens", "loss", "effective", "weight_max", "weight_min"]
        if "steps.parquet" not in self.folder:
            return {name: [] for name in names[1:]}
        record = pq.read_table(self.folder["steps.parquet"], columns=names).to_pydict()
        tokens = running_total(record["tokens"])
        return {name: thin(tokens, record[name]) for name in names[1:]}


def seen_in(config: Path, packed: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The steps that saw a document. `packed`: fingerprint of a pack node -> rows that hold the document."""
    steps = {step for name, rows in packed.items() for at in rows for step in steps_of_row(config, name, at)}
    return {"state": "seen" if steps else "not seen", "steps": sorted(steps)}


def steps_of_row(config: Path, source: str, row: int) -> list[int]:
    """The steps whose batch held a row: path of a finished run's `config.json`, fingerprint of the pack node, global
    row number in that node (`PackedRows.rows_of_document`).
    """
    run = json.loads(Path(config).read_text(encoding="utf-8"))
    sources = run["sources"]
    names = tuple(entry["name"] for entry in sources)
    if source not in names:
        return []
    if run["order"] != type(MIXTURE).__name__:
        return _steps_on_record(
            Path(config).with_name("steps.parquet"), sources[names.index(source)]["first_row"] + row
        )
    rows, shares = (tuple(entry[key] for entry in sources) for key in ("rows", "share"))
    sampler = Sampler(names, rows, shares, run["batch_rows"], run["seed"])
    return sampler.steps_of_row(names.index(source), row, run["steps"])


def _steps_on_record(path: Path, number: int) -> list[int]:
    """The steps whose recorded batch holds a global row number, for an order that has no inverse."""
    import pyarrow.parquet as pq

    found: list[int] = []
    for batch in pq.ParquetFile(path).iter_batches(columns=["step", "rows"], batch_size=4096):
        rows = batch["rows"].flatten().to_numpy().reshape(len(batch), -1)
        found += batch["step"].to_numpy()[(rows == number).any(1)].tolist()
    return found
