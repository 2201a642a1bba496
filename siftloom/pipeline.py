"""A graph with a name and a store: what a recipe is, in Python."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import MinLen

from pipeline.construct import placed
from pipeline.contract import Node
from pipeline.errors import RecipeError
from pipeline.files.address import Address
from pipeline.graph import Graph, build
from pipeline.values import Misfit, fitted
from siftloom.notebook import html_table
from siftloom.packages import working_folder_first
from siftloom.vocabulary import vocabulary

if TYPE_CHECKING:
    from pipeline.driver.plan import Plan
    from siftloom.run import Run


def _held(name: str, hint: Any, value: Any) -> Any:
    """An argument as its hint wants it. Raises RecipeError for another one."""
    try:
        return fitted(hint, value)
    except Misfit as misfit:
        first = misfit.problems[0]
        raise RecipeError(placed(f"Pipeline.{name}", first), first.found, first.expected) from None


class Pipeline:
    """A graph to run: `targets` with all the nodes that they need, the name of the run, and its store.

    `names` labels nodes; the others are called after their kind (`pretrain`, `pretrain_2`). Raises GraphError for
    a graph that contradicts itself. Building a pipeline runs nothing.
    """

    def __init__(
        self,
        targets: Node | Iterable[Node],
        *,
        name: str = "run",
        store: str | Address = "runs/",
        names: Mapping[str, Node] | None = None,
    ) -> None:
        given = [targets] if isinstance(targets, Node) else targets
        if isinstance(given, Iterable) and not isinstance(given, str | Mapping):
            given = list(given)
        several = _held("targets", Annotated[tuple[Node, ...], MinLen(1)], given)
        self.graph: Graph = build(several, _held("names", Mapping[str, Node], {} if names is None else names))
        self.name = _held("name", str, name)
        self.store = store if isinstance(store, Address) else Address(_held("store", str, store))

    def __repr__(self) -> str:
        return f"<Pipeline {self.name!r}: {len(self.graph.nodes)} nodes, store {self.store}>"

    def _repr_html_(self) -> str:
        """Return the nodes and their inputs as HTML, for notebooks."""
        names = self.graph.names
        rows = [
            (names[node], node.kind(), ", ".join(dict.fromkeys(names[p] for _, _, p in self.graph.inputs(node))))
            for node in self.graph.nodes
        ]
        return html_table(self.name, ("node", "kind", "reads"), rows)

    def plan(self) -> Plan:
        """Return what a run would do, and why; runs nothing."""
        from pipeline.driver.plan import plan

        working_folder_first()
        return plan(self.graph, self.store, self.name)

    def recipe(self) -> str:
        """Return the same graph as YAML. Raises RecipeError for a node of a class that a script defines."""
        from pipeline.recipe import dump

        return dump(self.graph.nodes, self.graph.names, vocabulary(), name=self.name, store=str(self.store))

    def run(
        self,
        *,
        cpus: int | None = None,
        address: str | None = None,
        here: bool = False,
        wait: bool = True,
        accept_drift: bool = False,
        progress: bool = True,
        watcher: Any = None,
    ) -> Run:
        """Runs the graph, or goes on where it stopped.

        `cpus` sizes a local Ray, `address` joins a cluster. With `here` this process does the work, one task after the
        other, without Ray: for tests, notebooks and small corpora. Raises NodeFailed, Stopped, LeaseHeld
        (`wait=False`), DriftError, or another named error.
        """
        from pipeline.driver.execute import Options
        from siftloom.run import execute
        from siftloom.screen import listening

        working_folder_first()
        try:
            recipe = self.recipe()
        except RecipeError:  # a class of a script has no name in a recipe; the run is no worse for it
            recipe = None
        options = Options(cpus=cpus, address=address, here=here, wait=wait, accept_drift=accept_drift)
        with listening(self.store, self.name, stream=sys.stderr if progress else None, more=watcher) as watch:
            return execute(self.graph, name=self.name, store=self.store, options=options, recipe=recipe, watcher=watch)
