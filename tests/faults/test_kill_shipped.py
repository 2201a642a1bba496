"""SIGKILL in recipes that are shipped, made small: of the driver at the borders of phases and within trainings, without
Ray and on it, and of workers. The bytes are those of a run that nothing broke; no task with a receipt is done again.

Eight kills of the driver are spread over the nodes of each recipe in the order in which they run. Each command runs up
to the node in which it dies, so that none misses its kill.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml
from corpus import bytes_of
from kill import (
    changed,
    processes,
    receipted,
    run_to_the_end,
    run_until_killed,
    run_while_a_worker_is_killed,
    start,
)

from pipeline.run import StoredNode, open_run
from recipes.worlds import ciphers, coins, grammar, tools, voices

RECIPES = Path(__file__).parents[2] / "recipes"
MOMENTS = ("before-data", "before-receipt", "after-receipt", "before-manifest")
KILLS = 8
TINY = {"hidden": 32, "inter": 48, "layers": 1, "heads": 2}
QUICK = {"steps": 4, "batch_rows": 4, "checkpoint_every": 1, "log_interval": 1}
STEPS = {
    "max_tokens": 8, "boundaries": ["a", "e", "t", "("], "batch_rows": 4, "commit_rows": 8, "branch": 4, "gap": 0.05
}  # fmt: skip
pytestmark = [pytest.mark.faults, pytest.mark.timeout(2400)]


@dataclass(frozen=True)
class Case:
    """How a shipped recipe is made small, and where it dies beside the places that are the same for all.

    A model of four steps writes nothing that critics would keep: `goals` stop before that. Those nodes die in
    `test_kill_teaching.py` and `test_kill_judges.py`.
    """

    reads: str = ""  # the node that reads files of the test's
    goals: tuple[str, ...] = ()
    sizes: dict[str, Any] = field(default_factory=dict)
    within: tuple[tuple[str, str], ...] = ()  # (node, moment) of a long task
    limit: int | None = None
    on_ray: str = "rows"  # the node in which a worker of Ray dies


CASES = {
    "climb": Case(limit=60),
    "distil": Case("sentences", goals=("of_all", "control_rate"), sizes={"written.samples": 4}, on_ray="unfiltered"),
    "infalign": Case(
        "coins",
        goals=("exp_1_best", "raw_1_worst"),
        on_ray="calibrated",
        sizes={"prompts.limit": 4, "answers.samples": 8},
    ),
    "ldp": Case("world", goals=("table", "of_through"), on_ray="bank"),
    "longer": Case(limit=60),
    "speech": Case(
        "heard",
        sizes={"learned": {"k": 6, "steps": 41, "views": 2, "batch": 3, "hidden": 8}, "vocabulary.size": 6},
        within=(("learned", "log-step:2"), ("learned", "log-learned"), ("learned", "log-step:5")),
    ),
    "tools": Case(
        "requests",
        goals=("errors_1",),
        sizes={f"steps.{key}": value for key, value in STEPS.items()},
        within=(("steps_1", "after-piece"),),
        on_ray="steps_1",
    ),
}


def write(name: str, folder: Path) -> str:
    """Lay down the documents of a recipe, a few of each sort; the `paths` of the node that reads them."""
    folder.mkdir()
    if name == "speech":
        for sound in voices.sounds(9):
            soundfile.write(folder / f"{sound.name}.flac", sound.samples, voices.RATE)
            (folder / f"{sound.name}.phn").write_text(sound.alignment)
        return json.dumps([str(folder)])
    rows, sort, most = {
        "ldp": (ciphers.rows(), ("lang", "part"), 8), "tools": (tools.rows(), ("level", "kind"), 12),
        "distil": (grammar.rows(), ("context",), 4), "infalign": (coins.rows(), ("asked",), 8),
    }[name]  # fmt: skip
    chosen = few(rows, sort, most)[:400]
    for number in range(2):
        lines = [json.dumps(row) + "\n" for row in chosen[number::2]]
        (folder / f"{number}.jsonl").write_text("".join(lines))
    return json.dumps([f"{folder}/*.jsonl"])


def few(rows: Iterable[dict[str, Any]], sort: tuple[str, ...], most: int) -> list[dict[str, Any]]:
    seen: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        seen.setdefault(tuple(row[key] for key in sort), []).append(row)
    return [row for mine in seen.values() for row in mine[:most]]


@dataclass(frozen=True)
class Unbroken:
    """A finished store of a small recipe, and the lines that make it."""

    name: str
    store: Path
    words: tuple[str, ...]
    nodes: tuple[StoredNode, ...] = ()  # those that the recipe names: a command can run up to them

    def command(self, store: Path, goals: Iterable[str] = (), *how: str) -> list[str]:
        goals = tuple(goals) or CASES[self.name].goals
        run = [sys.executable, "-m", "siftloom", "run", str(RECIPES / f"{self.name}.yaml"), *goals]
        return [*run, "--store", str(store), *self.words, *(how or ("--here",))]

    def trainings(self) -> list[StoredNode]:
        return [node for node in self.nodes if node.kind == "pretrain"]

    def kills(self) -> list[tuple[StoredNode, str]]:
        """(node, moment), in the order in which the nodes run."""
        first, *_, last = [*self.trainings(), *self.trainings()[-1:]]
        chosen = {first.label: "log-training:1"} | ({last.label: "log-trained"} if last is not first else {})
        chosen |= dict(CASES[self.name].within[:1])
        left = [node for node in self.nodes if node.label not in chosen]
        missing = KILLS - len(chosen)
        for number in range(missing):
            chosen[left[(2 * number + 1) * len(left) // (2 * missing)].label] = MOMENTS[number % len(MOMENTS)]
        return [(node, chosen[node.label]) for node in self.nodes if node.label in chosen]


@pytest.fixture(scope="module", params=CASES)
def unbroken(request, tmp_path_factory) -> Unbroken:
    case, folder = CASES[request.param], tmp_path_factory.mktemp(request.param)
    sizes = dict(case.sizes)
    recipe = yaml.safe_load((RECIPES / f"{request.param}.yaml").read_text())
    rounds = recipe.get("repeat", {"times": 0, "nodes": {}})
    for label, node in (recipe["nodes"] | rounds["nodes"]).items():
        if node["use"] == "pretrain":
            (kind, size), *more = node["model"].items()
            model = {kind: (size if isinstance(size, dict) else {"size": size}) | dict(more) | TINY}
            sizes = {f"{label}.{key}": value for key, value in (QUICK | {"model": model}).items()} | sizes
    if case.reads:
        sizes[f"{case.reads}.paths"] = write(request.param, folder / "docs")
    words = [
        word
        for key, value in sizes.items()
        for word in ("-s", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]
    words += ["--limit", str(case.limit)] if case.limit else []
    made = Unbroken(request.param, folder / "store", tuple(words))
    run_to_the_end(made.command(made.store))
    known = {f"{label}_{number}" for label in rounds["nodes"] for number in range(1, rounds["times"] + 1)}
    nodes = [node for node in open_run(str(made.store), made.name).nodes if node.label in known | set(recipe["nodes"])]
    return replace(made, nodes=tuple(nodes))


def test_a_driver_that_is_killed_all_the_way_goes_on_to_the_same_bytes(unbroken, tmp_path):
    store, before = tmp_path / "store", {}
    kills = unbroken.kills()
    for number, (node, moment) in enumerate(kills):
        kill = f"{node.folder}:{moment}"
        run_until_killed(unbroken.command(store, [node.label]), kill, tmp_path / f"killed-{number}")
        again = changed(before, store)
        print(f"{unbroken.name}: {node.label} {moment}: {len(again)} tasks done again")
        assert again == set(), kill
        before = receipted(store)
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.store)
    print(f"{unbroken.name}: {len(kills)} kills, {len(bytes_of(store))} files equal")


def test_workers_and_a_driver_that_die_on_ray_leave_the_same_bytes(unbroken, tmp_path):
    """A worker at a receipt; then the driver in a training; then a worker of the group that goes on with it."""
    store, training = tmp_path / "store", unbroken.trainings()[-1]
    [other] = [node for node in unbroken.nodes if node.label == CASES[unbroken.name].on_ray]
    shutil.copytree(unbroken.store, store)
    for node in (training, other):
        shutil.rmtree(store / node.folder)
    before = receipted(store)
    kept = unbroken.command(store, [other.label], "--cpus", "2")
    run_while_a_worker_is_killed(kept, f"{other.folder}:before-receipt", tmp_path / "worker")
    trained = unbroken.command(store, [training.label], "--cpus", "2")
    run_until_killed(trained, f"{training.folder}:log-training", tmp_path / "driver")
    driver = start(trained)
    while not (group := list(processes(driver.pid, "ray::RayTrainWorker"))):
        assert driver.poll() is None, driver.communicate()
    group[0].kill()
    said, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, said
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.store)
    print(f"{unbroken.name}: a worker in {other.label}, the driver and a worker in {training.label}: equal bytes")
