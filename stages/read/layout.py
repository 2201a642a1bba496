"""Which files are read how, and by which tasks.

A file's name says its format only; its first bytes say how it is packed. Files that hold one
document each share tasks. The key of a task names the bytes that it reads, by digest and format, so that a listing
with one file more has the same tasks and one besides; where a bundle of small files ends is therefore decided by the
digest of its last file, and not by how many files stand before it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import PurePosixPath

from pipeline.contract import Source
from pipeline.errors import RecipeError, SourceError
from stages.documents import id_prefix

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
    ".text": "txt",
    ".md": "txt",
    ".markdown": "txt",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".warc": "warc",
    ".wet": "warc",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".tar": "tar",
}
OWN_NAMES = ("txt", "html", "warc")  # formats whose text is no field that a user names
ONE_DOCUMENT = ("txt", "html")  # formats of files with one document each, unless `txt_split` cuts them
SEPARATORS = {"csv": ",", "tsv": "\t"}  # of fields, in formats whose records have them
PACKED = (".gz", ".zst", ".bz2", ".xz")
SHORT = {".tgz": ".tar", ".tbz2": ".tar", ".txz": ".tar"}  # packed files whose names have one ending for both
NEEDS = {"warc": ("fastwarc", "resiliparse"), "html": ("resiliparse",), "tar": ("resiliparse",)}  # import names
DATASET_NOTES = ("dataset_info.json", "dataset_dict.json", "state.json")  # beside the .arrow files of a saved dataset
CARD = "README.md"  # of a data set
NOTHING = "nothing"  # the format of a file that holds no documents
FILES_A_BUNDLE = 1024  # on average, of files with one document each
LONGEST_BUNDLE = 4096  # files


def formats(names: Sequence[str], given: str, place: str) -> list[str]:
    """The format of every file, from its name unless one is given. Raises `SourceError` for a name that does not say
    it, and `RecipeError` for a format whose library is not installed."""
    notes = dataset_notes(names) if given == "auto" else set()
    found = [NOTHING if name in notes else _format(name) if given == "auto" else given for name in names]
    for form in dict.fromkeys(found):
        require_library(form, place)
    return found


@cache
def mark_of(form: str) -> str:
    """What stands for a format in identities and keys: its name, and the releases of what decodes its pages."""
    releases = (metadata.version(library).replace(".", "_") for library in NEEDS.get(form, ()))
    return "-".join([form, *releases])


def format_of(name: str) -> str | None:
    """Return the format that a file's name stands for; None for a name of no format that is read."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix in PACKED:
        suffix = path.with_suffix("").suffix.lower()
    form = FORMATS.get(SHORT.get(suffix, suffix))
    return None if form == "parquet" and path.suffix.lower() in PACKED else form


def _format(name: str) -> str:
    form = format_of(name)
    if form is None:
        raise SourceError(
            name, "a name that does not say how to read it", f"{', '.join(FORMATS)}, also with {' or '.join(PACKED)}",
            "set `format:` in `read`, or a narrower glob in `paths`",
        )  # fmt: skip
    return form


def dataset_notes(names: Sequence[str]) -> set[str]:
    """The files that describe documents and hold none: those that `datasets.save_to_disk` writes beside its data, and
    the card of a data set, a `README.md` above or beside files of another format.
    """
    folders = {folder for name in names if name.endswith(".arrow") for folder in PurePosixPath(name).parents}
    data = {PurePosixPath(name).parent for name in names if format_of(name) not in (None, "txt")}
    found = set()
    for name in names:
        path = PurePosixPath(name)
        note = path.name in DATASET_NOTES and path.parent in folders
        if note or (path.name == CARD and any(path.parent in (folder, *folder.parents) for folder in data)):
            found.add(name)
    return found


