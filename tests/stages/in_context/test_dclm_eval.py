"""DCLM's tasks against lm-eval's own run of them, and CORE against DCLM's own reference files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from run_here import Here
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from pipeline.errors import DataError, UserError
from pipeline.report.figures import check
from stages.generate.folder import FolderLM
from stages.generate.lm import Sampling
from stages.generate.model_folder import ModelFolder
from stages.in_context.dclm_eval import DclmEval
from stages.in_context.dclm_scores import reference
from stages.in_context.dclm_tasks import CORE, EXTENDED, TASKS
from stages.in_context.harness import answers
from stages.in_context.items import read_items
from tests.stages.generate.small_models import folder_of

WORDS = ("cat", "mat", "dog", "log", "text", "words", "tokenizer")
FALCON = Path(__file__).parent / "falcon_7b.json"


def sentences(number: int) -> list[str]:
    return [f"the {WORDS[n % 7]} sat on the {WORDS[n // 7 % 7]} and {WORDS[n * 3 % 7]}" for n in range(number)]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model with random weights to whom a word is likelier than a piece of one."""
    folder = folder_of(tmp_path_factory.mktemp("model") / "small", length=256)
    words = [token for name, token in AutoTokenizer.from_pretrained(folder).get_vocab().items() if name[0] == "Ġ"]
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"][words] *= 5.0
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def tasks(model, tmp_path_factory) -> Path:
    """A file of every form. Of two items of `lambada_openai` in three the model is right."""
    folder = tmp_path_factory.mktemp("tasks")
    lm = FolderLM(model, batch_rows=16)
    asked = sentences(49)
    greedy = Sampling(max_tokens=1, temperature=0.0)
    told = [one.text for [one] in lm.generate(asked, asked, greedy)]
    known = [(text, word) for text, word in zip(asked, told, strict=True) if word.startswith(" ") and word.strip()][:8]
    assert len(known) > 3
    rows: dict[str, list[dict[str, Any]]] = {
        "lambada_openai": [
            {"context": f" {text}\n", "continuation": "zebra" if n % 3 == 2 else word}
            for n, (text, word) in enumerate(known)
        ],
        "arc_easy": [
            {"query": f"Where {text}?", "choices": ["on the log", "mat", "a small text", "the dog"], "gold": n % 4}
            for n, text in enumerate(sentences(14))
        ],
        "winograd_wsc": [
            {"context_options": [text, text[4:]], "continuation": "sat on.", "gold": n % 2}
            for n, text in enumerate(sentences(9))
        ],
        "jeopardy_all": [
            {"context": f"{kind}: {text}", "continuation": "mat", "category": kind}
            for kind in ("logs", "dogs") for text in sentences(11)
        ],
        "svamp": [
            {"context": f"How many {word}s?", "answer": "the", "chain_of_thought": "( 1 )", "aliases": ["at", word]}
            for word in WORDS
        ],
    }  # fmt: skip
    for name, items in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "notes.jsonl").write_text("no item of any task\n")
    return folder


def node(model: Path, tasks: Path, **fields: Any) -> DclmEval:
    return DclmEval(model=ModelFolder(paths=(str(model),)), paths=(str(tasks),), which="extended", **fields)


@pytest.fixture(scope="module")
def done(model, tasks, tmp_path_factory) -> Here:
    return Here(node(model, tasks, beside=(str(FALCON),)), tmp_path_factory.mktemp("store"))


def table(here: Here) -> dict[str, Any]:
    return json.loads((here.root / here.state.folder(here.target) / "data/table/all.json").read_text())


