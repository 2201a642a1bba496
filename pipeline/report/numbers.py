"""Numbers as people read them: thousands separators, units, a real minus sign, no-break spaces before units."""

from __future__ import annotations

import math

SPACE = "\u00a0"
MINUS = "\u2212"
SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def count(value: float) -> str:
    """12345 -> `12,345`; a fraction keeps four significant digits."""
    return signed(f"{value:,d}") if isinstance(value, int) else plain(value)


def plain(value: float, digits: int = 4) -> str:
    """A number of no known unit, to `digits` significant digits, in powers of ten only where it must be."""
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 15 or size < -4:
        mantissa, exponent = f"{value:.{max(0, digits - 2)}e}".split("e")
        return signed(f"{_trim(mantissa)}e{int(exponent)}")
    return signed(_trim(f"{value:,.{max(0, digits - 1 - size)}f}"))


def fixed(value: float, decimals: int) -> str:
    """With as many decimals as the rest of its column."""
    return signed(f"{value:,.{decimals}f}")


def short(value: float) -> str:
    """1234567 -> `1.23M`."""
    for size, letter in SI:
        if abs(value) >= size:
            return plain(value / size, 3) + letter
    return plain(value, 3)


def size(value: float) -> str:
    """Bytes, decimal: 1500000 -> `1.5 MB`."""
    for unit, letters in BYTES:
        if abs(value) >= unit * 0.9995:
            return plain(value / unit, 3) + SPACE + letters
    return plain(value, 4) + SPACE + "B"


def percent(share: float) -> str:
    """0.2512 -> `25.1 %`; a share that is not nothing is never shown as 0, nor one that is not all as 100."""
    if 0 < share < 0.0005:
        return f"<{SPACE}0.1{SPACE}%"
    if 0.9995 <= share < 1:
        return f">{SPACE}99.9{SPACE}%"
    return signed(f"{100 * share:,.1f}".removesuffix(".0") if share in (0, 1) else f"{100 * share:,.1f}") + SPACE + "%"


def duration(seconds: float) -> str:
    """75.2 -> `1 min 15 s`."""
    if seconds < 10:
        return f"{seconds:.1f}{SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min{SPACE}{whole % 60}{SPACE}s"
    return f"{whole // 3600:,}{SPACE}h{SPACE}{whole % 3600 // 60}{SPACE}min"


def with_unit(value: float, unit: str | None) -> str:
    """A number under a figure's unit: `bytes`, `percent`, a suffix, or nothing."""
    if unit == "bytes":
        return size(value)
    if unit == "percent":
        return percent(value)
    return count(value) + (SPACE + unit if unit else "")


def signed(text: str) -> str:
    return text.replace("-", MINUS)


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
