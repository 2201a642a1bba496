"""The 53 tasks of DCLM: how each is asked, what chance scores, and which 22 of them are CORE.

From DCLM's `eval/heavy.yaml`, `eval/eval_meta_data.csv` (its version `v2` of the baselines) and `eval/
additional_aggregation.json` (`low_variance_datasets`). The files are those of llm-foundry, one JSON object a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

BASELINES = "v2"  # DCLM corrected its baselines once: means of the two versions differ by up to 0.03
Form = Literal["language", "choice", "schema", "generation"]
COLUMNS: dict[str, tuple[str, ...]] = {
    "language": ("context", "continuation"),
    "choice": ("query", "choices", "gold"),
    "schema": ("context_options", "continuation", "gold"),
    "generation": ("context", "answer"),
}


@dataclass(frozen=True)
class DclmTask:
    """One task.

    form         `language`: the model's likeliest tokens are the continuation; `choice`: the right choice has the
                 highest likelihood per token; `schema`: the continuation is likeliest behind the right context;
                 `generation`: what the model writes begins with one of the answers
    shots        items with their answers before each question
    chance       accuracy of guessing, percent
    file         the name of its file, without `.jsonl`
    delimiter    between a question and its answer
    before       a question
    thought      between a chain of thought and its answer
    stops        texts that end what the model writes
    by_category  the score is the mean over categories, and items before a question are of its category
    """

    name: str
    form: Form
    category: str
    shots: int
    chance: float
    file: str = ""
    delimiter: str = " "
    before: str = ""
    thought: str = ""
    stops: tuple[str, ...] = ()
    by_category: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", self.file or self.name)

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that its file must have."""
        return (*COLUMNS[self.form], *(("category",) if self.by_category else ()))

    def centered(self, accuracy: float) -> float:
        """0 for guessing, 1 for no mistake."""
        return (accuracy - 0.01 * self.chance) / (1.0 - 0.01 * self.chance)


WORLD, LANGUAGE, COMMON = "world knowledge", "language understanding", "commonsense reasoning"
SYMBOLIC, READING, SAFETY = "symbolic problem solving", "reading comprehension", "safety"
ANSWER = "\nAnswer: "
WRITTEN: dict[str, Any] = {"before": "Q: ", "thought": " #### ", "stops": ("\n\n", "Q:", "Q: ")}
THOUGHT: dict[str, Any] = {"delimiter": "\nA: Let's think step by step. ", **WRITTEN}
FORMULA: dict[str, Any] = {"delimiter": "\nUsing the formula below:\n", **WRITTEN}

