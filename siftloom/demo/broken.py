"""`siftloom demo --break`: the same job, killed twice with SIGKILL, must give the same bytes.

One run is left alone. The other, in a store of its own, is killed in the middle of near-duplicate removal and in
the middle of a training, by this process, as soon as the run says that it is there; then the same command goes on. At
the end every data file and every receipt of the two stores is compared, and no receipt from before a kill may have
been written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from pipeline.driver.options import Options
from pipeline.errors import UserError
from pipeline.files.address import Address
from pipeline.files.open_store import MARK
from siftloom.demo.run import recipe_path, run_demo
from siftloom.screen import say, say_json

Event = Mapping[str, Any]
SUFFIX = "-broken"


def in_dedup(event: Event) -> bool:
    """Return whether some tasks of the dedup are done and others are not."""
    return event["event"] == "node" and event["node"] == "unique" and event["done"] > 0 and event["state"] == "running"


def in_training(event: Event) -> bool:
    """Return whether a training has done a third of its steps."""
    return event["event"] == "training" and event["values"]["step"] * 3 >= event["values"]["steps"]


KILLS: tuple[tuple[str, Callable[[Event], bool]], ...] = (("dedup", in_dedup), ("training", in_training))


def run_broken(store: str, cpus: int | None, as_json: bool, stream: TextIO, changes: Sequence[str] = ()) -> int:
    """Return 0 when the two runs are equal in every byte and no finished task ran twice, else 1.

    Raises UserError where the second run's folder holds something else.
    """
    if (address := Address(store)).remote:
        raise UserError(f"store {address}", "a remote store", "a folder", "siftloom demo --break --store FOLDER")
    broken = Path(store.rstrip("/") + SUFFIX)
    if broken.exists() and not (broken / MARK).exists():
        raise UserError(f"{broken}", "a folder that is no store, which would be removed", "no such folder", "--store")
    shutil.rmtree(broken, ignore_errors=True)
    print("reference run, not interrupted", file=stream, flush=True)
    run_demo(store, Options(cpus=cpus), stream, changes)
    kills, before = [], {}
    for place, here in KILLS:
        print(f"run that is killed in {place}", file=stream, flush=True)
        event = _killed(broken, cpus, here, stream, changes)
        before |= _receipts(broken)
        kills.append({"where": place, "event": event, "receipts": len(before)})
    print("same command again, to resume", file=stream, flush=True)
    _killed(broken, cpus, lambda event: False, stream, changes)
    result = {"kills": kills} | compare(Path(store), broken, before)
    if as_json:
        say_json(result)
    else:
        _show(result, store, broken)
    return 0 if result["equal"] and not result["done_again"] else 1


def _killed(
    store: Path, cpus: int | None, here: Callable[[Event], bool], stream: TextIO, changes: Sequence[str]
) -> Event | None:
    """Runs the demo's recipe in a process of its own; kills it at the first event that is `here`, and returns that."""
    command = [sys.executable, "-m", "siftloom", "run", str(recipe_path()), "--store", str(store), "--json"]
    command += ["--cpus", str(cpus)] if cpus else []
    command += [word for change in changes for word in ("-s", change)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "node" and event["state"] == "done":
                print(f"  {event['node']} is done", file=stream, flush=True)
            if here(event):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                print(f"  SIGKILL: {json.dumps(event, default=str)}", file=stream, flush=True)
                return event
    if process.returncode:
        raise UserError("demo", f"the run ended with exit code {process.returncode}", "0", f"rm -r {store}")
    return None


def _receipts(store: Path) -> dict[str, int]:
    """Receipt -> when it was written."""
    return {str(path.relative_to(store)): path.stat().st_mtime_ns for path in store.glob("nodes/*/receipts/*/*.json")}


def compare(whole: Path, broken: Path, before: Mapping[str, int]) -> dict[str, Any]:
    """`files`, `equal`, `different` (names), `done_again` (receipts from before a kill that are newer now)."""
    one, other = _digests(whole, _nodes(whole)), _digests(broken, _nodes(whole))
    different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    now = _receipts(broken)
    return {
        "files": len(one),
        "equal": not different,
        "different": different,
        "done_again": sorted(name for name, when in before.items() if now.get(name) != when),
    }


def _nodes(store: Path) -> set[str]:
    """Return the folders of the demo's nodes; a store may hold more."""
    record = json.loads((store / "runs" / "demo" / "run.json").read_text(encoding="utf-8"))
    return {node["folder"] for node in record["nodes"].values()}


def _digests(store: Path, folders: set[str]) -> dict[str, str]:
    found = {}
    for folder in folders:
        parts = [
            *(store / folder).glob("data/**/*"),
            *(store / folder).glob("receipts/**/*"),
            store / folder / "manifest.json",
        ]
        for path in parts:
            if path.is_file():
                found[str(path.relative_to(store))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _show(result: Mapping[str, Any], store: str, broken: Path) -> None:
    for kill in result["kills"]:
        say(f"killed in {kill['where']}, with {kill['receipts']} tasks done")
    verdict = "equal in every byte" if result["equal"] else f"{len(result['different'])} differ"
    say(f"{result['files']} files in {store} and {broken}: {verdict}")
    for name in result["different"][:10]:
        say(f"  {name}")
    say(f"tasks that were done before a kill and were done again: {len(result['done_again'])}")
