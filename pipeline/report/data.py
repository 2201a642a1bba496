"""The values that the report draws: plain and frozen, so that a page can be rendered, and tested, without a store.

`collect` fills them from a run; `page.render` turns them into HTML. Nothing here formats: numbers stay numbers
until the page is drawn, texts stay raw until they are escaped. Charts are figure descriptions (see `figures`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Figure = Mapping[str, Any]  # one of the TypedDicts of `figures`, as read from JSON
Action = Literal["reuse", "resume", "run"]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One removed document. With `kept_text` it is shown beside the document that stayed, word for word."""

    id: str
    text: str
    value: float | None = None  # what was measured
    threshold: float | None = None  # what it was held against
    kept_id: str | None = None
    kept_text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One reason for removal at one node."""

    name: str
    documents: int
    text_bytes: int | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """One node of the run.

    `total` and `kept` count `unit`s before and after it; leave them None for a node without a row stream (a
    model), whose `result` says in a few words what the node wrote. `why` is the plan's sentence for `action`.
    """

    label: str  # its name in the recipe; unique in the report
    kind: str
    fingerprint: str  # 64 hex digits
    action: Action
    why: str = ""
    inputs: tuple[str, ...] = ()  # labels; the stream it runs over first
    unit: str = "documents"
    total: int | None = None
    kept: int | None = None
    result: str = ""
    tasks: int | None = None
    bytes_written: int | None = None
    seconds: float | None = None
    config: tuple[tuple[str, str], ...] = ()
    reasons: tuple[Reason, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FunnelStep:
    """What is left after a node of the main path, the input first; None where a quantity is not known."""

    label: str
    documents: int | None = None
    text_bytes: int | None = None
    became: int | None = None  # what the documents have become in a node that ends the path
    unit: str = ""  # of that: `tokens`


@dataclass(frozen=True, kw_only=True)
class Highlight:
    """One of the few numbers at the head of the page, ready to print: `value` large, `note` small below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """The whole page. `figures` are those of no node (the demo's table of planted faults)."""

    name: str
    finished: str  # when, as it is to be shown
    headline: str  # the result in one line
    highlights: tuple[Highlight, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    funnel: tuple[FunnelStep, ...] = ()
    figures: tuple[Figure, ...] = ()
    command: str = ""  # reproduces the run
    recipe: str = ""  # the recipe's YAML
    versions: tuple[tuple[str, str], ...] = ()
    machine: tuple[tuple[str, str], ...] = ()
