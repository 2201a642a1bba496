"""How often a policy's answer beats the reference's, under the way in which both are sampled, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.bounds import Positive
from pipeline.contract import Context, Law, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import ID, columns_of
from stages.intervals import rounded
from stages.measure import MeasureNode
from stages.number_columns import check_numbers, numbers_of
from stages.rewards.tilting import Kind

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True, eq=False)
class WinRate(MeasureNode):
    """The share of draws in which the policy's answer has the higher reward, a tie counting half, with its interval.

    policy     answers of the policy, with their rewards
    reference  answers of the reference to the same prompts
    reward     the column of rewards in both; answers without one are no draws
    by         the column that tells prompts apart
    sampling   `plain`: one answer each; `best` or `worst` of `n` answers each, estimated without bias from all
    n          answers that are drawn
    nats       two columns of the policy's answers, their negative log-likelihood under the policy and under the
               reference (`likelihood`): then the divergence stands beside the win rate [nats per answer]
    resamples  draws of prompts with replacement, for the intervals
    level      of the intervals

    Writes `score/all.json`, and `score/all.parquet`: `id` (the prompt), `group` (null) and `value` (its win rate), so
    that `ablation` compares arms. Law: prompts = compared + few (fewer than `n` answers on a side, or in one alone).
    """

    policy: Node
    reference: Node
    reward: str
    by: str = "prompt"
    sampling: Kind = "plain"
    n: Positive = 1
    nats: tuple[str, str] | None = None

    stream = "policy"

    @property
    def measured(self) -> str:
        return "win rate"

    def check(self) -> None:
        for field, columns in (("policy", columns_of(self.policy)), ("reference", columns_of(self.reference))):
            nats = self.nats if self.nats is not None and field == "policy" else ()
            if self.by not in columns:
                raise RecipeError(f"win_rate.{field}", f"no column {self.by!r}", f"one of {', '.join(sorted(columns))}")
            for name in (self.reward, *nats):
                check_numbers("win_rate", columns, **{field: name})
        if self.sampling == "plain" and self.n > 1:
            raise RecipeError(
                "win_rate.n", f"{self.n} answers, and sampling: plain", "sampling: best or worst, or n: 1"
            )

    def phases(self):
        law = Law("prompts", "prompts", ("compared", "few"))
        return (TaskPhase(name="score", keys=one, run=self._score, law=law),)

    def _score(self, ctx: Context, key: str) -> Result:
        import numpy as np

        from stages.rewards.tilting import wins

        policy, reference = self._rewards(ctx, "policy"), self._rewards(ctx, "reference")
        rates = {
            prompt: wins(np.array(policy[prompt]), np.array(reference[prompt]), self.n, self.sampling)
            for prompt in sorted(policy.keys() & reference.keys())
            if min(len(policy[prompt]), len(reference[prompt])) >= self.n
        }
        if not rates:
            found = f"no prompt with {self.n} answers on both sides"
            raise DataError("win_rate.policy, reference", found, "answers to the same prompts", "generate: samples")
        values = np.array(list(rates.values()))
        score: dict[str, Any] = {"sampling": self.sampling, "n": self.n, "level": self.level}
        score["win_rate"] = {"prompts": len(values), **self.mean_of(values)}
        if self.nats is not None:
            divergences = np.array(self._divergences(ctx, rates))
            score["kl"] = {"prompts": len(divergences), **self.mean_of(divergences)}
        self.write_score(ctx, {"id": list(rates), "value": values}, score)
        prompts = len(policy.keys() | reference.keys())
        facts = {name: score[name]["mean"] for name in ("win_rate", "kl") if name in score}
        return Result(counts={"prompts": prompts, "compared": len(rates), "few": prompts - len(rates)}, facts=facts)

    def _columns(self, ctx: Context, side: str, *names: str) -> Iterator[tuple[Any, ...]]:
        """Rows of the columns; none in which one is null."""
        for _, table in ctx.rows(list(dict.fromkeys([ID, self.by, *names])), of=side):
            numbers = (numbers_of(table, name, f"win_rate.{side}").tolist() for name in names)
            for row in zip(table[self.by].to_pylist(), *numbers, strict=True):
                if row[0] is not None and all(number == number for number in row[1:]):
                    yield row

    def _rewards(self, ctx: Context, side: str) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for prompt, reward in self._columns(ctx, side, self.reward):
            found.setdefault(str(prompt), []).append(reward)
        return found

    def _divergences(self, ctx: Context, rates: dict[str, float]) -> list[float]:
        """Of every compared prompt the mean of ln policy(answer) - ln reference(answer) over the policy's answers."""
        sums: dict[str, tuple[float, int]] = {}
        for prompt, own, other in self._columns(ctx, "policy", *(self.nats or ())):
            total, number = sums.get(str(prompt), (0.0, 0))
            sums[str(prompt)] = (total + other - own, number + 1)
        return [total / number for total, number in (sums[prompt] for prompt in rates if prompt in sums)]

    def figures(self, ctx: Context):
        found = ctx.read_json("score")
        names = {"win_rate": "win rate", "kl": "divergence from the reference, nats per answer"}
        rows = [[name, *rounded(found[key])] for key, name in names.items() if key in found]
        how = self.sampling if self.sampling == "plain" else f"{self.sampling} of {self.n}"
        columns = ["", *self.mean_columns()]
        yield {"kind": "table", "title": f"Policy against reference: {how}", "columns": columns, "rows": rows}
