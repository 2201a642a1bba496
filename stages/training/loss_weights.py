"""Weights of documents from losses that do not change with the model that is trained.

What is hardest of its kind is mostly noise, what is easiest boilerplate: both ends get less weight, and every domain
keeps its share of the tokens, as code and tables have other losses than prose for reasons that are none of quality. The
weight is a prior: training adds its logarithm to the row's logit (`reweight`), or draws rows by it (`by_prior`).

Sources: quantile bands as in perplexity pruning (Ankner et al. 2024, arXiv 2405.20541), as weights instead of cuts;
excess losses over a reference as in RHO-LOSS (Mindermann et al. 2022) and, for whole domains, DoReMi (Xie et al. 2023,
arXiv 2305.10429), of which `domain_step` is one update at the end and not the run of updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.bounds import Amount, AmountAboveZero, Positive, Share
from pipeline.contract import Columns, Context, Node, Result, RowFunction, RowPhase, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.chance import WHOLE, draws, share_limit
from stages.documents import HELD_OUT, ID, LOG_PRIOR, REF_LOSS, REF_TOKENS, columns_of
from stages.number_columns import check_numbers, numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SHOWN = 50
UNSEEN = 1e30  # quantiles of a domain of which the draw has no document


@dataclass(frozen=True, kw_only=True, eq=False)
class LossWeights(Node):
    """Add `log_prior`, float32: the logarithm of each document's weight, 0 for a document without a loss.

    by           column of losses
    minus        column of losses under a reference, to weigh by the difference (excess loss)
    tokens       column of the numbers of tokens
    domain       column that tells domains apart; null = all documents are one
    low          quantile of a domain's documents below which weights are lower
    high         quantile above which weights are lower
    low_weight   weight below, before a domain's weights are scaled to a mean of one over its tokens; `select` removes
    high_weight  weight above, likewise
    domain_step  a domain's weight is also multiplied by exp(domain_step * excess), with its mean excess loss where
                 that is positive; 0 keeps the shares of all domains. Needs `minus`
    sample_rows  quantiles are exact for so many documents, and of more those of a keyed draw
    seed         of that draw
    as_          (`as` in a recipe) the name of the column

    Held-out documents have no say in quantiles and means. Errors: `DataError` when no document has a loss.
    """

    docs: Node
    by: str = REF_LOSS
    minus: str | None = None
    tokens: str = REF_TOKENS
    domain: str | None = "source"
    low: Share = 0.05
    high: Share = 0.95
    low_weight: AmountAboveZero = 0.25
    high_weight: AmountAboveZero = 0.25
    domain_step: Amount = 0.0
    sample_rows: Positive = 10_000_000
    seed: int = 0
    as_: str = LOG_PRIOR

    version = 2

    def check(self) -> None:
        for field, name in (("by", self.by), ("minus", self.minus), ("tokens", self.tokens)):
            if name in (have := columns_of(self.docs)):
                check_numbers("loss_weights", have, **{field: name})
        if self.low > self.high:
            raise RecipeError("loss_weights.low, high", f"{self.low}, {self.high}", "two quantiles in order")
        if self.domain_step and self.minus is None:
            raise RecipeError(
                "loss_weights.domain_step", f"{self.domain_step}, and no column of a reference in `minus`",
                "a column of losses under a reference", "set minus, or leave domain_step 0",
            )  # fmt: skip

    def adds(self):
        return {self.as_: "float32"}

    def phases(self):
        return (
            TaskPhase(name="bands", keys=one, run=self._bands),
            RowPhase(open=self._open, needs=(ID, *self._columns)),
        )

    @property
    def _columns(self) -> tuple[str, ...]:
        return tuple(name for name in (self.by, self.minus, self.tokens, self.domain) if name is not None)

    def _bands(self, ctx: Context, key: str) -> Result:
        """`bands/all.json`: domain -> its quantiles, and the logarithm of what its weights are multiplied by."""
        import numpy as np

        share = min(1.0, self.sample_rows / max(1, sum(shard.rows for shard in ctx.shards())))
        limit, scores = share_limit(share) if share < 1.0 else WHOLE, dict[str, list[np.ndarray]]()
        for table in self._tables(ctx):
            if limit < WHOLE:
                table = table.filter(draws(table[ID].to_pylist(), self.seed, "loss_weights") < limit)
            for name, score, _ in self._of_domains(table):
                scores.setdefault(name, []).append(score)
        if not scores:
            raise DataError(f"loss_weights.{self.by}", "no document with a loss", "losses of documents (`score_loss`)")
        cuts = {name: np.quantile(np.concatenate(parts), [self.low, self.high]) for name, parts in scores.items()}
        sums = {name: np.zeros(4) for name in cuts}  # documents, tokens, weights of the tokens, losses of the tokens
        for table in self._tables(ctx):
            for name, score, tokens in self._of_domains(table):
                weight = self._weights(score, *cuts.setdefault(name, np.array([-UNSEEN, UNSEEN])))
                sums.setdefault(name, np.zeros(4))
                sums[name] += [len(score), tokens.sum(), weight @ tokens, score @ tokens]
        logs = {name: self.domain_step * max(0.0, float(s[3] / max(1.0, s[1]))) for name, s in sums.items()}
        highest = max(logs.values())  # it cancels, and what is left is at most 1
        factors = {name: np.exp(log - highest) for name, log in logs.items()}
        mean = sum(factors[name] * s[1] for name, s in sums.items()) / max(1.0, sum(s[1] for s in sums.values()))
        bands = {
            name: {
                "documents": int(s[0]), "tokens": int(s[1]), "low": float(cuts[name][0]), "high": float(cuts[name][1]),
                "share": float(factors[name] / mean),
                "log_scale": float(
                    logs[name] - highest - np.log(mean) - (np.log(s[2] / s[1]) if s[1] else 0.0)
                ),
            }
            for name, s in sorted(sums.items())
        }  # fmt: skip
        ctx.write_json(bands)
        counts = {"documents": int(sum(s[0] for s in sums.values())), "domains": len(bands)}
        return Result(counts=counts)

    def _tables(self, ctx: Context) -> Iterator[pa.Table]:
        """Documents with a loss that are not held out."""
        import pyarrow.compute as pc

        marked = [HELD_OUT] if HELD_OUT in columns_of(self.docs) else []
        for _, table in ctx.rows([ID, *self._columns, *marked]):
            if marked:
                table = table.filter(pc.invert(pc.fill_null(table[HELD_OUT], False)))
            yield table

    def _of_domains(self, table: pa.Table) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """(domain, losses, tokens) of the documents of each domain that have a loss."""
        import numpy as np

        score, domains = self._scores(table), self._domains(table)
        tokens = numbers_of(table, self.tokens, "loss_weights.tokens", 0)
        scored = ~np.isnan(score) & (tokens > 0)
        for name in sorted(set(domains[scored].tolist())):
            at = scored & (domains == name)
            yield name, score[at], tokens[at]

    def _scores(self, table: pa.Table) -> np.ndarray:
        score = numbers_of(table, self.by, "loss_weights.by")
        return score if self.minus is None else score - numbers_of(table, self.minus, "loss_weights.minus")

    def _domains(self, table: pa.Table) -> np.ndarray:
        import numpy as np
        import pyarrow.compute as pc

        if self.domain is None:
            return np.full(table.num_rows, "", object)
        return np.array(pc.fill_null(table[self.domain].cast("string"), "").to_pylist(), object)

    def _weights(self, score: np.ndarray, low: float, high: float) -> np.ndarray:
        import numpy as np

        return np.where(score < low, self.low_weight, np.where(score > high, self.high_weight, 1.0))

    def _open(self, ctx: Context) -> RowFunction:
        import numpy as np

        bands = ctx.read_json("bands")

        def rows(table: pa.Table) -> Columns:
            score, domains = self._scores(table), self._domains(table)
            found = np.zeros(table.num_rows)
            for name in set(domains.tolist()) & set(bands):
                at, band = np.flatnonzero((domains == name) & ~np.isnan(score)), bands[name]
                found[at] = np.log(self._weights(score[at], band["low"], band["high"])) + band["log_scale"]
            return Columns(added={self.as_: found.astype(np.float32)})

        return rows

    def figures(self, ctx: Context) -> Iterator[dict[str, Any]]:
        bands = ctx.read_json("bands")
        largest = sorted(bands.items(), key=lambda item: (-item[1]["tokens"], item[0]))[:SHOWN]
        yield {
            "kind": "table",
            "title": f"Bands of {self.by}",
            "columns": ["domain", "documents", "tokens", f"quantile {self.low:g}", f"quantile {self.high:g}", "share"],
            "rows": [
                [name, b["documents"], b["tokens"], round(b["low"], 4), round(b["high"], 4), round(b["share"], 4)]
                for name, b in largest
            ],
        }
