"""`demo://NAME`: the embedded files `NAME-*.jsonl.gz`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def demo_files(name: str) -> list[str]:
    """Local paths of the embedded corpus of that name, sorted; empty where there is none."""
    folder = Path(str(resources.files("recipes") / "corpus"))
    return [str(path) for path in sorted(folder.glob(f"{name}-*.jsonl.gz"))]


SCHEMES = {"demo": demo_files}
