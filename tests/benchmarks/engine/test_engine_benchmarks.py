"""Every part of the engine's benchmark in its smallest form: what it measures must still be there to be measured."""

from __future__ import annotations

import pytest

from benchmarks.engine import finished, overhead, ray_data, reading, requests, rewriting
from pipeline.driver.plan import plan
from pipeline.graph import build


def values(records: list[dict]) -> dict[str, float]:
    found = {record["what"]: record["value"] for record in records}
    assert len(found) == len(records)
    return found


@pytest.mark.long
def test_columns_against_rewriting(tmp_path):
    found = values(rewriting.measure(tmp_path, shards=1, rows=300))
    assert found["written over rewriting, 10% removed early, columns"] < 0.2


@pytest.mark.long
def test_overhead(local_ray, tmp_path):
    found = values(overhead.measure(tmp_path, shards=4, cpus=2))
    assert found["all CPU, 4 shards x 5 nodes"] > found["bare functions, 4 shards x 5 nodes"]


def test_ray_datas_blocks(local_ray):
    assert ray_data.cpu_of(lambda: ray_data.pipeline(2)) > 0


def test_receipts_that_workers_read(tmp_path):
    """What the driver knows to be untried, no worker looks for; the receipt of a base is read once for a shard."""
    found = requests.local(tmp_path, shards=6)
    assert found[0]["value"] <= 1
    assert found[0]["holds"]


@pytest.mark.long
def test_requests_to_s3(tmp_path):
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    found = values(requests.on_s3(tmp_path, shards=6, cpus=2))
    for kind in ("PUT data", "PUT receipt"):
        assert found[f"requests to S3 per shard and node: {kind}"] == 1
    assert found["receipts that are read from S3 per shard"] <= requests.MOST_RECEIPTS


def test_a_store_in_which_everything_is_done(tmp_path):
    nodes = finished._nodes(30)
    assert finished.lay_down(tmp_path, nodes) < 20_000
    assert {entry.action for entry in plan(build(nodes[-1:]), str(tmp_path), "run").entries} == {"reuse"}
    assert {record["unit"] for record in finished.measure(tmp_path / "other", 30)} == {"s", "MB"}


@pytest.mark.long
def test_reading(local_ray, tmp_path):
    found = values([*reading.many(tmp_path, 3, cpus=2), *reading.in_place(tmp_path, 2)])
    assert sum("Parquet in place" in what for what in found) == 2
