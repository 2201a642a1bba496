"""Rows `requests`: what one pass asks of a store, per shard and node: on a file system, and of an S3 server.

On a file system the run is done in this process and the calls of its store are counted. Of S3 every request that
reaches the server is counted, whichever process sent it: the driver's, the workers' and the heartbeat's.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from benchmarks.engine.nodes import NODES, Made, chain
from benchmarks.engine.records import record
from pipeline.driver.execute import Options, run
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from pipeline.ray_runtime import session

MOST = 3.0  # requests to S3 per shard and node
MOST_RECEIPTS = 2.0  # read by workers, per shard
CALLS = ("read", "write", "create", "publish", "publish_new", "link", "size", "names", "sizes", "delete")
SERVER_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"
}  # fmt: skip


def measure(folder: Path, shards: int, cpus: int) -> list[dict]:
    """Count on a file system and on S3; `shards` of one row each through five nodes."""
    return [*local(folder, shards), *on_s3(folder, shards, cpus)]


# a file system -------------------------------------------------------------------------------------------------------


def local(folder: Path, shards: int) -> list[dict]:
    base = Made(shards=shards, rows=1, words=50)
    store = folder / "requests"
    run(build([base]), name="base", store=str(store), options=Options(here=True))
    graph = build(chain(base, [0.0] * NODES)[-1:])
    with _counted_calls() as seen:
        run(graph, name="pass", store=str(store), options=Options(here=True))
    receipts = seen.pop("read receipts", 0)
    return [
        record("requests", f"receipts that workers read per shard, {shards} shards x {NODES} nodes, local store",
               round(receipts / shards, 3), "1", MOST_RECEIPTS),
        *_by_kind("calls of a local store", seen, shards),
    ]  # fmt: skip


@contextlib.contextmanager
def _counted_calls() -> Iterator[Counter[str]]:
    seen: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        for kind in CALLS:
            call = getattr(LocalStore, kind)

            def counted(store: LocalStore, name, *rest, kind=kind, call=call):
                seen[kind] += 1
                seen["read receipts"] += kind == "read" and "/receipts/" in str(name)
                return call(store, name, *rest)

            stack.enter_context(mock.patch.object(LocalStore, kind, counted))
        yield seen


# S3 ------------------------------------------------------------------------------------------------------------------


def on_s3(folder: Path, shards: int, cpus: int) -> list[dict]:
    """What a process of its own counts, for a Ray that runs already knows nothing of the server's keys."""
    command = [sys.executable, "-m", "benchmarks.engine.requests", str(folder), str(shards), str(cpus)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def _on_s3(folder: Path, shards: int, cpus: int) -> list[dict]:
    """A run in which the base is there and five nodes are due, against a server in this process."""
    variables = {**SERVER_VARIABLES, "SIFTLOOM_CACHE": str(folder / "cache")}
    with mock.patch.dict(os.environ, variables), _server() as (endpoint, seen):
        store = _bucket(endpoint)
        session.start(cpus, None)
        base = Made(shards=shards, rows=1, words=50)
        run(build([base]), name="base", store=store, options=Options(cpus=cpus))
        seen.clear()
        run(build(chain(base, [0.0] * NODES)[-1:]), name="pass", store=store, options=Options(cpus=cpus))
        found = Counter(seen)
    total = sum(found.values()) / (shards * NODES)
    what = f"requests to S3 per shard and node, {shards} shards x {NODES} nodes, those of the driver included"
    receipts = found["GET receipt"] / shards
    return [
        record("requests", what, round(total, 3), "1", MOST),
        record("requests", "receipts that are read from S3 per shard", round(receipts, 3), "1", MOST_RECEIPTS),
        *_by_kind("requests to S3", found, shards),
    ]


@contextlib.contextmanager
def _server() -> Iterator[tuple[str, Counter[str]]]:
    """`host:port` of an S3 server, and the requests that reach it by kind."""
    import logging

    from moto import server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    seen: Counter[str] = Counter()
    serve = server.DomainDispatcherApplication.__call__

    def counted(application, environ, start_response):
        seen[_kind(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""))] += 1
        return serve(application, environ, start_response)

    with mock.patch.object(server.DomainDispatcherApplication, "__call__", counted):
        running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        running.start()
        try:
            yield "{}:{}".format(*running.get_host_and_port()), seen
        finally:
            running.stop()


def _kind(method: str, path: str, query: str) -> str:
    if "list-type" in query:
        return "list"
    parts = {"receipts": "receipt", "data": "data", "lease": "lease"}
    of = next((name for part, name in parts.items() if f"/{part}/" in path), "record")
    return f"{method} {of}"


def _bucket(endpoint: str) -> str:
    from pyarrow import fs

    query = f"endpoint_override={endpoint}&scheme=http&allow_bucket_creation=true&region=us-east-1"
    fs.FileSystem.from_uri(f"s3://bench?{query}")[0].create_dir("bench")
    return f"s3://bench/runs?{query}"


def _by_kind(what: str, found: Counter[str], shards: int) -> list[dict]:
    counts = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [
        record("requests", f"{what} per shard and node: {kind}", round(count / (shards * NODES), 3), "1")
        for kind, count in counts
        if count
    ]


if __name__ == "__main__":
    print(json.dumps(_on_s3(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
