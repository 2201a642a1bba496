"""A whole recipe, run by the command: the same bytes on one and three CPUs and after a kill, a reason for every removed
document, and a threshold that scores nothing again.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

NAME = "dclm-baseline"
CHANGED = ("best", "texts")  # what a new share of the selection makes anew
# Ray is told of three CPUs, whatever this machine has, which the command would not.
ON_THREE = """
import sys
from pipeline.driver.execute import Options
from siftloom.recipe import open_recipe
from siftloom.run import execute
found, graph = open_recipe(sys.argv[1])
execute(graph, name=found.name, store=sys.argv[2], options=Options(cpus=3), recipe=found.text, watcher=None)
"""


def siftloom(*words: str, cwd: Path, kill_after: float | None = None) -> list[dict[str, Any]]:
    """The events that a command prints. With `kill_after` it is killed then [s], unless it has ended."""
    command = [sys.executable, "-m", "siftloom", *words, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        if kill_after is not None:
            time.sleep(kill_after)
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
    if kill_after is None and process.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit code {process.returncode}\n{said[-2000:]}")
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def digests(store: Path) -> dict[str, str]:
    """Path in the store -> SHA-256 of every data file."""
    found = sorted(path for path in (store / "nodes").glob("*/data/**/*") if path.is_file())
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def bytes_are_equal(folder: Path) -> dict[str, bool]:
    """Way of running -> whether all data files are those of a run on one CPU."""
    recipe = str(files("recipes") / f"{NAME}.yaml")
    siftloom("run", recipe, "--store", "one", "--cpus", "1", cwd=folder)
    wanted = digests(folder / "one")
    three = [sys.executable, "-c", ON_THREE, recipe, str(folder / "three")]
    subprocess.run(three, cwd=Path(__file__).parents[2], check=True, stdout=subprocess.DEVNULL)
    found = {"three CPUs": digests(folder / "three") == wanted}
    for seconds in (12, 20):
        siftloom("run", recipe, "--store", "killed", "--cpus", "2", cwd=folder, kill_after=seconds)
    siftloom("run", recipe, "--store", "killed", "--cpus", "2", cwd=folder)
    return {**found, "killed twice and resumed": digests(folder / "killed") == wanted}


def answers(folder: Path) -> tuple[int, int, bool]:
    """(removed documents, those of which `why` names the node and the reason, whether documents are conserved)."""
    from siftloom.ask.runs import open_found

    run = open_found(NAME, str(folder / "one"))
    removed = run["best"].removed().to_pylist()
    right = 0
    for row in removed:
        steps = [step for step in run.why(row["id"]) if step["state"] == "removed"]
        right += [(step["node"], step["reason"]) for step in steps] == [(row["node"], row["reason"])]
    kept, read = run["best"].rows(["id"]).num_rows, run["docs"].rows(["id"]).num_rows
    return len(removed), right, kept + len(removed) == read


def nodes_that_score(folder: Path) -> list[str]:
    """Nodes with a model that would run after the share of the selection has changed."""
    recipe = str(files("recipes") / f"{NAME}.yaml")
    (plan,) = siftloom("plan", recipe, "--store", "one", "-s", "best.keep_fraction=0.2", cwd=folder)
    return [each["name"] for each in plan["nodes"] if each["action"] != "reuse" and each["name"] not in CHANGED]
