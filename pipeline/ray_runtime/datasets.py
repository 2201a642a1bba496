"""A run's rows as a `ray.data.Dataset`, read shard by shard where the workers are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from pipeline.files.address import Address


def dataset_of(store: Address, run: str, label: str, columns: Sequence[str], shards: Sequence[str]) -> Any:
    """One block per shard, alive rows only, in order when the execution preserves it."""
    warnings.filterwarnings("ignore", module="ray.data")
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False

    def read(batch):
        from pipeline.files.open_store import open_store
        from pipeline.run import StoredRun

        return StoredRun(open_store(store), run)[label].shard_rows(str(batch["shard"][0]), columns)

    return ray.data.from_items(
        [{"shard": name} for name in shards], override_num_blocks=max(1, len(shards))
    ).map_batches(read, batch_size=1, batch_format="numpy")
