"""`budget`: what a model or the trainings of a recipe cost, before anything is run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siftloom.cli.run import JSON, SET
from siftloom.screen import begin, say, say_json, table

if TYPE_CHECKING:
    from models.memory import PeakBytes
    from models.presets import Llama

DENSITIES = (0.01, 0.05)  # of LOST in its table
COLUMNS = ("parameters", "FLOPs/token", "weights", "gradients", "optimiser", "activations", "peak")


def budget(
    what: Annotated[str, typer.Argument(help="a recipe, or a preset such as 60m", metavar="R.yaml|PRESET")],
    mfu: Annotated[float, typer.Option(help="share of the H100's peak (MFU) that the hours are given for")] = 0.4,
    vocab: Annotated[int, typer.Option(help="of a preset: words", min=2)] = 32_000,
    length: Annotated[int, typer.Option(help="of a preset: tokens of a row", min=1)] = 1024,
    tokens: Annotated[int, typer.Option(help="of a preset: tokens of a micro-batch", min=1)] = 8192,
    shard: Annotated[int, typer.Option(help="of a preset: processes that share one copy (FSDP2)", min=1)] = 1,
    change: SET = None,
    as_json: JSON = False,
) -> None:
    """Show parameters, operations, memory and H100 hours. A run that does not fit this machine is an error.

    Bytes are those of the fullest process. Hours are for 20 tokens per parameter; those of DCLM stand beside them.
    """
    begin(f"reading {what}", as_json=as_json)
    from models.budget import DCLM, gpu_hours
    from models.shapes import SHAPES
    from pipeline.errors import UserError

    if not 0.0 < mfu <= 1.0:
        raise UserError("--mfu", f"{mfu}", "a share above 0, at most 1")
    if what in SHAPES:
        rows = _presets(what, vocab, length, tokens, shard, mfu)
    elif Path(what).suffix in (".yaml", ".yml"):
        rows = _recipe(what, change or [], mfu)
    else:
        raise UserError("budget", f"no recipe and no preset {what!r}", f"a YAML file, or one of {', '.join(SHAPES)}")
    published = [
        {"name": run.name, "parameters": run.parameters, "tokens": run.tokens, "h100_hours": run.hours,
         "at_its_mfu": round(gpu_hours(6 * run.parameters * run.tokens, run.share), 1), "mfu": run.share}
        for run in DCLM
    ]  # fmt: skip
    if as_json:
        say_json({"mfu": mfu, "models": [row for row, _ in rows], "published": published})
    else:
        _show([row for row, _ in rows], published, mfu)
    for _, refuse in rows:
        refuse()


def _presets(size: str, vocab: int, length: int, tokens: int, shard: int, mfu: float) -> list[tuple[dict, Any]]:
    from models.memory import peak_bytes
    from models.presets import Llama, Lost, LowRank
    from models.shapes import USUAL_RANK
    from models.sltrain_config import SLTrain

    models: dict[str, Llama] = {"dense": Llama(size)}
    if (rank := USUAL_RANK.get(size)) is not None:
        models[f"low-rank r{rank}"] = LowRank(size, rank=rank)
        models["sltrain"] = SLTrain(size, rank=rank, density=0.05 if size == "7b" else 0.03)
        models |= {f"lost d={density}": Lost(size, rank=rank, density=density) for density in DENSITIES}
    found = []
    for name, model in models.items():
        peak = peak_bytes(model, vocab, tokens=tokens, processes=shard, shards=shard, bf16=True)
        found.append((_row(f"{size} {name}", model, vocab, length, peak, None, mfu), lambda: None))
    return found


def _recipe(path: str, changes: list[str], mfu: float) -> list[tuple[dict, Any]]:
    from functools import partial

    from pipeline.errors import RecipeError
    from siftloom.recipe import open_recipe
    from stages.training.memory import machine_memory, peak_of, refuse_above
    from stages.training.pretrain import Pretrain

    _, graph = open_recipe(path, (), changes)
    found = []
    for node in (node for node in graph.nodes if isinstance(node, Pretrain)):
        most = max(node.sizes)
        peak = peak_of(node, node.vocab_size, node.length, most)
        tokens = node.steps * node.batch_rows * node.length
        # on a GPU, and on machines of a cluster, each process asks its own device or machine when it starts
        check = partial(refuse_above, peak, most, machine_memory()) if node.device == "cpu" else lambda: None
        row = _row(graph.names[node], node.model, node.vocab_size, node.length, peak, tokens, mfu)
        found.append((row | {"processes": most}, check))
    if not found:
        raise RecipeError(path, "no node of the kind pretrain", "a node that trains", "siftloom budget 60m")
    return found


def _row(
    name: str, model: Llama, vocab: int, length: int, peak: PeakBytes, tokens: int | None, mfu: float
) -> dict[str, Any]:
    from models.accounting import count_flops, count_parameters
    from models.budget import cost, usual_tokens

    usual = cost(model, vocab, length, usual_tokens(model, vocab), mfu)
    row: dict[str, Any] = {
        "name": name,
        "parameters": count_parameters(model, vocab).total,
        "flops_per_token": count_flops(model, vocab, length).training,
        "weights": peak.state.weights,
        "gradients": peak.state.gradients + peak.sums,
        "optimiser": peak.state.optimiser,
        "activations": peak.activations + peak.losses,
        "peak": peak.total,
        "tokens_20x": round(usual.tokens),
        "h100_hours_20x": usual.hours,
        "parts": dataclasses.asdict(peak),
    }
    if tokens is not None:
        own = cost(model, vocab, length, tokens, mfu)
        row |= {"tokens": tokens, "h100_hours": own.hours}
    return row


def _show(rows: list[dict[str, Any]], published: list[dict[str, Any]], mfu: float) -> None:
    from pipeline.quantities import number, size

    runs = "tokens" in rows[0]
    titles = ("model", *COLUMNS, *(("tokens",) if runs else ()), "tokens at 20x", "H100 h at 20x")
    cells = [
        (
            row["name"], number(row["parameters"]), f"{row['flops_per_token']:.3g}",
            *(size(row[key]) for key in ("weights", "gradients", "optimiser", "activations", "peak")),
            *((_count(row["tokens"]),) if runs else ()), _count(row["tokens_20x"]), number(row["h100_hours_20x"]),
        )
        for row in rows
    ]  # fmt: skip
    table(titles, cells, right=tuple(range(1, len(titles))))
    say(f"\nbytes of the fullest process; hours of one H100 (989 TFLOP/s in bf16) at an MFU of {mfu:g}")
    hours = ((run["name"], f"{run['h100_hours']:,}", f"{run['at_its_mfu']:,}", run["mfu"]) for run in published)
    table(("published, 20x", "H100 h", "computed here", "at MFU"), hours, right=(1, 2, 3))


def _count(tokens: float) -> str:
    for unit in ("", "k", "M", "B"):
        if tokens < 1000:
            return f"{tokens:.3g}{unit}"
        tokens /= 1000
    return f"{tokens:.3g}T"
