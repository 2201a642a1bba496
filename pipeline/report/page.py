"""ReportData as one HTML page that needs nothing else: style, scripts and the figures' numbers are inside.

The page forbids itself everything from outside by its own Content-Security-Policy; its one script is named there by
its hash, so that no text of a document could run as one even if escaping failed. The script begins
with Apache ECharts, and draws the figures with it, which stand in the page as JSON.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from pipeline.files.secrets import masked
from pipeline.report import dag, figures, numbers, panels
from pipeline.report.curves import drawable
from pipeline.report.data import Figure, ReportData
from pipeline.report.markup import element, json_data
from pipeline.report.sentences import sentence
from pipeline.safe_text import clipped

DRAWN = ("histogram", "lines", "bars")
MOST = 8  # figures of a section that are seen at once; the others are folded
SCRIPTS = ("echarts/echarts.js", "charts.js", "page.js")


def render(data: ReportData) -> str:
    """The whole page. A figure that cannot be drawn is replaced by the sentence that says why."""
    script, style = "\n".join(map(read_part, SCRIPTS)), read_part("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        count=numbers.count, size=numbers.size, percent=numbers.percent, duration=numbers.duration,
        plain=numbers.plain, clip=clipped, breakable=breakable,
    )  # fmt: skip
    template = environment.from_string(read_part("page.html"))
    every = [*data.figures, *(figure for node in data.nodes for figure in node.figures)]  # those of the whole run first
    artist = Artist([])
    named = dict.fromkeys(name for figure in every if (name := _section(figure)))
    sections = [_grouped(name, [figure for figure in every if _section(figure) == name], artist) for name in named]
    remaining = {node.label: artist.place([f for f in node.figures if not _section(f)]) for node in data.nodes}
    loose = artist.place([figure for figure in data.figures if not _section(figure)])
    graph = dag.layout(data.nodes)
    page = template.render(
        data=data,
        graph=graph,
        graph_label=dag.sentence(graph),
        anchors={node.label: f"node-{number}" for number, node in enumerate(data.nodes, 1)},
        sections=sections,
        remaining=remaining,
        loose=loose,
        drawn=json_data({"graph": dag.figure(graph), "figures": artist.drawn}),
        removing=[node for node in data.nodes if node.reasons],
        side_by_side=panels.side_by_side,
        style=Markup(style),
        script=Markup(script),
        script_hash=digest,
        most=MOST,
    )
    return masked(page, uris=False)


@dataclass(frozen=True)
class Placed:
    """A figure ready for the page: its `body`, which for a chart is the place where the script draws it."""

    kind: str
    title: str
    note: str
    wide: bool
    body: Markup
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
    """Places figures, and keeps those that the script draws, in the order of their places."""

    drawn: list[Figure]

    def place(self, described: Sequence[Figure]) -> list[Placed]:
        """Place figures: charts two in a row, of an odd number the first alone; tables and texts in a row each."""
        problems = [figures.problem(figure) for figure in described]
        charts = [i for i, figure in enumerate(described) if not problems[i] and figure["kind"] in DRAWN]
        alone = charts[0] if len(charts) % 2 else None
        return [
            Placed("error", "A figure that cannot be drawn", "", True, Markup(""), Markup(""), problem)
            if problem
            else self._one(figure, i == alone)
            for i, (figure, problem) in enumerate(zip(described, problems, strict=True))
        ]

    def _one(self, figure: Any, alone: bool) -> Placed:
        kind, title, note = figure["kind"], figure["title"], figure.get("note") or ""
        if kind not in DRAWN:
            body = {"table": panels.table, "text": panels.text, "diff": panels.diff}[kind](figure)
            return Placed(kind, title, note, True, body, Markup(""))
        self.drawn.append(drawable(figure) if kind == "lines" else figure)
        body = element(
            "div", class_="chart", role="img", aria_label=sentence(figure), data_figure=len(self.drawn) - 1
        )  # fmt: skip
        return Placed(kind, title, note, alone, body, panels.chart_numbers(figure))


def breakable(name: str) -> Markup:
    """A name that may be broken behind its underscores and dots."""
    return Markup(re.sub(r"([_.]+)(?=\w)", r"\1<wbr>", str(escape(name))))


def _grouped(name: str, described: Sequence[Figure], artist: Artist) -> Section:
    about = next((figure["about"] for figure in described if isinstance(figure.get("about"), str)), "")
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return Section(f"section-{slug}", name[:1].upper() + name[1:], about, artist.place(described))


def _section(figure: Figure) -> str | None:
    name = figure.get("section") if isinstance(figure, Mapping) else None
    return name if isinstance(name, str) and name else None


def read_part(name: str) -> str:
    """A file that pages are made of."""
    return resources.files("pipeline.report").joinpath(name).read_text("utf-8")
