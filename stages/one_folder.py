"""The files of one folder, found by their names: a model that other tools have written.

There the name of a file decides what it is (`config.json`, `model.safetensors`), so a node that takes such a folder has
the names in its identity, beside the digests: `marks` is its `source_marks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.contract import Source
from pipeline.errors import DataError

ONE_FOLDER = "the files of one Hugging Face folder"


def marks(place: str, names: Sequence[str]) -> Sequence[str]:
    """Each file's name. Raises DataError where two files have one name, since only one of them would be read."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(place, f"{twice[0]} twice: the files of several folders", ONE_FOLDER)
    return list(names)


def by_name(place: str, sources: Sequence[Source]) -> Mapping[str, Source]:
    """Name -> file of the folder's own files, in order; what lies in folders below it is left out.

    Raises DataError for files of several folders.
    """
    marks(place, [source.name for source in sources])
    found = {source.name: source for source in sources if "/" not in source.name}
    folders = {source.path.short().rpartition("/")[0] for source in found.values()}
    if len(folders) > 1:
        raise DataError(place, f"files of {len(folders)} folders", ONE_FOLDER)
    return found
