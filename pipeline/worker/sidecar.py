"""Making one side-car: what a row phase says of the rows alive, scattered to the rows of the base shard.

`state` is null for a row gone before this node, 0 for one alive after it, else 1 + the index of its reason in the
node's `all_reasons()`. Bytes are a function of the values: columns are combined, -0.0 becomes 0.0, a NaN is refused,
row groups and compression are fixed. The batches and pieces in which the rows came leave no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Result, Shard
from pipeline.results.digests import column_digest
from pipeline.worker.arrays import concat, spread
from pipeline.worker.row_function import Scorer

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 65536


class SideCar:
    """Collects the records of a shard's rows, in the order of the rows."""

    def __init__(self, scorer: Scorer, shard: Shard) -> None:
        self.scorer, self.shard, self.node = scorer, shard, scorer.node
        self.text_bytes_in = 0
        self.digests: dict[str, str] = {}  # once it is written: `Receipt.columns`
        self._records: list[pa.Table] = []

    def add(self, table: pa.Table, record: pa.Table, needs: Sequence[str]) -> None:
        """Take the record of one batch of rows."""
        import pyarrow.compute as pc

        self._records.append(record)
        # Only a phase that reads the text counts it: what else a pass happens to carry must not show in the receipt.
        if "text" in needs and len(table):
            self.text_bytes_in += int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)

    def write(self, path: Path) -> Result:
        """Write the Parquet file and return the result for the receipt."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        scorer = self.scorer
        record = pa.concat_tables([scorer.schema.empty_table(), *self._records]).combine_chunks()
        found = {name: concat(record[name].chunks, record.schema.field(name).type) for name in record.column_names}
        rows = record["_row"].to_numpy()
        state = self._state(rows, found["reason"])
        place = spread(rows, self.shard.rows)
        columns: dict[str, pa.Array] = {"state": pa.array(state, mask=state < 0)}
        columns |= {name: place(found[name]) for name in scorer.types}
        if scorer.changes_text:
            columns["text"] = place(found["text"])
        if scorer.reasons:
            gone = pa.compute.is_valid(found["reason"])
            place = spread(rows[gone.to_numpy(zero_copy_only=False)], self.shard.rows)
            columns["removed_value"] = place(found["value"].filter(gone))
            columns["removed_threshold"] = place(found["threshold"].filter(gone))
            if scorer.row_errors:
                columns["removed_error"] = place(found["error"].filter(gone))
        alive = pa.array(state == 0)
        of_readers = [*scorer.types, *(["text"] if scorer.changes_text else [])]
        self.digests = {"state": column_digest(alive)}
        self.digests |= {name: column_digest(columns[name].filter(alive)) for name in of_readers}
        vectors = any(pa.types.is_fixed_size_list(kind) for kind in scorer.types.values())
        pq.write_table(
            pa.table(columns), path, compression="zstd", row_group_size=ROW_GROUP, write_statistics=False,
            use_dictionary=[name for name, kind in scorer.types.items() if kind == pa.string()],
            store_schema=vectors,  # without it a vector comes back as a list of any length
        )  # fmt: skip
        return self._result(columns, state)

    def _state(self, rows: np.ndarray, reasons: pa.Array) -> np.ndarray:
        """Return int16[rows of the shard]: -1 for a row that never came here."""
        import pyarrow as pa
        import pyarrow.compute as pc

        state = np.full(self.shard.rows, -1, np.int16)
        codes = pc.add(pc.index_in(reasons, pa.array(list(self.scorer.reasons), pa.string())), 1)
        state[rows] = pc.fill_null(codes, 0).to_numpy(zero_copy_only=False).astype(np.int16)
        return state

    def _result(self, columns: dict[str, pa.Array], state: np.ndarray) -> Result:
        counts = {"alive_in": int((state >= 0).sum()), "alive_out": int((state == 0).sum())}
        for code, reason in enumerate(self.scorer.reasons, start=1):
            if number := int((state == code).sum()):
                counts[f"removed.{reason}"] = number
        counts["text_bytes_in"] = self.text_bytes_in
        facts = {}
        histograms = getattr(self.node, "histograms", {})
        if histograms:
            import pyarrow as pa

            gone = pa.array(state > 0)
            for fact, rows in (("histograms", columns), ("removed_histograms", _only(columns, histograms, gone))):
                facts[fact] = {name: _binned(rows[name], *bins[:3]) for name, bins in histograms.items()}
        return Result(counts, facts)


def _only(columns: Mapping[str, pa.Array], names: Iterable[str], rows: pa.Array) -> dict[str, pa.Array]:
    return {name: columns[name].filter(rows) for name in names}


def _binned(values: pa.Array, low: float, high: float, bins: int) -> list[int]:
    """Return how many values that are not null lie in each bin; those beyond the ends count in the outer bins."""
    present = values.drop_null().to_numpy(zero_copy_only=False)
    return [int(n) for n in np.histogram(present.clip(low, high), bins=bins, range=(low, high))[0]]
