"""The mean of a column over documents, by group, and how sure it is: a reward, a match, an agreement of two answers."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Interval

from pipeline.contract import ONE, Context, Law, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import ID, columns_of
from stages.intervals import interval

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NUMBERS = ("bool", "int", "uint", "float", "double", "halffloat")
MOST_GROUPS = 50  # in the report; the file has all


class MeasureNode(Node):
    """A node that gives documents, or what stands for them, a number each: `score/all.parquet` with `id`, `group` and
    `value`. So `ablation` can hold two of them against each other.
    """

    gives = "measure"

    @property
    @abstractmethod
    def measured(self) -> str:
        """What the number is, for tables."""

    @property
    @abstractmethod
    def higher_is_better(self) -> bool: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure(MeasureNode):
    """The mean of a column of numbers or of bools, over all documents and by group, with intervals.

    docs       the documents
    value      a column of numbers or bools; a null is no answer, and counted apart
    by         a column; each of its values is a group (null = one without a name)
    per        a column: documents of one value of it count as one, with their mean, as several answers to one prompt
               do. It is what `ablation` pairs by; without it each document stands for itself
    better     which side `ablation` calls better
    resamples  draws of documents with replacement, for the intervals
    level      of the intervals

    Writes `score/all.json` (groups) and `score/all.parquet` (`id`, `group` and `value` of every measured document, or
    of every value of `per`). Law: documents = measured + null. Errors: `DataError` for NaN, and where no document has
    a value.
    """

    docs: Node
    value: str
    by: str | None = None
    per: str | None = None
    better: Literal["higher", "lower"] = "higher"
    resamples: Annotated[int, Ge(100)] = 2000
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.95
    seed: int = 0

    @property
    def measured(self) -> str:
        return self.value

    @property
    def higher_is_better(self) -> bool:
        return self.better == "higher"

    def check(self) -> None:
        columns = columns_of(self.docs)
        for field, name in (("value", self.value), ("by", self.by), ("per", self.per)):
            if name is not None and name not in columns:
                raise RecipeError(f"measure.{field}", f"no column {name!r}", f"one of {', '.join(sorted(columns))}")
        if not columns[self.value].startswith(NUMBERS):
            raise RecipeError(
                "measure.value", f"{self.value!r} of type {columns[self.value]}", "a column of numbers or of bools"
            )

    def phases(self):
        law = Law("documents", "documents", ("measured", "null"))
        return (TaskPhase(name="score", keys=one, run=self._score, law=law),)

    def _score(self, ctx: Context, key: str) -> Result:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables, nulls = [], 0
        for table in self._tables(ctx):
            kept = table.filter(table["value"].is_valid())
            nulls += table.num_rows - kept.num_rows
            tables.append(kept)
        together = pa.concat_tables(tables) if tables else None
        if together is None or not together.num_rows:
            raise DataError("measure.docs", f"no document with a {self.value}", "at least one", "siftloom status")
        measured, values = together.num_rows, together["value"].to_numpy()
        if (bad := np.flatnonzero(np.isnan(values))).size:
            found = f"{self.value} of document {together[ID][int(bad[0])].as_py()!r} is NaN, as of {bad.size} in all"
            raise DataError("measure.value", found, "numbers, or null for no answer")
        if self.per is not None:
            means = together.group_by(ID, use_threads=False).aggregate([("group", "min"), ("value", "mean")])
            together = means.sort_by(ID).rename_columns([ID, "group", "value"])
        values, named = together["value"].to_numpy(), np.array([name or "" for name in together["group"].to_pylist()])
        parts = {"all": values} | {name: values[named == name] for name in sorted(set(named.tolist()) - {""})}
        found = {name: self._mean(part) for name, part in parts.items()}
        with ctx.create(".parquet") as path:
            pq.write_table(together, path, compression="zstd")
        with ctx.create(".json") as path:
            described = {"value": self.value, "better": self.better, "level": self.level, "groups": found}
            path.write_text(json.dumps(described, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        counts = {"documents": measured + nulls, "measured": measured, "null": nulls}
        return Result(counts=counts, facts={key: found["all"][key] for key in ("mean", "from", "to")})

    def _tables(self, ctx: Context) -> Iterator[pa.Table]:
        """`id` (or `per`), `group` and `value` (float64) of the documents, in the order of the base."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for _, table in ctx.rows(list(dict.fromkeys([ID, self.value, *filter(None, (self.by, self.per))]))):
            group = table[self.by].cast("string") if self.by else pa.nulls(table.num_rows, pa.string())
            value = table[self.value]
            value = value.cast("int8") if pa.types.is_boolean(value.type) else value
            name = pc.coalesce(table[self.per].cast("string"), table[ID]) if self.per else table[ID]
            yield pa.table({ID: name, "group": group, "value": value.cast("float64")})

    def _mean(self, values: np.ndarray) -> dict[str, Any]:
        import numpy as np

        low, high = interval(values, np.ones(len(values)), self.resamples, self.level, self.seed)
        return {"documents": len(values), "mean": float(values.mean()), "from": low, "to": high}

    def figures(self, ctx: Context):
        found = json.loads(ctx.path("score", ONE[0], ".json").read_text(encoding="utf-8"))
        share = f"{self.level:.0%}"
        rows = [
            [name, of["documents"], *(round(of[key], 4) for key in ("mean", "from", "to"))]
            for name, of in list(found["groups"].items())[:MOST_GROUPS]
        ]
        title = f"{self.value}{f' by {self.by}' if self.by else ''}"
        columns = [self.by or "group", "documents", "mean", f"{share} from", "to"]
        yield {"kind": "table", "title": title, "columns": columns, "rows": rows}
