"""One record to one row, or to the reason why it is none.

A record is a mapping from names to values: a JSON object, a line of a table, a page with its headers. A row is a
tuple in the order of the base columns after `id`: text, source, source_id, the kept ones, and the rest where it
travels. The reasons:

    invalid_utf8    bytes that are not UTF-8, or not of the encoding that they should be in
    bad_json        not JSON, or JSON that is not an object
    bad_record      a line of a table, or a record of an archive, that cannot be parsed
    no_text         no text field in the record, or null
    wrong_type      the text is not a string, or a kept value does not fit its column
    too_deep        JSON nested more deeply than `DEEPEST`
    lone_surrogate  half of a surrogate pair (`"\\ud800"`), which no encoding can hold
    nul             a NUL character: binary data, or UTF-16 taken for UTF-8
    empty           nothing but white space
    too_long        more bytes than a document may have
    cut_off         a record of an archive that ends before its length says
    not_text        a record of an archive that is no page and no text (an image, a redirect)
    http_status     an answer of a server other than 200
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from pipeline.contract import json_object
from pipeline.errors import DataError
from stages.documents import SOURCE
from stages.read.keep import KINDS, KeptFields, without

LONGEST = 512 * 1024**2  # bytes of one document; a row group of Arrow strings can hold 2 GiB
DEEPEST = 200  # brackets around a value; where Python itself gives up depends on who called whom
EARLY = 1000  # rows without any text after which the column's name must be wrong

Row = tuple[Any, ...]


class Reject(Exception):
    """An unusable row: the reason, and the beginning of its bytes."""

    def __init__(self, reason: str, clip: bytes | None = None) -> None:
        super().__init__(reason)
        self.reason, self.clip = reason, clip


def decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Reject("invalid_utf8", data) from None


def usable(text: str) -> int:
    """The length of a text in UTF-8 bytes; raises `Reject` for one that no stage could read."""
    try:
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise Reject("lone_surrogate") from None
    if size > LONGEST:
        raise Reject("too_long")
    if not text or text.isspace():
        raise Reject("empty")
    if "\0" in text:
        raise Reject("nul")
    return size


class Fields:
    """Takes the wanted fields out of records. `place` names the file in errors."""

    def __init__(self, text: str, id_field: str, keep: KeptFields, place: str):
        self.text, self.id_field, self.keep, self.place = text, id_field, keep, place
        self.taken = keep.taken(text, id_field, SOURCE)
        self.records = 0
        self.found_text = False
        self.seen: dict[str, str] = {}  # fields of the first records -> type, for the error message

    def row(self, record: Mapping[str, Any]) -> tuple[Row, int]:
        """The row of a record and the bytes of its text."""
        self.records += 1
        text = field_of(record, self.text)
        if not self.found_text:
            self._look_at(record)
        if text is None:
            raise Reject("no_text")
        if isinstance(text, bytes):
            text = decode(text)
        if not isinstance(text, str):
            raise Reject("wrong_type")
        self.found_text = True
        size = usable(text)
        own_id, source = field_of(record, self.id_field), record.get(SOURCE)
        kept = tuple(_kept(field_of(record, kept.field), kept.kind) for kept in self.keep.named)
        rest = (self._rest(record),) if self.keep.rest else ()
        own_id = None if own_id is None else _as_text(own_id)
        return (text, source if source is None else _as_text(source), own_id, *kept, *rest), size

    def _rest(self, record: Mapping[str, Any]) -> str | None:
        """The fields of a record that have no column of their own."""
        if self.text not in record:
            record = without(record, self.text)
        return json_object({name: value for name, value in record.items() if name not in self.taken})

    def _look_at(self, record: Mapping[str, Any]) -> None:
        if len(self.seen) < 100:
            for name, value in record.items():
                self.seen[name] = type(value).__name__
                if isinstance(value, Mapping):
                    self.seen.update((f"{name}.{inner}", type(found).__name__) for inner, found in value.items())
        if self.records == EARLY:
            self.finish()

    def finish(self) -> None:
        """Raises `DataError` when there were records and none had the text: then its name is wrong, not the rows."""
        if self.found_text or not self.records or self.seen.get(self.text) in ("str", "bytes"):
            return
        if self.seen.get(self.text) == "NoneType":
            found = f"the field {self.text!r} is null in the first {self.records} records"
        elif self.text in self.seen:
            found = f"the field {self.text!r} holds {self.seen[self.text]}"
        else:
            found = f"no field {self.text!r} in the first {self.records} records"
        raise missing_column(self.place, self.text, found, [name for name in self.seen if name != self.text])


def field_of(record: Mapping[str, Any], name: str) -> Any:
    """The value of a field, or of a field in a field (`doc.text`); a field that has a dot in its name comes first."""
    if name in record:
        return record[name]
    head, dot, rest = name.partition(".")
    inner = record.get(head) if dot else None
    return field_of(inner, rest) if isinstance(inner, Mapping) else None


def missing_column(place: str, name: str, found: str, have: list[str]) -> DataError:
    """The error for a text column that is not there."""
    have = sorted(have)
    near = difflib.get_close_matches(name, have, n=1) or [
        n for n in have if n in ("content", "body", "raw_content") or n.endswith(f".{name}")
    ]
    return DataError(
        place,
        found,
        f"a string column of this name; there are: {', '.join(have) or 'none'}",
        f"set `text: {near[0]}` in `read`" if near else "set `text:` in `read` to the column that holds the documents",
    )


def _as_text(value: Any) -> str:
    try:
        text = (
            value
            if isinstance(value, str)
            else json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, default=_plain)
        )
    except RecursionError:  # of a Parquet column; JSON lines were measured
        raise Reject("too_deep") from None
    except (ValueError, TypeError):  # an infinity, which JSON has no word for; keys of several types
        raise Reject("wrong_type") from None
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise Reject("lone_surrogate") from None
    return text


def _plain(value: Any) -> str:
    """Values that Arrow knows and JSON does not: bytes as text, times in ISO 8601, decimals as they are written."""
    if isinstance(value, bytes):
        return decode(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _kept(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "string":
        if not isinstance(value, str | int | float | list | dict | bool):
            return _plain(value)
        return _as_text(value)
    if isinstance(value, bool) != (kind == "bool"):
        raise Reject("wrong_type")
    if kind == "float64" and isinstance(value, int) and abs(value) <= 2**53:
        return float(value)
    if not isinstance(value, KINDS[kind]) or (kind == "int64" and not -(2**63) <= value < 2**63):
        raise Reject("wrong_type")
    return value
