"""Axes: the position of a value, and the round numbers beside it.

Steps are 1, 2, 2.5 or 5 times a power of ten (Heckbert, "Nice numbers for graph labels", Graphics Gems 1990). They
are multiplied in decimal, so that the third tick of 0.1 is 0.3 and its label has no stray digits.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from decimal import Decimal

from pipeline.report import numbers

MANTISSAS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
LEAST_SPAN = 1e-9  # relative; below it a range counts as one value


@dataclass(frozen=True)
class Axis:
    """A range with its ticks, (value, label) rising; `log` places values by their logarithm."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`; values outside are held at the ends."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        span = self.high - self.low
        if math.isinf(span):  # the difference of two huge numbers; halves of tiny ones would be nothing
            return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return (value - self.low) / span


def linear(low: float, high: float, target: int = 5, whole: bool = False) -> Axis:
    """Low to high with about `target` ticks inside; `whole` keeps them to whole numbers (counts)."""
    low, high = _widened(low, high)
    start, end = Decimal(low), Decimal(high)
    step = _nice((end - start) / target)
    if whole:
        step = max(step, Decimal(1))
        step = step.to_integral_value(rounding="ROUND_CEILING")
    first = (start / step).to_integral_value(rounding="ROUND_CEILING")
    ticks: list[tuple[float, str]] = []
    while first * step <= end:
        value = float(first * step)
        if low <= value <= high and (not ticks or ticks[-1][0] < value):
            ticks.append((value, _label(first * step, step)))
        first += 1
    return Axis(low, high, tuple(ticks))


def logarithmic(low: float, high: float, target: int = 6) -> Axis:
    """Powers of ten between two numbers above 0, with 2 and 5 between where few fit; linear ticks inside a decade."""
    if high <= low * (1 + LEAST_SPAN):
        low, high = low / 2, low * 2
    decades = math.log10(high / low)
    if decades < 1:
        inside = linear(low, high, target - 1)
        return Axis(low, high, inside.ticks, log=True)
    stride = max(1, math.ceil(decades / target))
    digits = (1, 2, 5) if decades * 3 <= target + 1 else (1, 3) if decades * 2 <= target else (1,)
    ticks = []
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in digits if stride == 1 else (1,):
            value = float(Decimal(digit).scaleb(exponent))
            if low <= value <= high and exponent % stride == 0:
                ticks.append((value, _power(digit, exponent)))
    return Axis(low, high, tuple(ticks), log=True)


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range of one value becomes one around it."""
    if high - low > LEAST_SPAN * max(abs(low), abs(high)):
        return low, high
    margin = abs(low) / 2 or 1.0
    return max(low - margin, -sys.float_info.max), min(low + margin, sys.float_info.max)


def _nice(raw: Decimal) -> Decimal:
    power = Decimal(1).scaleb(raw.adjusted())
    return next(mantissa * power for mantissa in MANTISSAS if mantissa * power >= raw)


def _label(value: Decimal, step: Decimal) -> str:
    """With the decimals the step needs; large and tiny steps in powers of ten or with a letter."""
    if value == 0:
        return "0"
    size = max(abs(value), step).adjusted()
    if size >= 15 or step.adjusted() < -5:
        mantissa = value.scaleb(-value.adjusted()).normalize()
        return numbers.signed(f"{mantissa:f}×10") + _superscript(value.adjusted())
    if step.adjusted() >= 3:
        return _in_units(value)
    decimals = max(0, -int(step.normalize().as_tuple().exponent))
    return numbers.signed(f"{value:,.{decimals}f}")


def _in_units(value: Decimal) -> str:
    """With all its digits: ticks may lie closer than any fixed number of them can tell apart."""
    unit, letter = next((Decimal(unit), letter) for unit, letter in numbers.SI if abs(value) >= unit)
    return numbers.signed(f"{(value / unit).normalize():f}{letter}")


def _power(digit: int, exponent: int) -> str:
    if -3 <= exponent < 3:
        return numbers.signed(f"{Decimal(digit).scaleb(exponent):f}")
    if 3 <= exponent < 15:
        return numbers.short(digit * 10.0**exponent)
    return ("10" if digit == 1 else f"{digit}×10") + _superscript(exponent)


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
