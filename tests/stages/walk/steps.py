"""One run in a process of its own, and all that it leaves."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contract import Node
from pipeline.driver.execute import Driver, Options
from pipeline.driver.jobs import Done, Message
from tests.stages.walk.recipes import graph
from tests.stages.walk.work import Work, count_rows

NOT_DATA = ("lease", "scratch")
ROOMS = (
    "clean",
    "dedup",
    "hashing",
    "lines",
    "loops",
    "quality",
    "read",
    "tokens",
    "rewards",
    "teaching",
    "distillation",
    "translation",
    "training",
    "speech",
    "tools",
    "generate",
)  # of the nodes in the recipes
LIBRARIES = (
    "pyarrow.parquet", "pyarrow.compute", "pyarrow.csv", "tokenizers", "kitoken", "sacrebleu.metrics.chrf", "soundfile",
    "torch", "transformers.models.llama.modeling_llama", "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto", "transformers.integrations.sdpa_attention",
)  # fmt: skip
ENGINE = (
    "pipeline.driver.clean",
    "pipeline.driver.verify",
    "pipeline.run",
    "pipeline.results.documents",
    "pipeline.worker.pieces",
)


def preload(nodes: Iterable[Node]) -> None:
    """Import once what every run needs, so that a process that is forked for one begins at once. No work is done that
    starts a thread: a forked process would not have it.
    """
    for room in ROOMS:
        package = importlib.import_module(f"stages.{room}")
        for found in pkgutil.iter_modules(package.__path__, f"stages.{room}."):
            importlib.import_module(found.name)
    for name in (*LIBRARIES, *ENGINE):
        importlib.import_module(name)
    from pipeline.driver.drift import code_of
    from stages.clean.characters import table

    table()
    for node in nodes:
        if not node.code():  # a user's module is written later, at every step
            code_of(node)


def forked(work: Callable[[], Any], told: Path) -> tuple[int, Any]:
    """Exit code and result of some work in a forked process: what a run leaves in memory is gone with it. Of a run that
    ended itself the result is the work that it did.
    """
    told.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        Work.told = told
        count_rows()
        sys.modules["torch"].set_num_threads(1)  # tiny models: threads would wait for each other
        try:
            told.write_text(json.dumps(work()))
            code = 0
        except BaseException:
            told.write_text(json.dumps({"broken": traceback.format_exc()}))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(told.read_text())


@dataclass
class DyingDriver(Driver):
    """After so many tasks (`most`) the process ends as if it were killed."""

    most: int | None = None

    def _receive(self, message: Message) -> None:
        super()._receive(message)
        if isinstance(message, Done):
            Work.task_done(self.most)


def run(
    recipe: str, settings: Mapping[str, Any], place: Path, store: str, only: str | None = None, most: int | None = None
) -> dict[str, Any]:
    """Run a recipe over the files of `place`, in its folder `store`; return what became of it."""
    from pipeline.errors import SiftloomError
    from pipeline.graph import build

    (place / store).mkdir(exist_ok=True)
    os.chdir(place / store)
    sys.path.insert(0, str(place / "code"))
    nodes, _ = graph(recipe, settings, place)
    targets = [node for label, node in nodes.items() if only in (None, label)]
    driver = DyingDriver(
        build(targets, nodes), "walk", str(place / store / "store"), Options(here=True), None, None, most
    )  # fmt: skip
    try:
        driver.run()
    except SiftloomError as error:
        cause = error.__cause__ or error
        text = str(cause).replace(str(place / store), "")
        return {"failed": f"{type(error).__name__}: {type(cause).__name__}: {text}", "files": {}} | Work.done()
    return {"failed": None, "files": left(driver, place / store)} | Work.done()


def left(driver: DyingDriver, folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of all that the nodes of a run have left, and of the rows as a user reads them."""
    found = {}
    for node in driver.graph.nodes:
        root = Path(driver.store.root, driver.state.folder(node))
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.relative_to(root).parts[0] not in NOT_DATA:
                found[f"{driver.graph.names[node]}: {path.relative_to(folder / 'store')}"] = _sha(path.read_bytes())
    return found | _rows(driver) | _published(folder / "published")


def _published(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder.parent)): _sha(path.read_bytes()) for path in files}


def _rows(driver: DyingDriver) -> dict[str, str]:
    from pipeline.run import open_run

    opened, found = open_run(driver.store.root, driver.name), {}
    for node in driver.graph.nodes:
        if driver.graph.chains(node):
            label = driver.graph.names[node]
            rows = opened[label].rows(["id", "text"])
            found[f"{label}: rows"] = f"{len(rows)} {_sha(json.dumps(rows.to_pylist()).encode())}"
            removed = opened[label].removed()
            found[f"{label}: removed"] = f"{len(removed)} {_sha(json.dumps(removed.to_pylist()).encode())}"
    return found


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def cleaned(place: Path, store: str) -> list[str]:
    """Forget the runs of a store but for the newest, and clean it."""
    from pipeline.driver.clean import clean
    from pipeline.files.open_store import open_store
    from pipeline.results.run_record import run_names
    from siftloom.ask.runs import forget

    root = str(place / store / "store")
    for name in run_names(open_store(root), "walk")[:-1]:
        forget(root, name)
    return [each.name for each in clean(root)]
