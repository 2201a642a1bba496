"""The live table of a run on a terminal: nodes, tasks, rows kept, and the time left. It fits in 80 columns."""

from __future__ import annotations

from typing import Any

from pipeline.progress.board import Board, NodeStatus
from pipeline.progress.watcher import Event, Finished, Notice, Started, TaskFailed
from pipeline.quantities import duration, size
from pipeline.safe_text import visible

COLOURS = {"reused": "dim", "waiting": "dim", "running": "cyan", "done": "green", "failed": "bold red"}
TITLES = ("node", "state", "tasks", "rows kept", "rows/s", "memory", "time")
RIGHT = (2, 4, 5, 6)
WIDE_ONLY = (4, 5)  # columns that a narrow terminal has no space for
SHRINKING = (0, 3)  # columns that are cut where a terminal is too narrow
GAP = 2  # between two columns
WIDE = 110  # columns of a terminal from which on all of them are shown
AROUND = 4  # lines of a terminal that are kept for the header and what stands above the table


class LiveTable:
    """Draws the board four times a second in place, and once more when it ends."""

    def __init__(self, console: Any) -> None:
        from rich.live import Live

        self.board, self.console = Board(), console
        self._began = self.board.clock()
        self.live = Live(get_renderable=self._table, console=console, refresh_per_second=4, transient=False)

    def notify(self, event: Event) -> None:
        news = self.board.notify(event)
        match event:
            case Started():
                self.live.start()
            case TaskFailed() if news:
                self._print(f"{event.name}: failed in {event.key}: {event.cause}", "red")
            case Notice():
                self._print(event.text, "")
            case Finished():
                self.close()

    def close(self) -> None:
        if self.live.is_started:
            self.live.stop()

    def _print(self, text: str, style: str) -> None:
        self.console.print(visible(text), style=style, markup=False, highlight=False)

    def _table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        wide = self.console.width >= WIDE
        columns = [i for i in range(len(TITLES)) if wide or i not in WIDE_ONLY]
        with self.board.lock:
            now = self.board.clock()
            table = Table(box=None, pad_edge=False, header_style="bold")
            below = Text(summary(self.board, now - self._began, now), style="italic", no_wrap=True, overflow="ellipsis")
            nodes = shown(list(self.board.nodes.values()), self.console.height - AROUND)
            rows = [[visible(cell) for cell in cells(node, now)] for node in nodes]
            widths = fitted([[TITLES[i], *(row[i] for row in rows)] for i in columns], self.console.width)
            for i, width in zip(columns, widths, strict=True):
                justify = "right" if i in RIGHT else "left"
                table.add_column(TITLES[i], justify=justify, no_wrap=True, overflow="ellipsis", width=width)
            for node, row in zip(nodes, rows, strict=True):
                table.add_row(*(Text(row[i]) for i in columns), style=COLOURS.get(node.state))
        return Group(table, below)  # a caption would be cut where the table is narrow


def shown(nodes: list[NodeStatus], lines: int) -> list[NodeStatus]:
    """Return the nodes that fit in so many lines, in their order: those at work before those done or still waiting."""
    if len(nodes) <= lines:
        return nodes
    rank = {"failed": 0, "running": 0, "waiting": 1, "done": 2, "reused": 3}
    first = sorted(range(len(nodes)), key=lambda i: (rank.get(nodes[i].state, 1), i))[: max(lines, 1)]
    return [nodes[i] for i in sorted(first)]


def fitted(columns: list[list[str]], width: int) -> list[int]:
    """Return the width of each column: whole, but for names and reports, which share what is left of the terminal."""
    widths = [max(map(len, cells)) for cells in columns]
    name, report = SHRINKING
    left = width - GAP * (len(widths) - 1) - sum(widths) + widths[name] + widths[report]
    if left < widths[name] + widths[report]:
        widths[name] = max(min(widths[name], left * 2 // 5), 1)
        widths[report] = max(left - widths[name], 1)
    return widths


def summary(board: Board, seconds: float, now: float) -> str:
    """Return the line below the table: nodes ready, the time so far, and the time that is left."""
    nodes = list(board.nodes.values())
    ready = sum(node.state in ("done", "reused") for node in nodes)
    parts = [f"{ready} of {len(nodes)} nodes are ready", f"{duration(seconds)} so far"]
    return ", ".join([*parts, *filter(None, [board.left(now)])])


def cells(node: NodeStatus, now: float) -> tuple[str, ...]:
    """Return one row of the table; a cell is empty where nothing is known."""
    at, rate, left = node.progress, node.rate(now), node.left(now)
    rows = f"{at.rows_kept:,} of {at.rows_in:,}" if at.rows_in else ""
    time = f"{duration(left)} left" if left is not None else duration(node.seconds(now)) if at.state == "done" else ""
    return (
        at.name,
        f"{at.state} {at.phase}" if at.state == "running" and at.phase else at.state,
        f"{at.done}/{at.total}" if at.total else "",
        node.text or rows,
        f"{rate:,.0f}" if rate is not None else "",
        size(at.memory) if at.memory else "",
        time,
    )