EXTENDED = (
    DclmTask("mmlu_zeroshot", "choice", WORLD, 0, 25, file="mmlu", delimiter="Answer: ", by_category=True),
    DclmTask("hellaswag_zeroshot", "choice", LANGUAGE, 0, 25, file="hellaswag"),
    DclmTask("jeopardy", "language", WORLD, 10, 0, file="jeopardy_all", delimiter=ANSWER, by_category=True),
    DclmTask("triviaqa_sm_sub", "generation", WORLD, 3, 0),
    DclmTask("gsm8k_cot", "generation", SYMBOLIC, 3, 0, file="gsm8k", **THOUGHT),
    DclmTask("agi_eval_sat_math_cot", "generation", SYMBOLIC, 3, 0, file="agi_eval_sat_math", **THOUGHT),
    DclmTask("aqua_cot", "generation", SYMBOLIC, 3, 0, file="aqua", **THOUGHT),
    DclmTask("svamp_cot", "generation", SYMBOLIC, 3, 0, file="svamp", **FORMULA),
    DclmTask("bigbench_qa_wikidata", "language", WORLD, 10, 0),
    DclmTask("arc_easy", "choice", WORLD, 10, 25, delimiter=ANSWER),
    DclmTask("arc_challenge", "choice", WORLD, 10, 25, delimiter=ANSWER),
    DclmTask("mmlu_fewshot", "choice", WORLD, 5, 25, file="mmlu", delimiter=ANSWER, by_category=True),
    DclmTask("bigbench_misconceptions", "choice", WORLD, 10, 50),
    DclmTask("copa", "choice", COMMON, 0, 50),
    DclmTask("siqa", "choice", COMMON, 10, 50),
    DclmTask("commonsense_qa", "choice", COMMON, 10, 40.3),
    DclmTask("piqa", "choice", COMMON, 10, 50, delimiter=ANSWER),
    DclmTask("openbook_qa", "choice", COMMON, 0, 25),
    DclmTask("bigbench_novel_concepts", "choice", COMMON, 10, 25),
    DclmTask("bigbench_strange_stories", "choice", COMMON, 10, 50),
    DclmTask("bigbench_strategy_qa", "choice", COMMON, 10, 50),
    DclmTask("lambada_openai", "language", LANGUAGE, 0, 0),
    DclmTask("hellaswag", "choice", LANGUAGE, 10, 25),
    DclmTask("winograd", "schema", LANGUAGE, 0, 50, file="winograd_wsc"),
    DclmTask("winogrande", "schema", LANGUAGE, 0, 50),
    DclmTask("bigbench_conlang_translation", "language", LANGUAGE, 0, 0),
    DclmTask("bigbench_language_identification", "choice", LANGUAGE, 10, 25),
    DclmTask("bigbench_conceptual_combinations", "choice", LANGUAGE, 10, 33),
    DclmTask("bigbench_elementary_math_qa", "choice", SYMBOLIC, 10, 25),
    DclmTask("bigbench_dyck_languages", "language", SYMBOLIC, 10, 0),
    DclmTask("agi_eval_lsat_ar", "choice", SYMBOLIC, 3, 25),
    DclmTask("bigbench_cs_algorithms", "language", SYMBOLIC, 10, 0),
    DclmTask("bigbench_logical_deduction", "choice", SYMBOLIC, 10, 25),
    DclmTask("bigbench_operators", "language", SYMBOLIC, 10, 0),
    DclmTask("bigbench_repeat_copy_logic", "language", SYMBOLIC, 10, 0),
    DclmTask("simple_arithmetic_nospaces", "language", SYMBOLIC, 10, 0),
    DclmTask("simple_arithmetic_withspaces", "language", SYMBOLIC, 10, 0),
    DclmTask("math_qa", "choice", SYMBOLIC, 10, 20),
    DclmTask("logi_qa", "choice", SYMBOLIC, 10, 25, delimiter=ANSWER),
    DclmTask("pubmed_qa_labeled", "language", READING, 10, 0),
    DclmTask("squad", "language", READING, 10, 0),
    DclmTask("agi_eval_lsat_rc", "choice", READING, 3, 25),
    DclmTask("agi_eval_lsat_lr", "choice", READING, 3, 25),
    DclmTask("coqa", "language", READING, 0, 0),
    DclmTask("bigbench_understanding_fables", "choice", READING, 10, 25),
    DclmTask("boolq", "choice", READING, 10, 62, delimiter=ANSWER),
    DclmTask("agi_eval_sat_en", "choice", READING, 3, 25),
    DclmTask("winogender_mc_female", "choice", SAFETY, 10, 50),
    DclmTask("winogender_mc_male", "choice", SAFETY, 10, 50),
    DclmTask("enterprise_pii_classification", "choice", SAFETY, 10, 50),
    DclmTask("bbq", "choice", SAFETY, 3, 50, by_category=True),
    DclmTask("gpqa_main", "choice", WORLD, 5, 25, delimiter=ANSWER),
    DclmTask("gpqa_diamond", "choice", WORLD, 5, 25, delimiter=ANSWER),
)
CORE = frozenset(
    (
        "hellaswag_zeroshot", "jeopardy", "bigbench_qa_wikidata", "arc_easy", "arc_challenge", "copa",
        "commonsense_qa", "piqa", "openbook_qa", "lambada_openai", "hellaswag", "winograd", "winogrande",
        "bigbench_dyck_languages", "agi_eval_lsat_ar", "bigbench_cs_algorithms", "bigbench_operators",
        "bigbench_repeat_copy_logic", "squad", "coqa", "boolq", "bigbench_language_identification",
    )
)  # fmt: skip
TASKS = {task.name: task for task in EXTENDED}
FILES = frozenset(task.file for task in EXTENDED)
