"""The live table of a run on a terminal: node, shards, rows in and kept, rate, memory, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pipeline.driver.progress import Board, Progress, training
from pipeline.quantities import duration, size

COLOURS = {"reused": "dim", "waiting": "dim", "running": "cyan", "done": "green", "failed": "bold red"}


class LiveTable:
    """Draws the board four times a second in place, and once more when it ends."""

    def __init__(self, console: Any) -> None:
        from rich.live import Live

        self.board, self.console = Board(), console
        self.live = Live(get_renderable=self._table, console=console, refresh_per_second=4, transient=False)

    def started(self, plan: Any) -> None:
        with self.board.lock:
            self.board.plan(plan)
        self.live.start()

    def node(self, name, state, phase="", done=0, total=0, rows_in=0, rows_kept=0, bytes=0, memory=0) -> None:
        with self.board.lock:
            self.board.update(
                name, state, phase=phase, done=done, total=total,
                rows_in=rows_in, rows_kept=rows_kept, bytes=bytes, memory=memory,
            )  # fmt: skip

    def event(self, name: str, kind: str, values: Mapping[str, Any]) -> None:
        with self.board.lock:
            self.board.note(name, values)

    def failed(self, name: str, shard: str, cause: BaseException | str) -> None:
        with self.board.lock:
            first = self.board.fail(name, shard, cause)
        if first:
            self.console.print(f"{name}: failed in {shard}: {cause}", style="red", markup=False)

    def finished(self, run: Any) -> None:
        self.close()

    def close(self) -> None:
        if self.live.is_started:
            self.live.stop()

    def _table(self) -> Any:
        from rich.table import Table

        with self.board.lock:
            now = time.monotonic()
            table = Table(box=None, pad_edge=False, header_style="bold")
            for title, justify in (
                ("node", "left"), ("", "left"), ("shards", "right"), ("rows in", "right"), ("kept", "right"),
                ("rows/s", "right"), ("memory", "right"), ("left", "right"), ("", "left"),
            ):  # fmt: skip
                table.add_column(title, justify="left" if justify == "left" else "right", no_wrap=True)
            for node in self.board.nodes.values():
                table.add_row(*cells(node, now), style=COLOURS.get(node.state))
        return table


def cells(node: Progress, now: float) -> tuple[str, ...]:
    """One row of the table; empty where nothing is known."""
    rate, left = node.rate(now), node.left(now)
    state = f"{node.state} {node.phase}" if node.state == "running" and node.phase else node.state
    return (
        node.name,
        state,
        f"{node.done}/{node.total}" if node.total else "",
        f"{node.rows_in:,}" if node.rows_in else "",
        f"{node.rows_kept:,}" if node.rows_in else "",
        f"{rate:,.0f}" if rate is not None else "",
        size(node.memory) if node.memory else "",
        duration(left) if left is not None else duration(node.seconds(now)) if node.state == "done" else "",
        training(node.latest),
    )
