"""The mean of a column over documents, by group, and how sure it is: a reward, a match, an agreement of two answers."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.contract import Context, Law, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import ID, columns_of
from stages.intervals import Resampled, interval, rounded
from stages.number_columns import check_numbers, numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MOST_GROUPS = 50  # in the report; the file has all


class MeasureNode(Resampled):
    """A node that gives documents, or what stands for them, a number each: `score/all.parquet` with `id`, `group` and
    `value`, and `size` where they do not count alike: its mean is the sum of `value` by that of `size`. So `ablation`
    can hold two of them against each other.
    """

    gives = "measure"

    @property
    @abstractmethod
    def measured(self) -> str:
        """What the number is, for tables."""

    @property
    def higher_is_better(self) -> bool:
        return True

    def write_score(self, ctx: Context, table: Mapping[str, Any], described: Any) -> None:
        """Write both files of the phase; without `group` there are no groups."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        nothing = pa.nulls(len(table["id"]), pa.string())
        with ctx.create(".parquet") as path:
            pq.write_table(pa.table({"id": None, "group": nothing} | dict(table)), path, compression="zstd")
        ctx.write_json(described)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure(MeasureNode):
    """The mean of a column of numbers or of bools, over all documents and by group, with intervals.

    docs        the documents
    value       a column of numbers or bools; a null is no answer, and counted apart
    over        a column of numbers, such as tokens: the mean is then the sum of `value` by the sum of `over`
    perplexity  whether exp of the mean stands beside it: of `likelihood_nats` over `likelihood_tokens` the perplexity
                of answers, which compares models of one tokenizer alone
    by          a column; each of its values is a group (null = one without a name)
    per         a column: documents of one value of it count as one, with their mean, as several answers to one prompt
                do. It is what `ablation` pairs by; without it each document stands for itself
    better      which side `ablation` calls better
    resamples   draws of documents with replacement, for the intervals
    level       of the intervals

    Writes `score/all.json` (groups) and `score/all.parquet` (`id`, `group`, `value` and with `over` its `size`, of
    every measured document, or of every value of `per`). Law: documents = measured + null. Errors: `DataError` for NaN,
    where no document has a value, and for an `over` that is null, below 0, or 0 in all.
    """

    docs: Node
    value: str
    over: str | None = None
    perplexity: bool = False
    by: str | None = None
    per: str | None = None
    better: Literal["higher", "lower"] = "higher"

    @property
    def measured(self) -> str:
        return self.value if self.over is None else f"{self.value} / {self.over}"

    @property
    def higher_is_better(self) -> bool:
        return self.better == "higher"

    def check(self) -> None:
        columns = columns_of(self.docs)
        for field, name in (("by", self.by), ("per", self.per)):
            if name is not None and name not in columns:
                raise RecipeError(f"measure.{field}", f"no column {name!r}", f"one of {', '.join(sorted(columns))}")
        check_numbers("measure", columns, value=self.value, over=self.over)

    def phases(self):
        law = Law("documents", "documents", ("measured", "null"))
        return (TaskPhase(name="score", keys=one, run=self._score, law=law),)

    def _score(self, ctx: Context, key: str) -> Result:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables, nulls = [], 0
        for table, without in self._tables(ctx):
            tables.append(table)
            nulls += without
        together = pa.concat_tables(tables) if tables else None
        if together is None or not together.num_rows:
            raise DataError("measure.docs", f"no document with a {self.value}", "at least one", "siftloom status")
        measured = together.num_rows
        if self.per is not None:
            how = [("value", "mean")] if self.over is None else [("value", "sum"), ("size", "sum")]
            means = together.group_by(ID, use_threads=False).aggregate([("group", "min"), *how])
            together = means.sort_by(ID).rename_columns([ID, "group", *(name for name, _ in how)])
        values, named = together["value"].to_numpy(), np.array([name or "" for name in together["group"].to_pylist()])
        size = np.ones(len(values)) if self.over is None else self._sizes(together)
        parts = {"all": slice(None)} | {name: named == name for name in sorted(set(named.tolist()) - {""})}
        found = {name: self._mean(values[rows], size[rows]) for name, rows in parts.items()}
        with ctx.create(".parquet") as path:
            pq.write_table(together, path, compression="zstd")
        ctx.write_json({"value": self.value, "better": self.better, "level": self.level, "groups": found})
        counts = {"documents": measured + nulls, "measured": measured, "null": nulls}
        return Result(counts=counts, facts={key: found["all"][key] for key in ("mean", "from", "to")})

    def _tables(self, ctx: Context) -> Iterator[tuple[pa.Table, int]]:
        """`id` (or `per`), `group` and `value` (float64) of the documents that have one, in the order of the base; and
        how many have none.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        for _, table in ctx.rows(list(dict.fromkeys([ID, self.value, *filter(None, (self.over, self.by, self.per))]))):
            rows, table = table.num_rows, table.filter(table[self.value].is_valid())
            group = table[self.by].cast("string") if self.by else pa.nulls(table.num_rows, pa.string())
            value = numbers_of(table, self.value, "measure.value")
            name = pc.coalesce(table[self.per].cast("string"), table[ID]) if self.per else table[ID]
            size = {} if self.over is None else {"size": numbers_of(table, self.over, "measure.over", 0, null=False)}
            yield pa.table({ID: name, "group": group, "value": value} | size), rows - table.num_rows

    def _sizes(self, table: pa.Table) -> np.ndarray:
        size = table["size"].to_numpy()
        if not size.sum() > 0:
            raise DataError("measure.over", "0 in all", "numbers of 0 and more, some above")
        return size

    def _mean(self, values: np.ndarray, size: np.ndarray) -> dict[str, Any]:
        low, high = interval(values, size, self.resamples, self.level, self.seed)
        mean = float(values.mean()) if self.over is None else float(values.sum() / size.sum())
        found = {"documents": len(values), "mean": mean, "from": low, "to": high}
        return found | ({"perplexity": math.exp(mean)} if self.perplexity else {})

    def figures(self, ctx: Context):
        found = ctx.read_json("score")
        more = ["perplexity"] if self.perplexity else []
        groups = list(found["groups"].items())[:MOST_GROUPS]
        rows = [[name, of["documents"], *rounded(of, *more)] for name, of in groups]
        title = f"{self.measured}{f' by {self.by}' if self.by else ''}"
        columns = [self.by or "group", "documents", *self.mean_columns(), *more]
        yield {"kind": "table", "title": title, "columns": columns, "rows": rows}
