"""What the server holds between two requests: the columns of the nodes that were looked at last.

Runs are opened anew for every request, so that a store may be written while it is looked at. Columns of a finished node
never change, and its fingerprint names them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.files.address import Address
from pipeline.files.open_store import open_store, require_store
from siftloom.ask.scores import ScoredDocuments
from siftloom.run import Run

if TYPE_CHECKING:
    from siftloom.run import NodeView

MOST = 6  # nodes whose columns are held


class Shelf:
    """One store, and the columns of nodes of it. Raises StoreError for a folder that is no store."""

    def __init__(self, store: str | Address) -> None:
        self.store = open_store(store)
        require_store(self.store)
        self._held: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}

    def run(self, name: str) -> Run:
        """A run by its exact name. Raises UserError where the store has none."""
        if name not in self.store.names("runs") or self.store.size(f"runs/{name}/run.json") is None:
            raise UserError(f"store {self.store}", f"no run called {name!r}", "one of the list of runs")
        return Run(self.store, name)

    def scores(self, view: NodeView) -> ScoredDocuments:
        """The columns of a finished node; two that ask at once wait for one reading."""
        return self._kept(view.manifest["fingerprint"], lambda: ScoredDocuments(view.run, view))

    def lengths(self, view: NodeView) -> Any:
        """Bytes of the texts of a node's documents, or None while they are being read in the background."""
        scores = self.scores(view)
        if "lengths" in scores.__dict__:
            return scores.lengths
        turn = self._turn(f"lengths {view.fingerprint}")
        if turn.acquire(blocking=False):

            def read() -> None:
                try:
                    _ = scores.lengths
                finally:
                    turn.release()

            thread = threading.Thread(target=read, daemon=True)
            thread.start()
            thread.join(0.3)  # a small corpus is read before anybody notices
        return scores.__dict__.get("lengths")

    def _kept(self, key: str, make: Callable[[], Any]) -> Any:
        with self._turn(key):
            with self._lock:
                if key in self._held:
                    self._held.move_to_end(key)
                    return self._held[key]
            made = make()
            with self._lock:
                self._held[key] = made
                while len(self._held) > MOST:
                    self._held.popitem(last=False)
            return made

    def _turn(self, key: str) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(key, threading.Lock())
