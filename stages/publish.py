"""Put files where the user says: in a folder, or under a prefix of an object store.

A local target appears whole: everything is written beside it under another name, flushed, and renamed. An object store
has no rename, so there `manifest.json` comes last: without it the target is not finished. The manifest names every
other file with its size and SHA-256. The same files published again change nothing. What an earlier run published in
a folder is replaced when nobody has changed it; any other file in the target is an error, and nothing is touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.contract import Address, Context, Store
from pipeline.errors import DataError, RecipeError

MANIFEST = "manifest.json"
MADE_BY = "siftloom"
SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")


def check_target(place: str, to: str | None) -> None:
    """Raise `RecipeError` for a target that is plainly impossible, before anything runs."""
    if to is not None and (scheme := Address(to).scheme) and scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise RecipeError(place, f"the scheme {scheme}://", f"a folder, or {known}")
    if to is not None and not to.strip():
        raise RecipeError(place, "an empty name", "a folder, or a URI")


def describe(path: Path) -> dict[str, Any]:
    """Size [bytes] and SHA-256 of a file."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def publish(
    ctx: Context,
    place: str,
    to: str,
    copies: Mapping[str, Path],
    texts: Mapping[str, str],
    facts: Mapping[str, Any],
    described: Mapping[str, Mapping[str, Any]] | None = None,
) -> bytes:
    """Publish files and return the manifest.

    ctx        of the task that publishes
    place      the field that an error names
    copies     name in the target -> file of the store
    texts      name in the target -> content
    facts      what else the manifest says
    described  what `describe` gave for the copies, and more, if it is known already

    Raises `DataError` when the target holds foreign files, `StoreError` when it cannot be written.
    """
    contents = {name: text.encode() for name, text in texts.items()}
    files = dict(described) if described is not None else {name: describe(path) for name, path in copies.items()}
    for name, content in contents.items():
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = (json.dumps({"made_by": MADE_BY, "format": 1, **facts, "files": files}, indent=1) + "\n").encode()
    if (address := Address(to)).remote:
        _upload(place, ctx.target(to), copies, contents, manifest)
    else:
        _place(place, Path(address).resolve(), copies, contents, manifest)
    return manifest


def is_overwritten(ctx: Context, to: str) -> bool:
    """Whether what a target holds was published by another node than that of the context."""
    try:
        found = json.loads(ctx.target(to).read(MANIFEST) or b"{}")
    except ValueError:  # a file of somebody else, which `publish` refuses
        return False
    return isinstance(found, dict) and found.get("made_by") == MADE_BY and found.get("node") != ctx.fingerprint()


def _place(place: str, folder: Path, copies: Mapping[str, Path], texts: Mapping[str, bytes], manifest: bytes) -> None:
    """Publish in a local folder."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{place}: {folder}", "a file", "a folder, or a name that is free")
    here = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    old = (folder / MANIFEST).read_bytes() if MANIFEST in here else None
    if _is_whole(here, old, manifest):
        return
    known = _files_of(old)
    _refuse(f"{place}: {folder}", [name for name, size in here.items() if known.get(name) != size])
    staging, aside = (folder.parent / f".{folder.name}.siftloom-{word}" for word in ("new", "old"))
    shutil.rmtree(staging, ignore_errors=True)
    for name in (*copies, MANIFEST):
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
    for name, source in copies.items():
        shutil.copyfile(source, staging / name)
    for name, content in (*texts.items(), (MANIFEST, manifest)):
        (staging / name).write_bytes(content)
    for path in (*staging.rglob("*"), staging):
        _flush(path)
    shutil.rmtree(aside, ignore_errors=True)
    if here:
        folder.rename(aside)  # a crash between the two renames leaves both datasets whole, and running again ends it
    staging.rename(folder)
    _flush(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _upload(place: str, store: Store, copies: Mapping[str, Path], texts: Mapping[str, bytes], manifest: bytes) -> None:
    """Publish under a prefix of an object store."""
    here = store.sizes("")
    old = store.read(MANIFEST) if MANIFEST in here else None
    if _is_whole(here, old, manifest):
        return
    wanted = {*copies, *texts} if old is None else set()
    _refuse(f"{place}: {store}", [name for name in here if name not in wanted])
    for name, source in copies.items():
        store.upload(source, name)
    for name, content in (*texts.items(), (MANIFEST, manifest)):
        store.write(name, content)


def _files_of(manifest: bytes | None) -> dict[str, int]:
    """Names and sizes that a manifest of ours lists, itself among them; nothing for another file of its name."""
    try:
        found = json.loads(manifest or b"{}")
        if found.get("made_by") != MADE_BY:
            return {}
        return {name: entry["bytes"] for name, entry in found["files"].items()} | {MANIFEST: len(manifest or b"")}
    except (ValueError, AttributeError, KeyError, TypeError):
        return {}


def _is_whole(here: Mapping[str, int], old: bytes | None, new: bytes) -> bool:
    """Whether the target holds this very dataset and nothing else."""
    return old == new and dict(here) == _files_of(new)


def _refuse(place: str, foreign: list[str]) -> None:
    if foreign:
        names = ", ".join(sorted(foreign)[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise DataError(
            place,
            f"files that this node did not write, or that have changed since: {names}",
            "an empty place, or the unchanged files of an earlier run",
            "name another place, or remove these files",
        )


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
