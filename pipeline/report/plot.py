"""The frame that charts are drawn in: SVG elements, axes with grid and labels, vertical marks.

Lengths are in units of the view box, which is shown at about one unit a pixel. Colours and fonts are classes of the
page's style sheet, so that one drawing serves both themes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from pipeline.report import numbers
from pipeline.report.figures import Mark
from pipeline.report.ticks import Axis
from pipeline.text import clipped

LETTER = 6.8  # mean width of a letter of chart text (11.5 px) in a wide font
LINE = 15  # height of a line of it
MARKS = 4  # vertical marks that a chart has room for


def element(tag: str, *content: str, **attributes: Any) -> Markup:
    """One element; `class_` and `stroke_width` become `class` and `stroke-width`, numbers lose needless digits."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_brief(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{named}>{''.join(map(escape, content))}</{tag}>")


def join(parts: Iterable[str]) -> Markup:
    return Markup("").join(parts)


def text_width(text: str) -> float:
    """A careful guess: nobody can measure fonts here. East Asian letters are twice as wide."""
    return sum(LETTER * (2 if unicodedata.east_asian_width(letter) in "WF" else 1) for letter in text)


def fitted(text: str, width: float) -> str:
    """The text, cut to a width."""
    return clipped(text, max(2, int(width / LETTER)))


@dataclass(frozen=True)
class Frame:
    """A drawing of width x height with its axes' rectangle inside the margins."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x: Axis
    y: Axis
    head: float = 0  # above everything, for a key

    def at_x(self, value: float) -> float:
        return self.left + self.x.place(value) * (self.width - self.left - self.right)

    def at_y(self, value: float) -> float:
        return self.height - self.bottom - self.y.place(value) * (self.height - self.top - self.bottom)

    @property
    def floor(self) -> float:
        return self.height - self.bottom

    @property
    def end(self) -> float:
        return self.width - self.right

    def axes(self, x_label: str, y_label: str) -> Markup:
        """Grid lines across, the base line, tick labels, and both axes' names (y's above its labels, lying)."""
        parts = []
        for value, label in self.y.ticks:
            y = self.at_y(value)
            parts.append(element("line", class_="grid", x1=self.left, x2=self.end, y1=y, y2=y))
            parts.append(element("text", label, class_="tick", x=self.left - 7, y=y + 4, text_anchor="end"))
        for value, label in self._spaced():
            x = self.at_x(value)
            parts.append(element("line", class_="axis", x1=x, x2=x, y1=self.floor, y2=self.floor + 4))
            parts.append(element("text", label, class_="tick", x=x, y=self.floor + 17, text_anchor="middle"))
        parts.append(element("line", class_="axis", x1=self.left, x2=self.end, y1=self.floor, y2=self.floor))
        name = fitted(x_label, self.end - self.left)
        parts.append(
            element("text", name, class_="name", x=self.end, y=self.height - 3, text_anchor="end"),
        )
        parts.append(element("text", fitted(y_label, self.width), class_="name", x=0, y=self.head + 11))
        return join(parts)

    def marks(self, marks: Sequence[Mark]) -> Markup:
        """Dashed vertical lines, each with its label and value at the top, on the side that has room."""
        parts = []
        for row, mark in enumerate(marks[:MARKS]):
            x, y = self.at_x(mark["x"]), self.top - 6 - (min(len(marks), MARKS) - 1 - row) * LINE
            label = mark["label"]
            if not any(letter.isdigit() for letter in label):
                label = f"{label} {numbers.plain(mark['x'])}"
            label = fitted(label, self.width / 2)
            after = x + 6 + text_width(label) < self.width
            parts.append(element("line", class_="mark", x1=x, x2=x, y1=y - 9, y2=self.floor))
            parts.append(
                element(
                    "text",
                    label,
                    class_="mark-label",
                    x=x + 6 if after else x - 6,
                    y=y,
                    text_anchor="start" if after else "end",
                )
            )
        return join(parts)

    def svg(self, body: str, label: str, **data: str) -> Markup:
        return drawing(self.width, self.height, body, label, **data)

    def _spaced(self) -> list[tuple[float, str]]:
        """Ticks of the x axis whose labels do not touch."""
        kept: list[tuple[float, str]] = []
        edge = float("-inf")
        for value, label in self.x.ticks:
            half = text_width(label) / 2
            if self.at_x(value) - half > edge + 6:
                kept.append((value, label))
                edge = self.at_x(value) + half
        return kept


def drawing(width: float, height: float, body: str, label: str, **data: str) -> Markup:
    """The `svg` itself: an image with a name for those who cannot see it."""
    box = f"0 0 {_brief(width)} {_brief(height)}"
    return element(
        "svg",
        body,
        class_="chart",
        viewBox=box,
        width=width,
        height=height,
        role="img",
        aria_label=label,
        **data,
    )


def _brief(value: Any) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
