"""A language model's verdict on each document, as a number: relevance, quality, anything a prompt can ask for.

Tele-Data (Maatouk et al. 2024, arXiv 2409.05314) lets a model judge the candidates that a list of words has found;
FineWeb-Edu (Penedo et al. 2024) asks for a mark from 0 to 5 and trains a fast classifier on the answers, which is
`train_classifier` here. Nothing is removed: `select` does that.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.bounds import Amount, Positive
from pipeline.contract import Columns, Context, Node, Resources, RowFunction, RowNode, RowPhase, runtime
from pipeline.errors import RecipeError
from stages.documents import ID
from stages.generate.endpoint import BadAnswer, Endpoint, EndpointLM, Refused
from stages.generate.lm import Sampling, prompt_digest
from stages.generate.loading import Backend, check_model, libraries_of, open_model, promises
from stages.generate.over_rows import whole_batches
from stages.generate.prompt import Template
from stages.wants import ModelOrFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from stages.generate.lm import LM, GeneratedText, Prompt

PROMPT = """Judge how useful the following text is for teaching a language model, from 0 (useless) to 5 (excellent).
End your answer with one line: "Score: <number>".

{text}"""


class Unparsed(BadAnswer):
    """No vote has a number in it that the pattern finds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge(RowNode):
    """Add the mean of the votes' numbers, float32 `<as>` (null where none could be read); the first answer,
    `<as>_answer`; the number of votes that could be read, int32 `<as>_votes`; the prompt's SHA-256, `<as>_prompt`.

    model      an endpoint, or a `pretrain`, `hf_model`, `export` or `model_folder` node
    prompt     with columns in braces
    pattern    a regular expression whose first group is the number; the last match in an answer counts
    low, high  the scale; a number outside it is no vote
    votes      answers to each prompt
    max_tokens, temperature, seed  how answers are drawn
    max_chars  how much of the text is put into the prompt, from its beginning
    on_error   `fail`: a row that cannot be judged fails its shard; `reason`: it is removed, and the error's text kept
    in_flight  requests to an endpoint at the same time, in the whole cluster
    token_budget  tokens, of prompts and answers, that one run may use at an endpoint; then the node fails, and
                what it has done is kept
    as_        (`as` in a recipe) the name of the column
    batch_rows  prompts at once for a model that is loaded here; part of the identity, since its sums depend on it
    backend    what runs it: `transformers`, or `vllm` (extra `vllm`), which promises no equal answers

    An endpoint does not promise equal answers, so its receipts are the identity: a finished node is never asked again.
    """

    docs: Node
    model: ModelOrFolder | Endpoint
    prompt: str = PROMPT
    pattern: str = r"[Ss]core:?\s*(-?\d+(?:\.\d+)?)"
    low: float = 0.0
    high: float = 5.0
    votes: Positive = 1
    max_tokens: Positive = 128
    temperature: Amount = 0.0
    seed: int = 0
    max_chars: Positive = 3000
    batch_rows: Positive = 16
    device: Literal["cpu", "cuda"] = "cpu"
    backend: Backend = "transformers"
    as_: str = "judge"
    on_error: Literal["fail", "reason"] = runtime("fail")
    in_flight: Positive = runtime(8)
    token_budget: Positive | None = runtime(None)
    commit_rows: Positive | None = runtime(256)

    version = 4  # what prompts have in common is read once
    row_errors = (Refused, Unparsed, BadAnswer)  # the first class that fits names the reason

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return libraries_of(self.model, self.backend)

    @property
    def deterministic(self) -> bool:  # type: ignore[override]
        return promises(self.model, self.backend)

    def check(self) -> None:
        check_model(self.model, "judge.model", self.backend)
        self._template().check("judge.prompt", self.docs)
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise RecipeError("judge.pattern", f"{self.pattern!r} ({error})", "a regular expression") from error
        if not groups:
            raise RecipeError("judge.pattern", f"{self.pattern!r}, which has no group", "the number in parentheses")
        if not self.low < self.high:
            raise RecipeError("judge.low, high", f"{self.low}, {self.high}", "the ends of a scale")
        try:
            self._sampling()
        except ValueError as error:
            raise RecipeError("judge", f"{error}", "settings that a draw can have") from error
        if self.on_error not in ("fail", "reason"):
            raise RecipeError("judge.on_error", f"{self.on_error!r}", "fail or reason")

    @property
    def needs(self):  # type: ignore[override]
        return self._template().needs()

    def _sampling(self) -> Sampling:
        return Sampling(samples=self.votes, max_tokens=self.max_tokens, temperature=self.temperature, seed=self.seed)

    def _template(self) -> Template:
        return Template(self.prompt, self.max_chars)

    def adds(self):
        kinds = {"": "float32", "_answer": "string", "_votes": "int32", "_prompt": "string"}
        return {self.as_ + suffix: kind for suffix, kind in kinds.items()}

    def resources(self) -> Resources:
        """One actor asks an endpoint, with all requests in flight; a model that is loaded here has one on every GPU, or
        two on the CPU.
        """
        if isinstance(self.model, Endpoint):
            return Resources(cpus=0.5, actors=(1, 1))
        return Resources(gpus=1.0) if self.device == "cuda" else Resources(actors=(1, 2))

    def phases(self):
        batch = self.in_flight if isinstance(self.model, Endpoint) else self.batch_rows
        return (
            RowPhase(
                open=self.open, needs=self.needs, resources=self.resources(), batch_rows=batch,
                commit_rows=whole_batches(self.commit_rows, batch), on_error=self.on_error,  # type: ignore[arg-type]
                reuse="batches" if self.deterministic else False,
            ),
        )  # fmt: skip

    def open(self, ctx: Context) -> RowFunction:
        lm = open_model(
            ctx, "model", self.batch_rows, self.device, backend=self.backend, token_budget=self.token_budget
        )
        how = self._sampling()

        def rows(table: pa.Table) -> Columns:
            import pyarrow as pa

            prompts = list(self._template().fill(table))
            answers = ask(lm, prompts, table[ID].to_pylist(), how, self.in_flight)
            verdicts = [self._verdict(answer) for answer in answers]
            columns = [
                pa.array([value for value, _, _, _ in verdicts], pa.float32()),
                pa.array([text for _, text, _, _ in verdicts], pa.string()),
                pa.array([votes for _, _, votes, _ in verdicts], pa.int32()),
                pa.array([prompt_digest(prompt) for prompt in prompts], pa.string()),
            ]
            errors = [error for _, _, _, error in verdicts]
            return Columns(added=dict(zip(self.adds(), columns, strict=True)), errors=errors if any(errors) else None)

        return rows

    def _verdict(self, answers: Sequence[GeneratedText] | Exception) -> tuple[float | None, str, int, Exception | None]:
        """(mean of the numbers, first answer, votes that count, what is wrong)."""
        if isinstance(answers, Exception):
            return None, "", 0, answers
        numbers = []
        for answer in answers:
            found = list(re.finditer(self.pattern, answer.text))
            value = _number(found[-1][1]) if found else None
            if value is not None and self.low <= value <= self.high:
                numbers.append(value)
        text = answers[0].text
        if not numbers:
            what = f"a number from {self.low:g} to {self.high:g} where {self.pattern!r} matches"
            return None, text, 0, Unparsed("judge", f"the answer {text[:200]!r}", what)
        return sum(numbers) / len(numbers), text, len(numbers), None


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def ask(
    lm: LM, prompts: Sequence[Prompt], keys: Sequence[str], sampling: Sampling, in_flight: int
) -> list[Sequence[GeneratedText] | Exception]:
    """The answers to every prompt, or what went wrong with it alone. An endpoint is asked by `in_flight` threads.

    Raises `EndpointFailed` when the server does not answer at all: then no row is at fault.
    """
    if not isinstance(lm, EndpointLM):
        return list(lm.generate(prompts, keys, sampling))

    def one(request: tuple[Prompt, str]) -> Sequence[GeneratedText] | Exception:
        try:
            return lm.generate([request[0]], [request[1]], sampling)[0]
        except (Refused, BadAnswer) as error:
            return error

    with ThreadPoolExecutor(in_flight) as pool:
        return list(pool.map(one, zip(prompts, keys, strict=True)))
