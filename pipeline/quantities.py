"""Numbers as a terminal shows them, and as the environment gives them."""

from __future__ import annotations

import math
import os
from typing import Any

from pipeline.errors import UserError


def number(value: Any) -> str:
    """At most four significant digits of a float, thousands set apart in a whole number."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def size(count: int | float) -> str:
    """Bytes in the largest decimal unit that leaves at least one, as the report writes them: 1 MB is 10^6 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds as `7 s`, `3:07` or `2:03:07`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def setting(name: str, default: float) -> float:
    """The number above 0 that an environment variable gives. Raises UserError for anything else in it."""
    text = os.environ.get(name, "")
    try:
        value = float(text) if text else float(default)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(f"${name}", f"{text!r}", "a number above 0", f"unset {name}")
    return value
