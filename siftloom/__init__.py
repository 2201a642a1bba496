"""The entry point: `from siftloom import Pipeline, stages as s, models as m`.

    docs = s.Language(docs=s.Read(paths=["corpus/*.jsonl.gz"]), keep=["en"])
    run = Pipeline([docs], name="first", store="runs/").run()

Names are found when they are asked for, so importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from siftloom.packages import put_first

if TYPE_CHECKING:
    import models as models
    from siftloom import stages as stages
    from siftloom.pipeline import Pipeline as Pipeline
    from siftloom.run import Run as Run
    from siftloom.run import open_run as open_run

put_first()

__all__ = ["Pipeline", "Run", "models", "open_run", "stages"]

_PLACES = {
    "Pipeline": ("siftloom.pipeline", "Pipeline"),
    "Run": ("siftloom.run", "Run"),
    "open_run": ("siftloom.run", "open_run"),
    "models": ("models", None),
    "stages": ("siftloom.stages", None),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("siftloom")
        except PackageNotFoundError:  # a bare checkout, as a submitted job has it
            return "0+checkout"
    if name not in _PLACES:
        raise AttributeError(f"module 'siftloom' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
