"""Where the scores of documents are cut, group by group, and which rows lie beyond; draws in the place of scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipeline.contract import Context, Removed, Result
from pipeline.errors import DataError
from pipeline.finite import finite
from stages.chance import WHOLE, draws, share_limit
from stages.documents import HELD_OUT, ID

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from stages.expression import Expression

BINS = 60
GROUPS = 10_000  # at most; each has a cut of its own in the receipt
LOW, NO_SCORE, HIGH, DRAW = "select.low", "select.no_score", "select.high", "select.draw"
NONE = "(none)"  # the group of rows without a value in `per`
Limit = float | dict[str, float] | None  # of every group, or by group


class Choice(Protocol):
    """How rows are chosen; the fields are those of `Select`."""

    @property
    def by(self) -> str | None: ...
    @property
    def per(self) -> str | None: ...
    @property
    def keep_fraction(self) -> Limit: ...
    @property
    def min(self) -> Limit: ...
    @property
    def max(self) -> Limit: ...
    @property
    def lowest(self) -> bool: ...
    @property
    def sampling(self) -> Literal["best", "hash", "pareto"]: ...
    @property
    def alpha(self) -> float: ...
    @property
    def seed(self) -> int: ...

    def as_score(self, limit: float | None) -> float | None: ...

    def read(self) -> Expression | None: ...

    def needs(self) -> tuple[str, ...]: ...


def cut(node: Choice, ctx: Context) -> Result:
    """The cut of every group and the distribution of all scores. Raises DataError when no row has a score."""
    import numpy as np

    parts: dict[str, list[np.ndarray]] = {}
    for group, scores, _ in _scores(node, ctx):
        parts.setdefault(group, []).append(scores)
        if len(parts) > GROUPS:
            raise DataError(f"select.per {node.per}", f"more than {GROUPS:,} values", "a column of few values")
    scored = {group: np.concatenate(found) for group, found in sorted(parts.items())}
    if not scored:
        raise DataError(f"select.{node.by}", "no row has a score", "a score for some rows that are not held out")
    whole = np.concatenate(list(scored.values()))
    low, high = float(whole.min()), float(whole.max())
    counts, edges = np.histogram(whole, BINS, (low, high if high > low else low + 1))
    bounds = _between(node, scored) if node.keep_fraction is None else _shares(node, ctx, scored)
    kept = sum(each["kept"] for each in bounds.values())
    facts = {"edges": edges.tolist(), "counts": counts.tolist(), "groups": bounds}
    return Result(counts={"scored": len(whole), "kept": kept}, facts=facts)


def _between(node: Choice, scored: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    found = {}
    for group, scores in scored.items():
        least, most = (node.as_score(of_group(limit, group)) for limit in (node.min, node.max))
        stay = (scores >= (-math.inf if least is None else least)) & (scores <= (math.inf if most is None else most))
        found[group] = {"min": least, "max": most, "scored": len(scores), "kept": int(stay.sum())}
    return found


def _shares(node: Choice, ctx: Context, scored: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Of each group, `cut`: better scores stay; of those equal to it `ties`, whose draw is at most `last`."""
    import numpy as np

    found: dict[str, dict[str, Any]] = {}
    for group, scores in scored.items():
        share = of_group(node.keep_fraction, group)
        kept = len(scores) if share is None else math.floor(share * len(scores) + 0.5)
        if kept == 0 and node.per is None:
            raise DataError("select.keep_fraction", f"{share} of {len(scores)} rows", "one row or more")
        better = -scores if node.lowest else scores
        place = len(scores) - max(kept, 1)  # of a group that goes whole the best row is the cut, and goes
        at = np.partition(better, place)[place]
        ties = kept - int((better > at).sum())
        value = float(-at if node.lowest else at)
        found[group] = {"cut": value, "last": -1, "ties": ties, "scored": len(scores), "kept": kept}
    tied: dict[str, list[np.ndarray]] = {group: [] for group in found}
    for group, values, ids in _scores(node, ctx):
        tied[group].append(draws(ids(values == found[group]["cut"]), node.seed, "select"))
    for group, bounds in found.items():
        if bounds["ties"]:
            numbers = np.concatenate(tied[group])
            bounds["last"] = int(np.partition(numbers, bounds["ties"] - 1)[bounds["ties"] - 1])
    return found


