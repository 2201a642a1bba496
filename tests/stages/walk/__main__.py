"""Random walks over one store: python -m tests.stages.walk --recipe dedup --seeds 1 2 3 --steps 70

Between two runs something changes: files (added in front, in the middle, at the end; copied, removed, renamed, edited,
edited with their size and time kept), limits, fields, the order and number of bases, a user's code, versions. Runs end
early now and then, as if killed, or do a part of the graph; old runs are forgotten and the store is cleaned. After
every step all that the nodes hold (rows, columns, states, receipts, manifests, figures, published files) must be what a
run in an empty store leaves. It prints what differed, and ends with 1 then.

It also prints how much work was done in the store that lasts: tasks, and rows that row functions were called for. For
the same arguments neither number may grow, but for the few rows that `trust: listing` draws anew with every walk.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.stages.walk import recipes, steps
from tests.stages.walk.work import KILLED


class Walk:
    """A place with files, a user's module, and a store that lasts."""

    def __init__(self, place: Path, recipe: str, seed: int) -> None:
        self.place, self.recipe, self.rng = place, recipe, random.Random(f"{recipe} {seed}")
        self.folders = [recipes.source_files(recipe, place / name, self.rng) for name in ("web", "more")]
        for folder in self.folders:
            for _ in range(4):
                folder.add()
        self.settings = recipes.start(self.rng)
        self.tasks = self.rows = 0  # done in the store that lasts
        self._write_code()
        self._forked(lambda: recipes.small_model(recipe, place / "model"))  # torch starts threads

    def step(self) -> tuple[list[str], list[str], str]:
        """Change something and run; (what was done, what differs from a run in an empty store, how both failed)."""
        done = [self._change() for _ in range(self.rng.choice((1, 1, 1, 2, 3)))]
        self._write_code()
        nodes, _ = recipes.graph(self.recipe, self.settings, self.place)
        if self.rng.random() < 0.25:
            most = self.rng.randint(1, 25)
            code, _ = self._run("lasting", most=most)
            done.append(f"killed after {most} tasks" if code == KILLED else f"not killed within {most} tasks")
            if self.rng.random() < 0.5:
                done += [self._change()]
                self._write_code()
                nodes, _ = recipes.graph(self.recipe, self.settings, self.place)
        if self.rng.random() < 0.15:
            only = self.rng.choice(sorted(nodes))
            self._run("lasting", only=only)
            done.append(f"run up to {only}")
        _, found = self._run("lasting")
        shutil.rmtree(self.place / "fresh", ignore_errors=True)
        _, wanted = self._run("fresh")
        differs = compare(found, wanted)
        if self.rng.random() < 0.1:
            self._forked(lambda: steps.cleaned(self.place, "lasting"))
            done.append("then cleaned")
        return done, differs, wanted.get("failed") or ""

    def _change(self) -> str:
        _, used = recipes.graph(self.recipe, self.settings, self.place)
        if self.rng.random() < 0.5:
            return self.rng.choice(self.folders).change()
        return recipes.change(self.settings, self.rng, used)

    def _write_code(self) -> None:
        module = self.place / "code" / "own_code.py"
        module.parent.mkdir(exist_ok=True)
        module.write_text(recipes.code(self.settings["code"]))

    def _run(self, store: str, **how: Any) -> tuple[int, Any]:
        code, told = self._forked(lambda: steps.run(self.recipe, self.settings, self.place, store, **how))
        if store == "lasting":
            self.tasks, self.rows = self.tasks + told.get("tasks", 0), self.rows + told.get("rows", 0)
        return code, told

    def _forked(self, work: Any) -> tuple[int, Any]:
        return steps.forked(work, self.place / "told.json")


def compare(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs between two runs, in words."""
    for each in (found, wanted):
        if "broken" in each:
            return [each["broken"]]
    if found["failed"] or wanted["failed"]:
        return [] if found["failed"] == wanted["failed"] else [f"{found['failed']}, but fresh {wanted['failed']}"]
    one, other = found["files"], wanted["files"]
    return [
        f"{name}: {one.get(name, 'not there')}, but fresh {other.get(name, 'not there')}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=sorted(recipes.RECIPES), nargs="+", default=sorted(recipes.RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="end at the first difference and keep the files")
    options = parser.parse_args(arguments)
    settings = recipes.start(random.Random(0))
    graphs = [recipes.graph(recipe, settings, Path())[0] for recipe in options.recipe]
    steps.preload(node for nodes in graphs for node in nodes.values())
    walked = differing = failed = tasks = rows = 0
    for recipe in options.recipe:
        for seed in options.seeds:
            place = Path(tempfile.mkdtemp(prefix="walk-"))
            walk = Walk(place, recipe, seed)
            for number in range(options.steps):
                before = walk.tasks, walk.rows
                done, differs, failure = walk.step()
                walked, differing, failed = walked + 1, differing + bool(differs), failed + bool(failure)
                print(f"{recipe} {seed}.{number}: {'; '.join(done)}", end=" ")
                print(f"[{walk.tasks - before[0]} tasks, {walk.rows - before[1]} rows]", flush=True)
                if failure:
                    print(f"    fails in both: {failure[:300]}", flush=True)
                for line in differs[:20]:
                    print(f"    DIFFERS {line}", flush=True)
                if differs and options.keep:
                    print(f"kept in {place}, with {walk.settings}")
                    return 1
            shutil.rmtree(place)
            tasks, rows = tasks + walk.tasks, rows + walk.rows
    print(f"{tasks} tasks done, row functions called for {rows} rows")
    print(f"{walked} steps, {differing} differ, {failed} failed in both stores")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
