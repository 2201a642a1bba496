"""`python dedup_drive.py JSON`: an incremental near-duplicate search in a process of its own, its phases a large one's.

Keys: store, folder (of `old-*.jsonl` and `new-*.jsonl`).
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]

from siftloom import Pipeline  # noqa: E402
from siftloom import stages as s  # noqa: E402
from stages.dedup import key_files, merge  # noqa: E402

LARGE = "SIFTLOOM_TEST_LARGE"  # travels to the workers, as every variable of that prefix does

# Every process of the run that unpickles a node of this module imports it, and so merges key files as if there were a
# million, and cuts them into several ranges; the test that only starts it does not.
if os.environ.get(LARGE):
    merge.MAX_REQUESTS = 1
    key_files.RANGE_BYTES = 40_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Large(s.MinHashDedup):
    """The node as it is, in a large corpus of many files."""


def main(wish: dict[str, Any]) -> None:
    old, new = (s.Read(paths=(f"{wish['folder']}/{name}-*.jsonl",)) for name in ("old", "new"))
    goal = Large(docs=new, against=(Large(docs=old),), keep="longest")
    run = Pipeline([goal], name="dedup", store=wish["store"], names={"goal": goal}).run(cpus=2, progress=False)
    print(json.dumps({"folder": run["goal"].folder, "removed": len(run["goal"].removed())}))


if __name__ == "__main__":
    os.environ[LARGE] = "1"
    # under its own name, so that workers can import what they are sent
    import dedup_drive

    dedup_drive.main(json.loads(sys.argv[1]))
