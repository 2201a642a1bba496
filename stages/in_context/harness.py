"""A task of DCLM as a task of lm-eval, and the accuracy of a model in it.

The prompts are llm-foundry's, which DCLM runs: letter for letter. lm-eval draws the items that stand before a question,
tokenises a prompt together with its answer, cuts a long prompt at its beginning and asks the model.
"""

from __future__ import annotations

import logging
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import DataError
from stages.in_context.dclm_tasks import DclmTask
from stages.in_context.items import Item

LONGER = 10  # tokens that llm-foundry allows beyond the longest answer, behind a chain of thought
QUOTES = "‘’´`"


@dataclass(frozen=True)
class TaskAnswers:
    """Of every item whether the answer is right; and how many prompts lost their beginning to the model's length."""

    right: list[bool]
    prompts: int
    cut: int


def open_harness(folder: Path, *, batch_rows: int, device: str, trust_code: bool) -> Any:
    """lm-eval's own `HFLM` over a local Hugging Face folder, in float32."""
    from lm_eval.models.huggingface import HFLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    options: dict[str, Any] = {"dtype": "float32", "batch_size": batch_rows, "device": device}
    try:
        return HFLM(str(folder), trust_remote_code=trust_code, **options)  # pyright: ignore[reportCallIssue]
    except Exception as error:  # transformers raises whatever its parts raise
        found = f"lm-eval does not load it ({type(error).__name__}: {error})"
        raise DataError("the model", found, "a causal model in a Hugging Face folder") from error


def ask(lm: Any, task: DclmTask, items: Sequence[Item], *, seed: int, most: int | None, begins: bool) -> TaskAnswers:
    """Ask the first `most` of the items, or all.

    seed    of the items that stand before a question; they are drawn from all
    begins  put the token that texts begin with before each prompt, where the tokenizer does not by itself
    """
    asked = harness_task(lm, task, items, begins=begins)
    asked.set_fewshot_seed(seed)
    docs = list(asked.eval_docs)[:most]
    made = []
    for number, doc in enumerate(docs):
        context = asked.fewshot_context(doc, task.shots)
        found = asked.construct_requests(doc=doc, ctx=context, metadata=(task.name, number, 1))
        made.append(found if isinstance(found, list) else [found])
    requests = [request for group in made for request in group]
    if task.form == "generation":
        longest = requests[0].args[1]["max_gen_toks"]
        if longest >= lm.max_length:
            found = f"answers of up to {longest:,} tokens from a model that sees {lm.max_length:,} at once"
            raise DataError(task.name, found, "a model that sees more")
        cut = sum(len(lm.tok_encode(one.args[0])) > lm.max_length - longest for one in requests)
        given = iter(lm.generate_until(requests, disable_tqdm=True))
    else:  # the last token is predicted and never shown
        cut = sum(len(lm.tok_encode("".join(one.args))) > lm.max_length + 1 for one in requests)
        given = iter(lm.loglikelihood(requests, disable_tqdm=True))
    results = [asked.process_results(doc, [next(given) for _ in group]) for doc, group in zip(docs, made, strict=True)]
    return TaskAnswers([bool(result["acc"]) for result in results], len(requests), cut)


