"""Watchers that write to a stream: lines for people, in logs and pipes, and JSON lines for programs."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from typing import Any, TextIO

from pipeline.files.secrets import masked_json
from pipeline.progress.board import Board, line
from pipeline.progress.watcher import Event, Finished, NodeProgress, Notice, Started, TaskEvent, TaskFailed
from pipeline.safe_text import visible

HEARTBEAT_SECONDS = 30.0
CHANGE_SECONDS = 2.0  # at most one line per node in this time while its shards come in


class ProgressLines:
    """One line per change on a stream, and one at least every 30 seconds while anything runs."""

    def __init__(self, stream: TextIO, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self.stream, self.heartbeat, self.board = stream, heartbeat, Board()
        self._written: dict[str, tuple[str, int, float]] = {}  # node -> state, tasks done, when
        self._last = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="progress-heartbeat", daemon=True)

    def notify(self, event: Event) -> None:
        with self.board.lock:
            news = self.board.notify(event)
            match event:
                case Started():
                    todo = sum(entry.action != "reuse" for entry in event.plan.entries)
                    self._write(f"{len(event.plan.entries) - todo} nodes are reused, {todo} to do")
                    if not self._thread.is_alive():
                        self._thread.start()
                case NodeProgress():
                    self._progress(event)
                case TaskEvent():
                    self._event(event)
                case TaskFailed() if news:
                    self._write(f"{event.name}: failed in {event.key}: {event.cause}")
                case Notice():
                    self._write(event.text)
                case Finished():
                    self._write("finished")
                    self.close()

    def close(self) -> None:
        self._closed.set()

    def _progress(self, event: NodeProgress) -> None:
        state, count, when = self._written.get(event.name, ("", -1, 0.0))
        now = time.monotonic()
        due = event.done == event.total or now - when >= CHANGE_SECONDS
        if event.state != state or (event.done != count and due):
            self._written[event.name] = (event.state, event.done, now)
            self._write(line(self.board.nodes[event.name], now))

    def _event(self, event: TaskEvent) -> None:
        now, key = time.monotonic(), f"{event.name}.{event.kind}"
        if event.text and now - self._written.get(key, ("", 0, 0.0))[2] >= CHANGE_SECONDS:
            self._written[key] = (event.kind, 0, now)
            self._write(line(self.board.nodes[event.name], now))

    def _beat(self) -> None:
        while not self._closed.wait(self.heartbeat / 4):
            with self.board.lock:
                now = time.monotonic()
                running = [node for node in self.board.nodes.values() if node.state == "running"]
                if running and now - self._last >= self.heartbeat * 0.7:
                    self._write(line(max(running, key=lambda node: node.began or 0), now))

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        print(visible(text), file=self.stream, flush=True)


class JsonLines:
    """One JSON object per event on a stream: {"event", "node", ...}."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self._lock = stream, threading.Lock()

    def notify(self, event: Event) -> None:
        with self._lock:
            print(masked_json(json_form(event)), file=self.stream, flush=True)

    def close(self) -> None:
        pass


def json_form(event: Event) -> dict[str, Any]:
    """Return an event as one JSON object."""
    match event:
        case Started():
            return {"event": "started", "plan": event.plan.to_json()}
        case NodeProgress():
            values = asdict(event)
            return {"event": "node", "node": values.pop("name"), **values}
        case TaskEvent():
            return {"event": event.kind, "node": event.name, "values": dict(event.values)}
        case TaskFailed():
            return {"event": "failed", "node": event.name, "shard": event.key, "cause": str(event.cause)}
        case Notice():
            return {"event": "notice", "text": event.text}
    return {"event": "finished", "run": event.run}