def own_run(model: Path, tasks: Path, cache: Path) -> dict[str, tuple[float, list[bool]]]:
    """The same tasks as a user of lm-eval writes them, run by lm-eval."""
    from lm_eval import evaluator

    tokenizer = AutoTokenizer.from_pretrained(model)

    def likeliest(doc, results):
        sizes = [len(tokenizer(f" {choice}")["input_ids"]) for choice in doc["choices"]]
        mean = [nats / size for (nats, _), size in zip(results, sizes, strict=True)]
        return {"acc": int(mean.index(max(mean)) == doc["gold"])}

    written = {
        "lambada_openai": {
            "output_type": "loglikelihood", "doc_to_text": "{{context.strip()}}",
            "doc_to_target": " {{continuation.strip()}}", "num_fewshot": 0, "target_delimiter": "",
        },
        "arc_easy": {
            "output_type": "multiple_choice", "doc_to_text": "{{query}}\nAnswer:", "doc_to_choice": "choices",
            "doc_to_target": "gold", "num_fewshot": 10, "process_results": likeliest,
        },
        "winograd_wsc": {
            "output_type": "multiple_choice", "doc_to_text": "gold", "doc_to_choice": "context_options",
            "doc_to_target": "continuation", "num_fewshot": 0,
        },
    }  # fmt: skip
    configs: list[Any] = [
        {
            "task": f"own_{name}", "dataset_path": "json", "test_split": "test", "fewshot_split": "test",
            "dataset_kwargs": {"data_files": {"test": str(tasks / f"{name}.jsonl")}, "cache_dir": str(cache)},
            "description": "<end>", "fewshot_delimiter": "\n",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}], **config,
        }
        for name, config in written.items()
    ]  # fmt: skip
    found: Any = evaluator.simple_evaluate(  # pyright: ignore[reportCallIssue]
        "hf", model_args={"pretrained": str(model), "dtype": "float32"}, tasks=configs, batch_size=16, device="cpu",
        fewshot_random_seed=1234, bootstrap_iters=0,
    )  # fmt: skip
    return {
        name: (
            found["results"][f"own_{name}"]["acc,none"],
            [bool(one["acc"]) for one in found["samples"][f"own_{name}"]],
        )
        for name in written
    }


@pytest.mark.long
def test_a_score_is_that_of_lm_evals_own_run(done, model, tasks, tmp_path):
    scores = table(done)["eval_metrics"]["icl"]
    data = done.root / done.state.folder(done.target) / "data/score"
    own = own_run(model, tasks, tmp_path)
    for name, (accuracy, right) in own.items():
        task = next(task for task in EXTENDED if task.file == name)
        assert scores[task.name] == pytest.approx(accuracy, abs=1e-6)
        assert pq.read_table(data / f"{task.name}.parquet")["right"].to_pylist() == right
    assert len({accuracy for accuracy, _ in own.values()}) == 3
    assert 0 < own["lambada_openai"][0] < 1
    assert 0 < own["arc_easy"][0] < 1


def test_core_is_said_to_be_over_the_tasks_that_ran_and_stands_beside_dclms_own(done):
    found = table(done)
    icl = found["eval_metrics"]["icl"]
    assert set(icl) == {"lambada_openai", "arc_easy", "winograd", "jeopardy", "svamp_cot"}
    by_hand = [icl["lambada_openai"], (icl["arc_easy"] - 0.25) / 0.75, (icl["winograd"] - 0.5) / 0.5, icl["jeopardy"]]
    assert found["low_variance_datasets_centered"] == pytest.approx(sum(by_hand) / 4, abs=1e-12)
    assert found["Core"].startswith("N/A due to missing tasks: ['hellaswag_zeroshot', ")
    assert found["Core"].count("'") == 2 * 18
    [drawn, missing] = json.loads((done.root / done.state.folder(done.target) / "figures.json").read_text())
    check(drawn)
    rows = {row[0]: row[1:] for row in drawn["rows"]}
    assert rows["CORE, 4 of 22 tasks"][-2] == pytest.approx(sum(by_hand) / 4, abs=1e-4)
    assert "EXTENDED, 5 of 53 tasks" in rows
    assert rows["arc_easy"][-1] == pytest.approx((0.7571548819541931 - 0.25) / 0.75, abs=1e-4)
    assert "coqa: no file coqa.jsonl" in missing["lines"]
    assert found["prompts"]["arc_easy"]["prompts"] == 4 * 14
    assert found["prompts"]["arc_easy"]["cut_prompts"] > 0  # ten items before a question are more than 256 tokens
    assert found["prompts"]["winograd"]["cut_prompts"] == 0


