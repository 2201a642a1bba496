"""Asks every node of a cluster for its library versions, and whether it can write to and read from the store."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from pipeline.files.address import Address

ANSWER_SECONDS = 120.0


def ask_nodes(address: str, store: Address, packages: Sequence[str]) -> list[dict[str, Any]]:
    """One answer per living node, by host: {"host", "address", "versions", "python", "error"}; `error` is empty where
    all is well. The versions are those of `packages`, `python` is the path of the interpreter.

    The driver leaves a file in the store; each node must read it, and write one that the driver can read. So a folder
    that exists everywhere but is not shared is found out.
    """
    from pipeline.files.open_store import open_store
    from pipeline.ray_runtime import session

    session.start(None, address)
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    opened = open_store(store)
    folder = f"doctor-{os.getpid()}-{os.urandom(4).hex()}"
    opened.write(f"{folder}/driver", b"driver")
    ask = ray.remote(num_cpus=0, max_retries=0)(_answer)
    answers = []
    try:
        for node in sorted((n for n in ray.nodes() if n["Alive"]), key=lambda n: n["NodeManagerHostname"]):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            name = f"{folder}/{node['NodeID']}"
            answer = {"host": node["NodeManagerHostname"], "address": node["NodeManagerAddress"], "error": ""}
            answer |= {"versions": {}, "python": ""}
            try:
                found = ray.get(
                    ask.options(scheduling_strategy=there).remote(store, folder, name, packages),
                    timeout=ANSWER_SECONDS,
                )
                answer |= found
                if not answer["error"] and opened.read(name) != b"node":
                    answer["error"] = f"what it writes to {store} does not arrive: the folder is not shared"
            except RayError as error:
                answer["error"] = f"it runs no task: {str(error).strip().splitlines()[-1]}"
            answers.append(answer)
    finally:
        opened.delete(folder)
        session.stop()
    return answers


def _answer(store: Address, folder: str, name: str, packages: Sequence[str]) -> dict[str, Any]:
    from pipeline.files.open_store import open_store
    from pipeline.results.run_record import versions

    opened, error = open_store(store), ""
    try:
        if opened.read(f"{folder}/driver") != b"driver":
            error = f"it does not see what the driver wrote to {store}: the folder is not shared"
        opened.write(name, b"node")
    except Exception as failure:  # the caller receives it and goes on with the other nodes
        error = f"{type(failure).__name__}: {failure}"
    return {"versions": versions(packages), "python": sys.executable, "error": error}
