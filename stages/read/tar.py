"""Tar files in the layout of webdataset: the files of a sample share their name up to the first dot.

A sample's record has the fields of its `.json` file, `text` from its `.txt` file (or, where there is none, the page in
its `.html` file), and its name as `id` unless the JSON has one. Files of other kinds (pictures, sound), and those whose
name begins with a dot or has none, are passed over.
A row's number is that of the sample.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import SourceDamaged
from stages.documents import TEXT
from stages.read.charset import decode_page
from stages.read.given import Given, Row
from stages.read.json_files import record_of
from stages.read.record_to_row import LONGEST, Reject, decode

TEXTS = ("txt", "text", "json", "html", "htm")


def rows(given: Given) -> Iterator[Row]:
    number, name, sample = 0, None, {}
    try:
        pipe = given.pipe()
        with tarfile.open(fileobj=pipe, mode="r|") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                own, ending = _split(member.name)
                if not ending or own.endswith("/") or not own:
                    continue
                if own != name and name is not None:
                    yield number, _record(name, sample)
                    number, sample = number + 1, {}
                name = own
                if ending in TEXTS:
                    content = archive.extractfile(member)
                    sample[ending] = None if content is None or member.size > LONGEST else content.read()
        if pipe.drain().strip(b"\0"):  # tarfile takes a header that is cut off for the end
            raise tarfile.ReadError("no empty block at the end, so the file is cut off")
    except tarfile.TarError as error:
        raise SourceDamaged(
            given.source.name,
            f"sample {number}: {error}",
            "a whole tar file",
            "tar -tf on the file, then fetch it again, or set `on_damaged: skip` to go on without it",
            given.byte,
        ) from error
    if name is not None:
        yield number, _record(name, sample)


def _split(path: str) -> tuple[str, str]:
    """`a/b.c.txt` -> (`a/b`, `c.txt`), as webdataset does."""
    folder, slash, file = path.rpartition("/")
    stem, _, ending = file.partition(".")
    return folder + slash + stem, ending.lower()


def _record(name: str, sample: Mapping[str, bytes | None]) -> Mapping[str, Any] | Reject:
    if None in sample.values():
        return Reject("too_long")
    record: dict[str, Any] = {"id": name}
    if "json" in sample:
        fields = record_of(sample["json"] or b"")
        if isinstance(fields, Reject):
            return fields
        record |= fields
    for ending in ("txt", "text"):
        if ending in sample:
            try:
                return record | {TEXT: decode(sample[ending] or b"")}
            except Reject as reject:
                return reject
    for ending in ("html", "htm"):
        if ending in sample and TEXT not in record:
            record[TEXT], record["charset"] = decode_page(sample[ending] or b"")
    return record
