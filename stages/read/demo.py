"""`demo://NAME`: the embedded files `NAME-*.jsonl.gz`, of the demo corpus and of the worlds made by rule; and the
sounds of the folder `NAME` of the worlds.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

FOLDERS = ("corpus", "worlds")


def demo_files(name: str) -> list[str]:
    """Local paths of the embedded corpus of that name, sorted; empty where there is none."""
    embedded = Path(str(resources.files("recipes")))
    return [str(path) for folder in FOLDERS for path in sorted((embedded / folder).glob(f"{name}-*.jsonl.gz"))]


def demo_sounds(name: str) -> list[str]:
    """Local paths of the embedded sounds of that name and of their phones, sorted; empty where there are none."""
    folder = Path(str(resources.files("recipes")), "worlds", name)
    return [str(path) for path in sorted(folder.glob("*")) if path.suffix in (".flac", ".phn")]


SCHEMES = {"demo": demo_files}
