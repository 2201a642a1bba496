"""Who is told how a run is going: the protocol, what is known of each node, and the plain listeners.

The engine calls a `Watcher` from any thread. `Lines` writes one line per change, and one at least every 30 seconds,
for logs and pipes; `JsonLines` the same for programs; `pipeline.driver.progress_table` a live table for a terminal;
`pipeline.store.events` keeps a log in the store. A watcher never decides anything and may be left out.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

from pipeline.quantities import duration, size

HEARTBEAT_SECONDS = 30.0
CHANGE_SECONDS = 2.0  # shards of one node are told of at most this often in lines


class Watcher(Protocol):
    """What the engine tells of a run. `state` of a node is a word: running, waiting, done, reused, failed."""

    def started(self, plan: Any) -> None: ...

    def node(
        self,
        name: str,
        state: str,
        phase: str = "",
        done: int = 0,
        total: int = 0,
        rows_in: int = 0,
        rows_kept: int = 0,
        bytes: int = 0,
        memory: int = 0,
    ) -> None: ...

    def event(self, name: str, kind: str, values: Mapping[str, Any]) -> None: ...

    def failed(self, name: str, shard: str, cause: BaseException | str) -> None: ...

    def finished(self, run: Any) -> None: ...


@dataclass
class Progress:
    """What is known of one node; times are seconds of a monotonic clock."""

    name: str
    state: str = "waiting"
    phase: str = ""
    done: int = 0
    total: int = 0
    rows_in: int = 0
    rows_kept: int = 0
    bytes: int = 0
    memory: int = 0
    began: float | None = None
    ended: float | None = None
    latest: dict[str, Any] = field(default_factory=dict)
    first_step: tuple[int, float] | None = None
    cause: str = ""

    def seconds(self, now: float) -> float:
        return 0.0 if self.began is None else (self.ended or now) - self.began

    def rate(self, now: float) -> float | None:
        """Rows per second, None before there are any."""
        seconds = self.seconds(now)
        return self.rows_in / seconds if self.rows_in and seconds > 0 else None

    def left(self, now: float) -> float | None:
        """Seconds to go, as if the rest went like what was seen; None where that says nothing."""
        if self.state != "running":
            return None
        if self.first_step is not None:
            step, steps = self.latest["step"], self.latest.get("steps", 0)
            first, when = self.first_step
            return (now - when) * (steps - step) / (step - first) if first < step < steps else None
        if not 0 < self.done < self.total:
            return None
        return self.seconds(now) * (self.total - self.done) / self.done


class Board:
    """The state of all nodes, kept by a listener under one lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.nodes: dict[str, Progress] = {}
        self.failures: list[tuple[str, str, str]] = []

    def plan(self, plan: Any) -> None:
        for entry in plan.entries:
            state = "reused" if entry.action == "reuse" else "waiting"
            self.nodes.setdefault(entry.name, Progress(entry.name, state))

    def update(self, name: str, state: str, **values: Any) -> Progress:
        node = self.nodes.setdefault(name, Progress(name))
        now = time.monotonic()
        if node.began is None and state == "running":
            node.began = now
        if state in ("done", "failed") and node.ended is None:
            node.ended = now
        node.state = state
        for key, value in values.items():
            # zero means "not said" for what only grows
            if value or key in ("done", "total"):
                setattr(node, key, value)
        return node

    def note(self, name: str, values: Mapping[str, Any]) -> Progress:
        node = self.nodes.setdefault(name, Progress(name))
        node.latest.update(values)
        if node.first_step is None and "step" in values:
            node.first_step = (values["step"], time.monotonic())
        return node

    def fail(self, name: str, shard: str, cause: BaseException | str) -> bool:
        """Whether this is the node's first failure: the first cause is shown, the others are counted."""
        self.failures.append((name, shard, str(cause)))
        first = self.nodes.setdefault(name, Progress(name)).state != "failed"
        self.update(name, "failed")
        if first:
            self.nodes[name].cause = f"{shard}: {cause}"
        return first


