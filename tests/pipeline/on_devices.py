"""A run on a Ray with two GPUs that are none, in a process of its own: `python on_devices.py JSON` prints what it saw.

Keys: paths, store, marks, cpus (of the Ray), asks (fields of `Resources`), batch_rows, object_store (bytes),
alone (the node with the model is the last).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]


def main(asked: dict[str, Any]) -> None:
    import ray
    from model_nodes import Sizes, marks_of
    from nodes import Lines, Long, Vowels

    from pipeline.contract import Resources
    from pipeline.driver.execute import Options, run
    from pipeline.graph import build
    from pipeline.progress.watcher import TaskEvent
    from pipeline.ray_runtime.session import quiet_environment

    class Events:
        def __init__(self) -> None:
            self.stats: list[str] = []

        def notify(self, event) -> None:
            if isinstance(event, TaskEvent) and event.kind == "pass":
                self.stats.append(event.values["stats"])

        def close(self) -> None:
            pass

    quiet_environment()
    ray.init(
        address="local", num_cpus=asked["cpus"], num_gpus=2, include_dashboard=False, logging_level="ERROR",
        log_to_driver=False, object_store_memory=asked.get("object_store"),
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}},
    )  # fmt: skip
    docs = Long(docs=Lines(paths=tuple(asked["paths"])))
    model = Sizes(
        docs=docs, batch_rows=asked.get("batch_rows", 5), marks=asked["marks"], asks=Resources(**asked["asks"])
    )
    nodes = {"plain": docs, "model": model} | ({} if asked.get("alone") else {"last": Vowels(docs=model)})
    events = Events()
    run(build([list(nodes.values())[-1]], nodes), name="run", store=asked["store"], options=Options(), watcher=events)
    pids = {int(pid) for pid, *_ in marks_of(asked["marks"], "open")}
    left = {pid for pid in pids if _lives(pid)}
    for _ in range(200):  # a killed actor takes a moment to end
        if not (left := {pid for pid in left if _lives(pid)}):
            break
        time.sleep(0.05)
    print(json.dumps({"stats": events.stats, "left": sorted(left)}))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