def test_a_task_alone_gives_the_same_bytes_and_another_limit_or_seed_others(done, model, tasks, tmp_path):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/arc_easy.jsonl").write_bytes((tasks / "arc_easy.jsonl").read_bytes())
    alone = Here(node(model, tmp_path / "alone"), tmp_path / "store")
    assert alone.files("score")["arc_easy.parquet"] == done.files("score")["arc_easy.parquet"]
    few = Here(node(model, tmp_path / "alone", items=3), tmp_path / "store")
    assert few.state.folder(few.target) != alone.state.folder(alone.target)
    path = few.root / few.state.folder(few.target) / "data/score/arc_easy.parquet"
    whole = alone.root / alone.state.folder(alone.target) / "data/score/arc_easy.parquet"
    assert pq.read_table(path)["right"].to_pylist() == pq.read_table(whole)["right"].to_pylist()[:3]


def test_the_means_are_those_of_dclms_own_files():
    given = json.loads(FALCON.read_text())
    found = reference(given["eval_metrics"]["icl"])
    for name in ("Core", "Extended", "Core_v2", "Extended_v2", "aggregated_results", "low_variance_datasets"):
        assert found[name] == pytest.approx(given[name], abs=1e-12)
    assert found["missing tasks"] == given["missing tasks"] == "[]"
    assert (len(EXTENDED), len(TASKS), len(CORE), CORE <= TASKS.keys()) == (53, 53, 22, True)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The_Onion, of course", True),
        ("an allium cepa!", True),
        ("carrot onion", False),
        ("so #### onion\n\nQ: carrot", True),
        ("Q: onion", False),
    ],
)
def test_what_is_written_begins_with_an_answer_behind_its_thought(text, right):
    item = {"answer": "Onion", "aliases": ["Allium cepa"]}
    assert answers(text, item, TASKS["gsm8k_cot"]) is right


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("piqa", {"question": "a", "choices": ["b", "c"], "gold": 0}, "no column 'query'"),
        ("piqa", {"query": "a", "choices": ["b", "c"], "gold": 2}, "gold is 2"),
        ("piqa", {"query": "a", "choices": "b", "gold": 0}, "choices is 'b'"),
        ("jeopardy_all", {"context": "a", "continuation": "b"}, "no column 'category'"),
        ("other", {}, "no file of a task among other.jsonl"),
    ],
)
def test_a_file_that_does_not_fit_is_named_before_anything_runs(model, tmp_path, name, line, said):
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/{name}.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=said):
        Here(node(model, tmp_path / "in"), tmp_path / "store")
    assert not list((tmp_path / "store").glob("nodes/model_folder-*/data/files"))


def test_what_only_a_run_can_see_is_named(model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/copa.jsonl").write_text('{"query": "a", "choices": ["b"], "gold": 0}\n{"query": "a"}\n')
    with pytest.raises(DataError, match=r"copa\.jsonl:2: no column 'choices'"):
        Here(node(model, tmp_path / "in"), tmp_path / "store")
    few = [b'{"query": "a", "choices": ["b"], "gold": 0}']
    assert len(read_items("piqa", few, TASKS["piqa"])) == 1
    (tmp_path / "in/copa.jsonl").rename(tmp_path / "in/piqa.jsonl")
    (tmp_path / "in/piqa.jsonl").write_bytes(few[0])
    with pytest.raises(DataError, match="1 items; expected more than the 10"):
        Here(node(model, tmp_path / "in"), tmp_path / "store")