def _scores(node: Choice, ctx: Context) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Of each batch and group: scores (float64) of the rows that count, and a function from a mask of them to ids."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    read = node.read()
    assert read is not None
    marked = ctx.has_column(HELD_OUT)
    for _, table in ctx.rows([*node.needs(), *([HELD_OUT] if marked else [])]):
        if marked:
            table = table.filter(pc.invert(table[HELD_OUT]))
        scores, names = _numbers(read.values(table), table), table[ID]
        for group, mine in members(node.per, table):
            rows = np.flatnonzero(np.isfinite(scores) & mine)
            if len(rows):
                ids = lambda mask, rows=rows, names=names: names.take(pa.array(rows[mask])).to_pylist()  # noqa: E731
                yield group, scores[rows], ids


def _numbers(values: Any, table: pa.Table) -> np.ndarray:
    """Scores of the rows of a table, float64: NaN for null, and what is infinite is no score (log(0))."""
    import numpy as np

    numbers = values.to_numpy(zero_copy_only=False).astype("float64")
    name = lambda row: f"the score of document {table[ID][row].as_py()!r}"  # noqa: E731
    return finite(numbers, "select.by", name, none=~np.isfinite(numbers))


def members(per: str | None, table: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Every value of `per` in a batch, and which rows are its, bool; without one all rows are one group."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if per is None:
        yield "", np.ones(table.num_rows, bool)
        return
    encoded = pc.fill_null(table[per].cast(pa.string()), NONE).combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    for code, name in enumerate(encoded.dictionary.to_pylist()):
        yield name, codes == code


def of_group(limit: Limit, group: str) -> float | None:
    """The limit of a group; None: the mapping leaves it out."""
    return limit.get(group) if isinstance(limit, Mapping) else limit


def cut_off(node: Choice, table: pa.Table, values: Any, bounds: Mapping[str, Mapping[str, Any]]) -> Removed:
    """Rows beyond the cut of their group go; a group of which nothing is known stays."""
    import numpy as np
    import pyarrow as pa

    scores = _numbers(values, table)
    scored = np.isfinite(scores)
    low, high, limit = np.zeros(len(scores), bool), np.zeros(len(scores), bool), np.zeros(len(scores))
    for group, whole in members(node.per, table):
        found, mine = bounds.get(group), whole & scored
        if found is None or not mine.any():
            continue
        if node.keep_fraction is None:
            sides = [(low, found["min"], np.less), (high, found["max"], np.greater)]
        else:
            sides = [(high, found["cut"], np.greater) if node.lowest else (low, found["cut"], np.less)]
        for gone, at, beyond in sides:
            if at is None:
                continue
            out = mine & beyond(scores, at)
            if node.keep_fraction is not None:
                tied = np.flatnonzero(mine & (scores == at))
                names = table[ID].take(pa.array(tied)).to_pylist()
                out[tied] = [number > found["last"] for number in draws(names, node.seed, "select").tolist()]
            gone |= out
            limit[out] = at
    reason = np.select([~scored, low, high], [NO_SCORE, LOW, HIGH], "")
    return _removed(reason.tolist(), scores, limit, low | high)


def drawn(node: Choice, table: pa.Table, values: Any) -> Removed:
    """Rows whose draw does not say so go: a draw for each id, whatever else is in the corpus."""
    import numpy as np

    numbers = draws(table[ID].to_pylist(), node.seed, "select sample")
    share, scored = np.ones(len(numbers)), np.ones(len(numbers), bool)
    if node.sampling == "hash":
        for group, mine in members(node.per, table):
            of = of_group(node.keep_fraction, group)
            share[mine] = 1.0 if of is None else of
    else:
        scores = _numbers(values, table)
        scored = np.isfinite(scores)
        # P(x > t) = (1 + t) ** -alpha is the Pareto distribution from 0 on (Lomax), the one of GPT-3
        share = (1.0 + np.maximum(1.0 - np.where(scored, scores, 0.0), 0.0)) ** -node.alpha
    stay = np.array([n < share_limit(s) for n, s in zip(numbers.tolist(), share.tolist(), strict=True)], bool)
    reason = np.select([~scored, ~stay], [NO_SCORE, DRAW], "")
    return _removed(reason.tolist(), numbers / WHOLE, share, scored & ~stay)


def _removed(reason: list[str], value: np.ndarray, limit: np.ndarray, measured: np.ndarray) -> Removed:
    """A row with an empty reason stays; value and limit where they were `measured`."""
    import pyarrow as pa

    names = pa.array([each or None for each in reason], pa.string())
    return Removed(names, pa.array(value, mask=~measured), pa.array(limit, mask=~measured))