def harness_task(lm: Any, task: DclmTask, items: Sequence[Item], *, begins: bool) -> Any:
    """The task for lm-eval. Its one metric is `acc`."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    if len(items) <= task.shots:
        raise DataError(task.name, f"{len(items)} items", f"more than the {task.shots} that stand before a question")
    names = sorted({name for item in items for name in item})
    rows = Dataset.from_list([{name: item.get(name) for name in names} for item in items])
    begin = lm.tok_decode([lm.prefix_token_id], skip_special_tokens=False)
    adds = lm.tok_encode("a")[:1] == [lm.prefix_token_id]
    config: dict[str, Any] = {
        "task": task.name,
        "custom_dataset": lambda: {"test": rows},
        "test_split": "test",
        "fewshot_split": "test",
        "num_fewshot": task.shots,
        "description": begin if begins and not adds else "",
        "target_delimiter": "",
        "fewshot_delimiter": "\n",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "fewshot_config": {
            "doc_to_text": lambda doc: f"{task.before}{_question(doc)}{task.delimiter}",
            "doc_to_target": lambda doc: _shown(doc, task),
        },
    }
    return ConfigurableTask(config=config | _form(lm, task, items))


def _form(lm: Any, task: DclmTask, items: Sequence[Item]) -> dict[str, Any]:
    """What the form of a task says of a question, its answer and what is right."""

    def question(doc: Item) -> str:
        return f"{task.before}{_question(doc)}{task.delimiter}".rstrip()  # no token of white space before the answer

    if task.form == "language":
        return {
            "output_type": "loglikelihood",
            "doc_to_text": question,
            "doc_to_target": lambda doc: spaced(doc["continuation"]),
        }
    if task.form == "schema":
        return {
            "output_type": "multiple_choice",
            "doc_to_text": lambda doc: doc["gold"],
            "doc_to_choice": lambda doc: doc["context_options"],
            "doc_to_target": lambda doc: spaced(doc["continuation"]),
        }
    if task.form == "choice":

        def choices(doc: Item) -> list[str]:
            return [spaced(choice) for choice in doc["choices"]]

        def likeliest(doc: Item, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
            tokens = [max(1, len(lm.tok_encode(choice, add_special_tokens=False))) for choice in choices(doc)]
            mean = [sum_ / number for (sum_, _), number in zip(results, tokens, strict=True)]
            return {"acc": float(mean.index(max(mean)) == doc["gold"])}

        return {
            "output_type": "multiple_choice",
            "doc_to_text": question,
            "doc_to_choice": choices,
            "doc_to_target": lambda doc: doc["gold"],
            "process_results": likeliest,
        }
    longest = max(len(lm.tok_encode(text)) for item in items for text in _written(item, task))
    return {
        "output_type": "generate_until",
        "doc_to_text": question,
        "doc_to_target": lambda doc: doc["answer"],
        "generation_kwargs": {
            "until": list(task.stops), "do_sample": False, "max_gen_toks": longest + (LONGER if task.thought else 0),
        },
        "process_results": lambda doc, results: {"acc": float(answers(results[0], doc, task))},
    }  # fmt: skip


def spaced(answer: str) -> str:
    """An answer as it follows its question."""
    return answer if answer.startswith(" ") else f" {answer}"


def answers(text: str, item: Item, task: DclmTask) -> bool:
    """Whether what the model wrote begins with an answer, but for case, punctuation, articles and white space."""
    if task.stops:
        text = re.split("|".join(map(re.escape, task.stops)), text)[0]
    if task.thought:
        text = text.split(task.thought)[-1]
    return any(
        plain_answer(text).startswith(plain_answer(one)) for one in (item["answer"], *(item.get("aliases") or ()))
    )


def plain_answer(text: str) -> str:
    """As TriviaQA compares answers (Joshi et al. 2017), which llm-foundry took over."""
    lower = text.replace("_", " ").lower()
    letters = "".join(" " if letter in string.punctuation + QUOTES else letter for letter in lower)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", letters).split())


def _question(item: Item) -> str:
    return item["query"] if "query" in item else item["context"]


def _shown(item: Item, task: DclmTask) -> str:
    """The answer of an item that stands before a question."""
    if task.form == "choice":
        return item["choices"][item["gold"]]
    if task.form == "language":
        return item["continuation"]
    return _thought(item, task) + item["answer"]


def _written(item: Mapping[str, Any], task: DclmTask) -> list[str]:
    return [_thought(item, task) + one for one in (item["answer"], *(item.get("aliases") or ()))]


def _thought(item: Item, task: DclmTask) -> str:
    thought = item.get("chain_of_thought")
    return "" if thought is None else thought + task.thought
