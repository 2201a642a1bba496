"""CORE and EXTENDED of DCLM: a model's accuracy in up to 53 tasks, held against chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any, Literal

from pipeline.bounds import Positive
from pipeline.contract import Context, Node, Resources, Result, TaskPhase, one, sources
from pipeline.errors import DataError, RecipeError, SourceError
from stages.generate.loading import check_model, model_files
from stages.in_context.dclm_tasks import BASELINES, CORE, EXTENDED, TASKS, DclmTask
from stages.in_context.items import check_first_items, task_file
from stages.wants import ModelOrFolder

SET = {"core": tuple(task for task in EXTENDED if task.name in CORE), "extended": EXTENDED}


@dataclass(frozen=True, kw_only=True, eq=False)
class DclmEval(Node):
    """Accuracy in the tasks of DCLM (extra `eval`: lm-eval), and the means of the centered accuracies, CORE over 22
    tasks and EXTENDED over 53. centered = (accuracy - chance) / (1 - chance), with DCLM's baselines of version 2.

    model       a `pretrain`, `hf_model`, `export` or `model_folder` node
    paths       the task files of llm-foundry, `<task>.jsonl`, one JSON object a line, or folders of them. A task
                without its file is not run, and named. Other files are left out
    which       `core`: the 22 tasks; `extended`: all
    items       of each task (and of each category of a task with categories) the first so many, for a first look; null
                = all
    begins      put the token that texts begin with before each prompt, where the tokenizer does not do so by itself:
                what models that are trained here have learned. False: as DCLM's own runs
    beside      reference files of DCLM (`exp_data/evals/*.json`) or of this node, to stand beside the model
    batch_rows  prompts at once; configuration, since the last bits of a model's sums depend on it
    device      `cpu` or `cuda`; configuration, for the same reason
    threads     of a task on the CPU
    seed        of the items that stand before a question

    Writes `score/<task>.parquet` (`item`, `category`, `right`) and `table/all.json` in DCLM's form. There `Core` is a
    text that names the missing tasks where one is missing, and `low_variance_datasets_centered` the mean of those that
    ran. The model is written out once for every task: of a large one give its `export`, whose files are linked.

    Errors: `DataError` for a file with a wrong column, from `plan` where its first line can be read.
    """

    model: ModelOrFolder
    paths: tuple[str, ...] = sources()
    which: Literal["core", "extended"] = "core"
    items: Positive | None = None
    begins: bool = True
    beside: tuple[str, ...] = sources(())
    batch_rows: Positive = 16
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 1
    seed: int = 1234

    gives = "table"
    libraries = ("lm_eval", "transformers", "tokenizers")

    def check(self) -> None:
        if find_spec("lm_eval") is None:
            found = "lm-eval is not installed"
            raise RecipeError("dclm_eval", found, "the extra `eval`", "pip install 'siftloom[eval]'")
        check_model(self.model, "dclm_eval.model")
        check_first_items("dclm_eval.paths", self.paths)

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str]:
        if field == "beside":
            return [PurePosixPath(name).stem for name in names]
        files = [task_file(name) for name in names]
        known = [file for file in files if file is not None]
        if twice := [file for file in known if known.count(file) > 1]:
            raise DataError("dclm_eval.paths", f"{twice[0]}.jsonl twice", "one file for each task")
        if not set(known) & {task.file for task in SET[self.which]}:
            have = ", ".join(sorted(names)[:5]) or "none"
            raise SourceError("dclm_eval.paths", f"no file of a task among {have}", "files such as arc_easy.jsonl")
        return [file or "" for file in files]

    def phases(self):
        asks = Resources(cpus=self.threads, gpus=1.0 if self.device == "cuda" else 0.0)
        return (
            TaskPhase(name="score", keys=self._keys, run=self._score, resources=asks),
            TaskPhase(name="table", keys=one, run=self._table),
        )

    def _keys(self, ctx: Context) -> Sequence[str]:
        files = {task_file(source.name) for source in ctx.sources()}
        return [task.name for task in SET[self.which] if task.file in files]

    def _score(self, ctx: Context, key: str) -> Result:
        import pyarrow as pa
        import pyarrow.parquet as pq
        import torch

        from stages.in_context.dclm_scores import mean
        from stages.in_context.harness import ask, open_harness
        from stages.in_context.items import categories, read_items

        torch.set_num_threads(self.threads)
        task = TASKS[key]
        [source] = [source for source in ctx.sources() if task_file(source.name) == task.file]
        with ctx.open_source(source) as lines:
            groups = categories(read_items(source.name, lines, task), task)
        trusted = bool(getattr(ctx.input("model"), "trust_code", True))
        lm = open_harness(
            model_files(ctx, "model"), batch_rows=self.batch_rows, device=self.device, trust_code=trusted
        )  # fmt: skip
        found = {
            name: ask(lm, task, items, seed=self.seed, most=self.items, begins=self.begins)
            for name, items in groups.items()
        }
        with ctx.create(".parquet") as path:
            rows = [(at, name, right) for name, one in found.items() for at, right in enumerate(one.right)]
            places, names, right = zip(*rows, strict=True)
            columns = {"item": pa.array(places, pa.int32()), "category": names, "right": pa.array(right, pa.bool_())}
            pq.write_table(pa.table(columns), path, compression="zstd")
        accuracy = mean(sum(one.right) / len(one.right) for one in found.values())
        prompts, cut = (sum(getattr(one, name) for one in found.values()) for name in ("prompts", "cut"))
        ctx.log("asked", task=key, accuracy=accuracy)
        counts = {"items": len(rows), "right": sum(right), "prompts": prompts, "cut_prompts": cut}
        return Result(counts=counts, facts={"accuracy": accuracy})

    def _table(self, ctx: Context, key: str) -> Result:
        from stages.in_context.dclm_scores import reference

        scores = {name: ctx.result("score", name).facts["accuracy"] for name in ctx.keys("score")}
        beside = [self._given(ctx, source) for source in ctx.sources("beside")]
        found = reference(scores) | {
            "name": f"dclm_eval of {len(scores)} tasks",
            "uuid": ctx.fingerprint(),
            "model": self.model.kind(),
            "items": self.items,
            "prompts": {name: dict(ctx.result("score", name).counts) for name in scores},
            "beside": dict(beside),
        }
        ctx.write_json(found)
        facts = {"core": found["low_variance_datasets_centered"], "core_tasks": len(CORE & scores.keys())}
        if self.which == "extended":
            facts |= {"extended": found["aggregated_centered_results"], "extended_tasks": len(scores)}
        return Result(counts={"tasks": len(scores), "missing": len(SET[self.which]) - len(scores)}, facts=facts)

    def _given(self, ctx: Context, source: Any) -> tuple[str, Mapping[str, float]]:
        """Name and accuracies of a reference file."""
        with ctx.open_source(source) as file:
            try:
                given = json.loads(file.read())
                icl = {name: float(score) for name, score in given["eval_metrics"]["icl"].items() if name in TASKS}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                found = f"no scores ({type(error).__name__}: {error})"
                raise DataError(
                    f"dclm_eval.beside: {source.name}", found, "eval_metrics.icl, as in DCLM's own"
                ) from None
        return PurePosixPath(source.name).stem, icl

    def figures(self, ctx: Context):
        found = ctx.read_json("table")
        scores, beside, tasks = found["eval_metrics"]["icl"], found["beside"], SET[self.which]
        ran = [task for task in tasks if task.name in scores]
        rows = [
            [task.name, task.shots, found["prompts"][task.name]["items"], found["prompts"][task.name]["cut_prompts"],
             task.chance / 100, scores[task.name], task.centered(scores[task.name]),
             *(_centered(task, other) for other in beside.values())]
            for task in ran
        ]  # fmt: skip
        names = {"core": "CORE", "extended": "EXTENDED"}
        for which in ("core", "extended") if self.which == "extended" else ("core",):
            of = [task for task in SET[which] if task.name in scores]
            means = [_mean_centered(of, each) for each in (scores, *beside.values())]
            label = f"{names[which]}, {len(of)} of {len(SET[which])} tasks"
            rows.insert(0, [label, None, None, None, None, None, *means])
        if self.items is not None:
            note = f"Of each task the first {self.items:,} items alone. "
        else:
            note = ""
        yield {
            "kind": "table",
            "title": f"DCLM tasks, baselines {BASELINES}",
            "section": "models",
            "note": note + "Cut: prompts that lost their beginning to the model's length.",
            "columns": ["task", "shots", "items", "cut", "chance", "accuracy", "centered",
                        *(f"centered: {name}" for name in beside)],
            "rows": [[round(each, 4) if isinstance(each, float) else each for each in row] for row in rows],
        }  # fmt: skip
        if missing := [f"{task.name}: no file {task.file}.jsonl" for task in tasks if task.name not in scores]:
            yield {"kind": "text", "title": "Tasks that were not run", "section": "models", "lines": missing}


def _centered(task: DclmTask, scores: Mapping[str, float]) -> float | None:
    return task.centered(scores[task.name]) if task.name in scores else None


def _mean_centered(tasks: Sequence[DclmTask], scores: Mapping[str, float]) -> float | None:
    """The mean over these tasks, so that a file beside is held against the same ones; None where it lacks one."""
    found = [_centered(task, scores) for task in tasks]
    return None if None in found or not found else sum(each for each in found if each is not None) / len(found)