def require_library(form: str, place: str) -> None:
    """Raise `RecipeError` for a format whose library is not installed."""
    from importlib.util import find_spec

    for library in NEEDS.get(form, ()):
        if find_spec(library) is None:
            raise RecipeError(
                place, f"files of the format {form}, and no library {library}", f"{library}",
                "pip install 'siftloom[readers]'",
            )  # fmt: skip


def refuse_hub(path: str, place: str) -> None:
    """Raise `RecipeError` for a data set of the Hugging Face hub, whose files a run cannot digest."""
    if path.startswith("hf://"):
        name = path.removeprefix("hf://").removeprefix("datasets/")
        raise RecipeError(
            f"{place}: {path}", "a data set of the Hugging Face hub", "files, which a run can digest",
            f"hf download {name} --repo-type dataset --local-dir DIR, then `paths: [DIR]`",
        )  # fmt: skip


@dataclass(frozen=True)
class FileGroup:
    """Files that are read together.

    files   their places in the listing
    copies  for each of them, how many files stand before it in the listing whose ids would begin alike
    """

    key: str
    form: str
    files: tuple[int, ...]
    copies: tuple[int, ...]

    def copy_of(self, source: Source) -> int:
        """The entry of `copies` for one of the files."""
        return self.copies[self.files.index(source.index)]


_last: tuple[Sequence[Source] | None, tuple, Mapping[str, FileGroup]] = (None, (), {})


def groups(listed: Sequence[Source], form: str, txt_split: str, size: int) -> Mapping[str, FileGroup]:
    """Key -> group, in the order of the listing; the last answer is kept, since every task of a process asks for it.

    The last three are fields of `read`; `size` is how many bytes of small files are read together at most, on average.
    """
    global _last
    if _last[0] is not listed or _last[1] != (form, txt_split, size):
        forms = formats([source.name for source in listed], form, "read")
        bundled = [each == "html" or (each == "txt" and txt_split == "file") for each in forms]
        _last = (listed, (form, txt_split, size), _grouped(listed, forms, bundled, size))
    return _last[2]


def _grouped(
    sources: Sequence[Source], forms: Sequence[str], bundled: Sequence[bool], size: int
) -> Mapping[str, FileGroup]:
    """Key -> group. `bundled`: which files hold one document each."""
    found: dict[str, FileGroup] = {}
    seen: Counter[str] = Counter()
    copies = []  # whatever the format, since an id names the bytes alone
    for source, form in zip(sources, forms, strict=True):
        copies.append(seen[id_prefix(source.digest)])
        seen[id_prefix(source.digest)] += form != NOTHING

    def put(files: Sequence[int]) -> None:
        form = forms[files[0]]
        if len(files) == 1:
            (only,) = files
            key = f"{sources[only].digest[:16]}-{mark_of(form)}" + (f"-copy{copies[only]}" if copies[only] else "")
        else:
            names = [sources[i].digest + (f".{copies[i]}" if copies[i] else "") for i in files]
            key = f"{hashlib.sha256(''.join(names).encode()).hexdigest()[:16]}-{mark_of(form)}-files"
        found[key] = FileGroup(key, form, tuple(files), tuple(copies[i] for i in files))

    bundle: list[int] = []
    held = 0
    for i, source in enumerate(sources):
        if bundle and (not bundled[i] or forms[bundle[0]] != forms[i]):
            put(bundle)
            bundle, held = [], 0
        if not bundled[i]:
            if forms[i] != NOTHING:
                put([i])
            continue
        bundle.append(i)
        held += source.size
        if _ends_bundle(source, size) or held >= 2 * size or len(bundle) == LONGEST_BUNDLE:
            put(bundle)
            bundle, held = [], 0
    if bundle:
        put(bundle)
    return found


def _ends_bundle(source: Source, size: int) -> bool:
    """Drawn by the digest, more often for a large file: so a file more or less moves one bundle's end."""
    share = max(source.size / size, 1 / FILES_A_BUNDLE)
    return int(source.digest[-8:], 16) < share * 2**32
