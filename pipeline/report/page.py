"""ReportData as one HTML page that needs nothing else: style, script and drawings are inside.

The page forbids itself everything from outside by its own Content-Security-Policy; its one script is named there by
its hash, so that no text of a document could run as one even if escaping failed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from pipeline.report import charts, dag, figures, legend, numbers, panels
from pipeline.report.curves import smoothed
from pipeline.report.data import Figure, ReportData
from pipeline.text import clipped

DRAWN = ("histogram", "lines", "bars")


def render(data: ReportData) -> str:
    """The whole page. A figure that cannot be drawn is replaced by the sentence that says why."""
    script, style = _read("page.js"), _read("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        count=numbers.count, size=numbers.size, percent=numbers.percent, duration=numbers.duration,
        plain=numbers.plain, clip=clipped, breakable=breakable,
    )  # fmt: skip
    template = environment.from_string(_read("page.html"))
    every = [*(figure for node in data.nodes for figure in node.figures), *data.figures]
    artist = Artist(_palette(every))
    named = dict.fromkeys(name for figure in every if (name := _section(figure)))
    sections = [_grouped(name, [figure for figure in every if _section(figure) == name], artist) for name in named]
    return template.render(
        data=data,
        graph=dag.layout(data.nodes),
        anchors={node.label: f"node-{number}" for number, node in enumerate(data.nodes, 1)},
        sections=sections,
        remaining={node.label: artist.place([f for f in node.figures if not _section(f)]) for node in data.nodes},
        loose=artist.place([figure for figure in data.figures if not _section(figure)]),
        removing=[node for node in data.nodes if node.reasons],
        dag=dag,
        side_by_side=panels.side_by_side,
        style=Markup(style),
        script=Markup(script),
        script_hash=digest,
        no_space=numbers.SPACE,
    )


@dataclass(frozen=True)
class Placed:
    """A figure ready for the page: `drawings` by class name, one, or a narrow and a wide one of the same chart."""

    kind: str
    title: str
    note: str
    wide: bool
    drawings: tuple[tuple[str, Markup], ...]
    numbers: Markup
    error: str = ""


@dataclass(frozen=True)
class Section:
    """Figures of any nodes under one heading, which is the word that they name as their section."""

    id: str
    title: str
    about: str
    figures: list[Placed]


@dataclass(frozen=True)
class Artist:
    """Draws figures in one palette, so that a name keeps its colour over the page."""

    palette: legend.Palette

    def place(self, described: Sequence[Figure]) -> list[Placed]:
        """Charts stand two in a row; the first of an odd number has a row for itself, as have tables and texts."""
        problems = [figures.problem(figure) for figure in described]
        drawn = [i for i, figure in enumerate(described) if not problems[i] and figure["kind"] in DRAWN]
        alone = drawn[0] if len(drawn) % 2 else None
        return [
            Placed("error", "A figure that cannot be drawn", "", True, (), Markup(""), problem)
            if problem
            else self._one(figure, i == alone)
            for i, (figure, problem) in enumerate(zip(described, problems, strict=True))
        ]

    def _one(self, figure: Any, alone: bool) -> Placed:
        kind = figure["kind"]
        if kind in DRAWN:
            drawings = [("narrow" if alone else "any", self._chart(figure, charts.NARROW))]
            drawings += [("wide", self._chart(figure, charts.WIDE))] if alone else []
        else:
            drawings = [("any", {"table": panels.table, "text": panels.text, "diff": panels.diff}[kind](figure))]
        wide = alone or kind not in DRAWN
        return Placed(
            kind,
            figure["title"],
            figure.get("note") or "",
            wide,
            tuple(drawings),
            panels.chart_numbers(figure),
        )

    def _chart(self, figure: Any, width: int) -> Markup:
        if figure["kind"] == "lines":
            return charts.lines(smoothed(figure) if figure.get("smooth") else figure, self.palette, width)
        return {"histogram": charts.histogram, "bars": charts.bars}[figure["kind"]](figure, width)


def breakable(name: str) -> Markup:
    """A name that may be broken behind its underscores and dots."""
    return Markup(re.sub(r"([_.]+)(?=\w)", r"\1<wbr>", str(escape(name))))


def _palette(every: Sequence[Figure]) -> legend.Palette:
    """Names in more than one chart have one colour; those of trained models come first."""
    charted = [f for f in every if not figures.problem(f) and f["kind"] == "lines"]
    charted.sort(key=lambda figure: not figure.get("smooth"))
    names = Counter(name for figure in charted for name in dict.fromkeys(series["name"] for series in figure["series"]))
    return legend.Palette([name for name, number in names.items() if number > 1])


def _grouped(name: str, described: Sequence[Figure], artist: Artist) -> Section:
    about = next((figure["about"] for figure in described if isinstance(figure.get("about"), str)), "")
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return Section(f"section-{slug}", name[:1].upper() + name[1:], about, artist.place(described))


def _section(figure: Figure) -> str | None:
    name = figure.get("section") if isinstance(figure, Mapping) else None
    return name if isinstance(name, str) and name else None


def _read(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text("utf-8")
