"""A driver in a process of its own: `python model_drive.py JSON` puts lines through a model that commits in pieces.

Keys: paths, store, marks, dies_at (row), actors (pair).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "pipeline")]


def main(asked: dict[str, Any]) -> None:
    from model_nodes import Sizes
    from nodes import Lines, Long, Vowels

    from pipeline.contract import Resources
    from pipeline.driver.execute import Options, run
    from pipeline.graph import build

    model = Sizes(
        docs=Long(docs=Lines(paths=tuple(asked["paths"]))),
        batch_rows=5,
        commit_rows=20,
        marks=asked["marks"],
        dies_at=asked.get("dies_at", -1),
        asks=Resources(actors=tuple(asked.get("actors", (1, 2)))),
    )
    run(build([Vowels(docs=model)]), name="run", store=asked["store"], options=Options(cpus=2))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