class Lines:
    """One line per change on a stream, and one at least every 30 seconds while anything runs."""

    def __init__(self, stream: TextIO, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self.stream, self.heartbeat, self.board = stream, heartbeat, Board()
        self._told: dict[str, tuple[str, int, float]] = {}
        self._last = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="progress-heartbeat", daemon=True)

    def started(self, plan: Any) -> None:
        with self.board.lock:
            self.board.plan(plan)
            todo = [entry for entry in plan.entries if entry.action != "reuse"]
            self._write(f"{len(plan.entries) - len(todo)} nodes are reused, {len(todo)} to do")
        if not self._thread.is_alive():
            self._thread.start()

    def node(self, name, state, phase="", done=0, total=0, rows_in=0, rows_kept=0, bytes=0, memory=0) -> None:
        with self.board.lock:
            node = self.board.update(
                name, state, phase=phase, done=done, total=total,
                rows_in=rows_in, rows_kept=rows_kept, bytes=bytes, memory=memory,
            )  # fmt: skip
            was, count, when = self._told.get(name, ("", -1, 0.0))
            now = time.monotonic()
            if state != was or (done != count and (done == total or now - when >= CHANGE_SECONDS)):
                self._told[name] = (state, done, now)
                self._write(line(node, now))

    def event(self, name: str, kind: str, values: Mapping[str, Any]) -> None:
        with self.board.lock:
            node = self.board.note(name, values)
            now = time.monotonic()
            if training(values) and now - self._told.get(f"{name}.{kind}", ("", 0, 0.0))[2] >= CHANGE_SECONDS:
                self._told[f"{name}.{kind}"] = (kind, 0, now)
                self._write(line(node, now))

    def failed(self, name: str, shard: str, cause: BaseException | str) -> None:
        with self.board.lock:
            if self.board.fail(name, shard, cause):
                self._write(f"{name}: failed in {shard}: {cause}")

    def finished(self, run: Any) -> None:
        self._write("finished")
        self.close()

    def close(self) -> None:
        self._closed.set()

    def _beat(self) -> None:
        while not self._closed.wait(self.heartbeat / 4):
            with self.board.lock:
                now = time.monotonic()
                running = [node for node in self.board.nodes.values() if node.state == "running"]
                if running and now - self._last >= self.heartbeat * 0.7:
                    self._write(line(max(running, key=lambda node: node.began or 0), now))

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        print(text, file=self.stream, flush=True)


class JsonLines:
    """One JSON object per call on a stream: {"event", "node", ...}."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self._lock = stream, threading.Lock()

    def started(self, plan: Any) -> None:
        self._write(event="started", plan=plan.to_json())

    def node(self, name, state, phase="", done=0, total=0, rows_in=0, rows_kept=0, bytes=0, memory=0) -> None:
        self._write(
            event="node", node=name, state=state, phase=phase, done=done, total=total,
            rows_in=rows_in, rows_kept=rows_kept, bytes=bytes, memory=memory,
        )  # fmt: skip

    def event(self, name: str, kind: str, values: Mapping[str, Any]) -> None:
        self._write(event=kind, node=name, values=dict(values))

    def failed(self, name: str, shard: str, cause: BaseException | str) -> None:
        self._write(event="failed", node=name, shard=shard, cause=str(cause))

    def finished(self, run: Any) -> None:
        self._write(event="finished", run=getattr(run, "name", run))

    def close(self) -> None:
        pass

    def _write(self, **values: Any) -> None:
        with self._lock:
            print(json.dumps(values, default=str), file=self.stream, flush=True)


class Several:
    """Tells several watchers, in their order."""

    def __init__(self, *watchers: Any) -> None:
        self.watchers = watchers

    def started(self, plan: Any) -> None:
        for watcher in self.watchers:
            watcher.started(plan)

    def node(self, *values: Any, **named: Any) -> None:
        for watcher in self.watchers:
            watcher.node(*values, **named)

    def event(self, name: str, kind: str, values: Mapping[str, Any]) -> None:
        for watcher in self.watchers:
            watcher.event(name, kind, values)

    def failed(self, name: str, shard: str, cause: BaseException | str) -> None:
        for watcher in self.watchers:
            watcher.failed(name, shard, cause)

    def finished(self, run: Any) -> None:
        for watcher in self.watchers:
            watcher.finished(run)

    def close(self) -> None:
        for watcher in self.watchers:
            watcher.close()


# words for numbers


def line(node: Progress, now: float) -> str:
    """One node in one line, without what is not known."""
    parts = [f"{node.name}: {node.state}"]
    if node.total:
        parts.append(f"{node.done}/{node.total}" + (f" {node.phase}" if node.phase else ""))
    if node.rows_in:
        parts.append(f"{node.rows_kept:,} of {node.rows_in:,} rows kept")
    if (rate := node.rate(now)) is not None:
        parts.append(f"{rate:,.0f} rows/s")
    if node.latest and node.state == "running":
        parts.append(training(node.latest))
    if node.memory:
        parts.append(size(node.memory))
    if (left := node.left(now)) is not None:
        parts.append(f"{duration(left)} left")
    if node.state == "done":
        parts.append(duration(node.seconds(now)))
    return ", ".join(parts)


def training(latest: Mapping[str, Any]) -> str:
    """What a training said last: step, loss, speed; other things it says stand in the event log."""
    parts = []
    if "step" in latest:
        parts.append(f"step {latest['step']}/{latest['steps']}" if "steps" in latest else f"step {latest['step']}")
    if "loss" in latest:
        parts.append(f"loss {latest['loss']:.3f}")
    if "tokens_per_second" in latest:
        parts.append(f"{latest['tokens_per_second']:,.0f} tokens/s")
    return ", ".join(parts)
