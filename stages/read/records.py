"""One line, one file or one paragraph to one row, or to the reason why it is none.

A row is a tuple in the order of the base columns after `id`: text, source, source_id, then the kept ones. The
reasons:

    invalid_utf8    bytes that are not UTF-8
    bad_json        not JSON, or JSON that is not an object
    no_text         no text field in the object, or null
    wrong_type      the text is not a string, or a kept value does not fit its column
    lone_surrogate  half of a surrogate pair (`"\\ud800"`), which no encoding can hold
    nul             a NUL character: binary data, or UTF-16 taken for UTF-8
    empty           nothing but white space
    too_long        more bytes than a document may have
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from pipeline.errors import DataError

LONGEST = 512 * 1024**2  # bytes of one document; a row group of Arrow strings can hold 2 GiB
KINDS = {"string": str, "int64": int, "float64": float, "bool": bool}
EARLY = 1000  # rows without any text after which the column's name must be wrong

Row = tuple[Any, ...]


class Reject(Exception):
    """This row is unusable; the argument is the reason."""


def decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Reject("invalid_utf8") from None


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


class JsonRows:
    """JSON objects to rows. `keep` maps kept fields to their types; `place` names the file in errors."""

    def __init__(self, text: str, id_field: str, keep: Mapping[str, str], place: str):
        self.text, self.id_field, self.keep, self.place = text, id_field, keep, place
        self.objects = 0
        self.found_text = False
        self.seen: dict[str, str] = {}  # fields of the first objects -> type, for the error message

    def row(self, line: bytes) -> tuple[Row, int]:
        """The row of a line and the bytes of its text."""
        value = self._object(decode(line))
        text = value.get(self.text)
        if text is None:
            raise Reject("no_text")
        if not isinstance(text, str):
            raise Reject("wrong_type")
        self.found_text = True
        size = usable(text)
        own_id, source = value.get(self.id_field), value.get("source")
        kept = tuple(_kept(value.get(name), kind) for name, kind in self.keep.items())
        own_id = None if own_id is None else _as_text(own_id)
        return (text, source if source is None else _as_text(source), own_id, *kept), size

    def _object(self, line: str) -> dict[str, Any]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise Reject("bad_json") from None
        if not isinstance(value, dict):
            raise Reject("bad_json")
        self.objects += 1
        if not self.found_text:
            if len(self.seen) < 100:
                self.seen.update((name, type(field).__name__) for name, field in value.items())
            if self.objects == EARLY:
                self.finish()
        return value

    def finish(self) -> None:
        """Raises `DataError` when there were objects and none had the text: then its name is wrong, not the
        rows."""
        if self.found_text or not self.objects or self.seen.get(self.text) == "str":
            return
        if self.text in self.seen and self.seen[self.text] != "NoneType":
            found = f"the field {self.text!r} holds {self.seen[self.text]}"
        else:
            found = f"no field {self.text!r} in the first {self.objects} objects"
        raise missing_column(self.place, self.text, found, list(self.seen))


def missing_column(place: str, name: str, found: str, have: list[str]) -> DataError:
    """The error for a text column that is not there."""
    have = sorted(have)
    near = difflib.get_close_matches(name, have, n=1) or [n for n in have if n in ("content", "body", "raw_content")]
    return DataError(
        place,
        found,
        f"a string column of this name; there are: {', '.join(have) or 'none'}",
        f"set `text: {near[0]}` in `read`" if near else "set `text:` in `read` to the column that holds the documents",
    )


def _as_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise Reject("lone_surrogate") from None
    return text


def _kept(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "string":
        return _as_text(value)
    if isinstance(value, bool) != (kind == "bool"):
        raise Reject("wrong_type")
    if kind == "float64" and isinstance(value, int) and abs(value) <= 2**53:
        return float(value)
    if not isinstance(value, KINDS[kind]) or (kind == "int64" and not -(2**63) <= value < 2**63):
        raise Reject("wrong_type")
    return value
