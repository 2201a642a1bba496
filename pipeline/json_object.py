"""Fields of a record as the text of one JSON object, the same for equal fields wherever it is made."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any


def json_object(fields: Mapping[str, Any]) -> str | None:
    """Return the object, its names in the order of the fields; None where there are no fields.

    JSON has no form for some values. An infinity and a NaN become null, times are in ISO 8601, decimals as they are
    written, bytes are text where they are UTF-8 and base64 elsewhere. Half a surrogate pair stays as its escape.
    """
    if not fields:
        return None
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        fields = _finite(fields)
        text = json.dumps(fields, ensure_ascii=False, default=_plain)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return json.dumps(fields, default=_plain)
    return text


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
