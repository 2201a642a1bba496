"""A Hugging Face folder as an input: its files enter the identity by their names and digests, and every worker finds
them in the store.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pipeline.contract import ONE, Context, Node, Result, TaskPhase, one, sources
from pipeline.errors import DataError
from stages.one_folder import by_name, marks
from stages.strangers import check_folder, check_names
from stages.training.memory import machine_memory

PLACE, WANTED = "model_folder.paths", "config.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelFolder(Node):
    """A model that was trained elsewhere: `paths: [models/minilm]`, a folder with `config.json`, weights, a tokenizer.

    Its files are copied into the store once. A folder below it (`1_Pooling/`) is left out.

    paths       the folder, or its files
    trust_code  run the modelling file that the folder brings

    Errors: `DataError` for a folder without `config.json`, for files of several folders, and for files that do not fit
    each other or this machine's memory (`stages.strangers`).
    """

    paths: tuple[str, ...] = sources()
    trust_code: bool = False

    gives = "model folder"

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str]:
        return marks(PLACE, names)

    def phases(self):
        return (TaskPhase(name="files", keys=one, run=self._copy),)

    def _copy(self, ctx: Context, key: str) -> Result:
        files = by_name(PLACE, ctx.sources())
        if WANTED not in files:
            have = ", ".join(sorted(source.name for source in ctx.sources())[:5])
            raise DataError(PLACE, f"no {WANTED} among {have}", "one Hugging Face folder")
        check_names(PLACE, {name: source.size for name, source in files.items()})
        with ExitStack() as created:
            paths = {name: created.enter_context(ctx.create(f"/{name}")) for name in sorted(files)}
            for name, path in paths.items():
                with ctx.open_source(files[name]) as file, open(path, "wb") as copy:
                    shutil.copyfileobj(file, copy, 1 << 22)
            check_folder(PLACE, paths, machine_memory())
        return Result(counts={"files": len(files)}, facts={"files": sorted(files)})

    def figures(self, ctx: Context):
        yield {"kind": "text", "title": "Model folder", "lines": ctx.result("files", ONE[0]).facts["files"]}
