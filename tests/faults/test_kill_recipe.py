"""SIGKILL at every moment of every node of the whole main job: reading, cleaning, dedup, tokens, training, export.

For each node a copy of the unbroken store without that node is broken at one moment after the other by the same
command, which then ends it. Nodes whose work every later one stands on are also taken away with all of those.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from corpus import bytes_of
from kill import MOMENTS, changed, receipted, run_to_the_end, run_until_killed

from pipeline.run import open_run

HERE = Path(__file__).parent
RECIPE = HERE / "three_hundred.yaml"
NODES = tuple(yaml.safe_load(RECIPE.read_text())["nodes"])
# A training is one task; what is between its beginning and its end are the steps that it tells of. The second run goes
# on from a checkpoint near the first step that was told: on a fast machine it may tell of one more step only.
TRAINING = {
    "before its first receipt": "log-training:1",
    "in the middle": "log-training:1",
    "between data and receipt": "before-receipt",
    "between last receipt and manifest": "before-manifest",
}
pytestmark = pytest.mark.faults


@dataclass(frozen=True)
class Unbroken:
    recipe: Path
    store: Path

    def command(self, store: Path) -> list[str]:
        return [sys.executable, "-m", "siftloom", "run", str(self.recipe), "--store", str(store), "--cpus", "2"]


def write_documents(folder: Path) -> None:
    """270 documents of the demo corpus in three files, and thirty copies with a word changed or none."""
    folder.mkdir(parents=True)
    lines = []
    for path in sorted((HERE.parents[1] / "recipes" / "corpus").glob("corpus-*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            lines += list(file)
    documents = [json.loads(line) for line in lines[:: len(lines) // 270][:270]]
    copies = []
    for number, document in enumerate(documents[::9]):
        words = document["text"].split(" ")
        words[len(words) // 2] = "otherwise" if number % 2 else words[len(words) // 2]
        copies.append({"id": f"copy-{number}", "text": " ".join(words)})
    everything = documents + copies
    for number in range(3):
        text = "".join(json.dumps(document) + "\n" for document in everything[number::3])
        (folder / f"docs-{number}.jsonl").write_text(text)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Unbroken:
    folder = tmp_path_factory.mktemp("recipe")
    write_documents(folder / "docs")
    shutil.copy(RECIPE, folder)
    made = Unbroken(folder / RECIPE.name, folder / "store")
    run_to_the_end(made.command(made.store))
    return made


def folders(unbroken: Unbroken) -> dict[str, str]:
    return {view.label: view.folder for view in open_run(str(unbroken.store), "three_hundred").nodes}


def break_and_go_on(unbroken: Unbroken, label: str, gone: list[str], folder: Path) -> None:
    """Kill at one moment after the other of one node, `gone` nodes being taken away first; then let it end."""
    store, places = folder / "store", folders(unbroken)
    shutil.copytree(unbroken.store, store)
    for each in gone:
        shutil.rmtree(store / places[each])
    node = places[label].removeprefix("nodes/")
    tasks = len(list((unbroken.store / "nodes" / node / "receipts").rglob("*.json")))
    before: dict[str, int] = {}
    for number, moment in enumerate(TRAINING if label in ("dense", "lost") else MOMENTS):
        point = MOMENTS[moment]
        if label in ("dense", "lost"):
            point = TRAINING[moment]
        elif moment == "in the middle":
            done = len(list((store / "nodes" / node / "receipts").rglob("*.json")))
            point = f"after-receipt:{max(1, (tasks + 1) // 2 - done)}"
        run_until_killed(unbroken.command(store), f"{node}:{point}", folder / f"killed-{number}")
        assert changed(before, store) == set(), moment
        assert not (store / "nodes" / node / "manifest.json").exists()
        before = receipted(store)
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.store)
    shutil.rmtree(store)


@pytest.mark.parametrize("label", NODES)
def test_every_moment_of_every_node(unbroken, tmp_path, label):
    break_and_go_on(unbroken, label, [label], tmp_path)


@pytest.mark.parametrize("label", ["unique", "dense"])
def test_with_all_that_stands_on_it(unbroken, tmp_path, label):
    later = {"unique": NODES[NODES.index("unique") :], "dense": ("dense", "eval_dense", "table")}[label]
    break_and_go_on(unbroken, label, list(later), tmp_path)
