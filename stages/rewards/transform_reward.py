"""Calibrated rewards, made ready for the way in which the model will be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from pipeline.bounds import AmountAboveZero
from pipeline.contract import Columns, Context, Node, RowFunction, RowNode, RowPhase
from pipeline.errors import RecipeError
from stages.documents import ID, columns_of
from stages.neighbours import groups
from stages.number_columns import check_numbers, numbers_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class TransformReward(RowNode):
    """Add what `pointwise` learns from, float64: `phi`, a function of u; `beta`, by which it is divided; and `log_z`,
    ln mean exp(phi / beta) over the answers to the same prompt.

    docs  documents with `u`, those of one prompt behind one another
    t     phi = sign(t) exp(t u); 0 = u itself. Best of n: about 2.5 n; worst of n: the same below 0
    kl    the divergence [nats] from the reference that beta is solved for, as if u were uniform
    beta  instead of `kl`
    u     the column of calibrated rewards
    by    the column that tells prompts apart

    Where `u` is null all three are. Source: Balashankar et al. 2024 (InfAlign, arXiv 2412.19792).
    """

    docs: Node
    t: Annotated[float, Interval(ge=-50, le=50)] = 0.0
    kl: Annotated[float, Interval(gt=0, le=5)] | None = None
    beta: AmountAboveZero | None = None
    u: str = "u"
    by: str = "prompt"

    def check(self) -> None:
        columns = columns_of(self.docs)
        for field, name in (("u", self.u), ("by", self.by)):
            if name not in columns:
                raise RecipeError(f"transform_reward.{field}", f"no column {name!r}", "a column, as calibrate adds it")
        check_numbers("transform_reward", columns, u=self.u)
        if (self.kl is None) == (self.beta is None):
            raise RecipeError("transform_reward.kl, beta", f"{self.kl} and {self.beta}", "one of the two")

    def adds(self) -> Mapping[str, str]:
        return dict.fromkeys(("phi", "beta", "log_z"), "float64")

    def phases(self):
        return (RowPhase(open=self.open, needs=(ID, self.by, self.u), together=self.by, batch_rows=1024, reuse=False),)

    def open(self, ctx: Context) -> RowFunction:
        import numpy as np
        import pyarrow as pa

        from stages.rewards.tilting import beta_for, log_mean_exp, transformed

        beta = self.beta if self.beta is not None else beta_for(self.t, self.kl or 0.0)

        def rows(table: pa.Table) -> Columns:
            u, names = numbers_of(table, self.u, "transform_reward.u"), table[self.by].to_pylist()
            phi, log_z = transformed(u, self.t), np.full(len(u), np.nan)
            for start, end in groups(names):
                at = start + np.flatnonzero(~np.isnan(u[start:end]))
                if len(at):
                    log_z[at] = log_mean_exp(phi[at] / beta)
            betas = np.where(np.isnan(u), np.nan, beta)
            return Columns(
                added={
                    name: pa.array(values, from_pandas=True)
                    for name, values in (("phi", phi), ("beta", betas), ("log_z", log_z))
                }
            )

        return rows
