"""Compare trained models: size, held-out bits per byte, curves of loss and weights over the same tokens."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pipeline.contract import Context, Node, Result, TaskPhase, one
from pipeline.errors import RecipeError
from stages.documents import HELD_OUT
from stages.training.adapter_costs import cost_table
from stages.training.curves import lines
from stages.training.evaluate import Evaluate
from stages.training.lineage import alike, inputs_in, tokens_seen
from stages.training.settings import TrainingSettings
from stages.wants import EvaluationOrModel

WEIGHTS = "How unevenly reweighting spread the loss over the samples of a batch."
UNEVEN = 1e-5  # without weights every curve is 1, up to rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class Compare(Node):
    """A table of runs, and their curves.

    runs    evaluations; a node that gives a model stands for its evaluation on the documents that the split behind
            it holds out
    labels  names of the runs, in their order; by default each is named after its model and weights

    Writes `table/all.json`.
    """

    runs: tuple[EvaluationOrModel, ...]
    labels: tuple[str, ...] = ()

    version = 2
    gives = "table"

    def __post_init__(self) -> None:
        runs = (self.runs,) if isinstance(self.runs, Node) else tuple(self.runs)
        object.__setattr__(self, "runs", tuple(_evaluated(run) for run in runs))

    def check(self) -> None:
        if not self.runs:
            raise RecipeError("compare.runs", "none", "evaluate nodes, or nodes that give a model")
        if self.labels and (len(self.labels) != len(self.runs) or len(set(self.labels)) != len(self.labels)):
            raise RecipeError("compare.labels", f"{self.labels}", f"{len(self.runs)} different names, or none")

    def phases(self):
        return (TaskPhase(name="table", keys=one, run=self._table),)

    def _table(self, ctx: Context, key: str) -> Result:
        rows = [
            {
                "label": label,
                "parameters": report["run"]["parameters"],
                "bytes": report["run"]["bytes"],
                "tokens": report["run"]["tokens"],
                "tokens_seen": tokens_seen(report["run"]),
                "loss": report["held_out"]["loss"],
                "bits_per_byte": report["held_out"]["bits_per_byte"],
                "sources": {name: values["bits_per_byte"] for name, values in report["sources"].items()},
            }
            for label, report in self._reports(ctx)
        ]
        ctx.write_json({"runs": rows})
        return Result(counts={"runs": len(rows)}, facts={row["label"]: row["bits_per_byte"] for row in rows})

    def _reports(self, ctx: Context) -> list[tuple[str, dict[str, Any]]]:
        """(label, report of the evaluation) of every run."""
        reports = [ctx.read_json("score", of=("runs", i)) for i in range(len(self.runs))]
        labels = list(self.labels)
        for report in reports if not labels else ():
            name, number = report["run"]["label"], 2
            while name in labels:
                name, number = f"{report['run']['label']} ({number})", number + 1
            labels.append(name)
        return list(zip(labels, reports, strict=True))

    def _note(self, reports: list[dict[str, Any]]) -> str:
        """What the table is worth: no more than the graph and the evaluations say."""
        runs = [run for run in self.runs if isinstance(run, Evaluate)]
        scored = {(report["held_out"]["documents"], report["held_out"]["bytes"]) for report in reports}
        claims = ["None of the models saw the held-out text."] * all(map(unseen, runs))
        claims += ["The evaluations are of other documents, so their figures do not compare."] * (len(scored) > 1)
        return " ".join([*claims, "Bytes: fp32 weights and the indices of kept channels."])

    def figures(self, ctx: Context):
        named = self._reports(ctx)
        yield {
            "kind": "table",
            "title": "Models compared",
            "section": "models",
            "note": self._note([report for _, report in named]),
            "units": [None, None, "bytes", None, None, None, None],
            "best": [None, "min", "min", None, None, "min", "min"],
            "highlight": 6,
            "columns": [
                "model",
                "parameters",
                "bytes",
                "tokens seen",
                "of them in this run",
                "held-out nats per token",
                "held-out bits per byte",
            ],
            "rows": [
                [
                    label,
                    report["run"]["parameters"],
                    report["run"]["bytes"],
                    tokens_seen(report["run"]),
                    report["run"]["tokens"],
                    round(report["held_out"]["loss"], 4),
                    round(report["held_out"]["bits_per_byte"], 4),
                ]
                for label, report in named
            ],
        }
        models = [getattr(run, "model", None) for run in self.runs]
        if any(getattr(model, "adapter", None) is not None for model in models):
            trained = [(label, model) for (label, _), model in zip(named, models, strict=True)]
            own = [(label, model) for label, model in trained if isinstance(model, TrainingSettings)]
            yield cost_table(own, named[0][1]["run"]["vocab_size"])
        losses = [(label, report["curves"]["loss"]) for label, report in named]
        yield lines(
            "Training loss", "nats per token", losses, section="training", smooth=True,
            about="Loss over the tokens seen, as moving averages; the held-out figures are under Models.",
        )  # fmt: skip
        for name, title in (
            ("effective", "Effective share of the rows of a batch"),
            ("weight_max", "Largest weight of a row (1 = uniform)"),
            ("weight_min", "Smallest weight of a row (1 = uniform)"),
        ):
            curves = [(label, report["curves"][name]) for label, report in named]
            if any(abs(y - 1) > UNEVEN for _, curve in curves for _, y in curve):
                yield lines(title, title.split(" (")[0].lower(), curves, section="sample weights", about=WEIGHTS)
        yield {
            "kind": "text",
            "title": "What the models write",
            "section": "generated text",
            "lines": [
                f"{label}: {' '.join((text['prompt'] + text['text']).split())}"
                for label, report in named
                for text in report["texts"]
            ],
        }


def _evaluated(run: Node) -> Node:
    """The run, or the evaluation that a node that gives a model stands for."""
    if run.gives != "model":
        return run
    split = split_behind(run, set())
    if split is None:
        raise RecipeError(
            "compare.runs", f"a {run.kind()} whose documents were never split", "held-out documents to compare on",
            "put a split before select or pack, or give evaluate nodes",
        )  # fmt: skip
    return Evaluate(model=run, docs=split)


def unseen(run: Evaluate) -> bool:
    """Whether the documents of an evaluation are those that were held out from its model."""
    split = split_behind(run.model, set())
    scored = [split_behind(docs, set()) for docs in inputs_in(run.docs)]
    return run.which == "held_out" and split is not None and all(alike(one, split) for one in scored)


def split_behind(node: Node, seen: set[int]) -> Node | None:
    """The node that marks the documents held out from what a model was trained on: before any selection, so that it is
    the same for all runs. Of a node that gives a model all inputs are followed, of others their documents alone.
    """
    if id(node) in seen:
        return None
    seen.add(id(node))
    if HELD_OUT in node.adds():
        return node
    names = [field.name for field in dataclasses.fields(node)] if node.gives == "model" else [node.stream, "holdout"]
    for name in names:
        for parent in inputs_in(getattr(node, name, None)):
            if (found := split_behind(parent, seen)) is not None:
                return found
    return None
