"""A run as a user holds it: what `pipeline.run` reads, and its report and its rows as data sets of other libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import run as reader
from pipeline.errors import MissingExtra
from pipeline.files.address import Address
from pipeline.files.refusals import explained

if TYPE_CHECKING:
    from pipeline.contract import Node
    from pipeline.driver.execute import Options
    from pipeline.graph import Graph

# The versions of these are kept with every run: outputs may depend on them.
LIBRARIES = ("ray", "torch", "pyarrow", "numpy", "numba", "datasketch", "tokenizers", "kitoken", "fasttext-community")


class NodeView(reader.StoredNode):
    """One node of a run."""

    def dataset(self, columns: Sequence[str] = ("id", "text")) -> Any:
        """Return the alive rows as a `ray.data.Dataset`, one block per base shard."""
        from pipeline.ray_runtime.datasets import dataset_of

        return dataset_of(self.run.store.address, self.run.name, self.label, columns, [s.name for s in self.shards()])

    def to_hf(self, columns: Sequence[str] = ("id", "text")) -> Any:
        """Return the alive rows as a `datasets.Dataset`."""
        from datasets import Dataset

        return Dataset(self.rows(columns))

    def to_pandas(self, columns: Sequence[str] = ("id", "text")) -> Any:
        """Return the alive rows as a `pandas.DataFrame`."""
        return self.rows(columns).to_pandas()

    def to_polars(self, columns: Sequence[str] = ("id", "text")) -> Any:
        """Return the alive rows as a `polars.DataFrame`. Raises MissingExtra without polars."""
        try:
            import polars
        except ModuleNotFoundError as error:
            raise MissingExtra("to_polars", str(error), "polars", "pip install polars") from error
        return polars.from_arrow(self.rows(columns))


class Run(reader.StoredRun):
    """A run in a store. Index it by label, or by the node value it was started with."""

    def _view(self, label: str, entry: dict[str, str]) -> NodeView:
        return NodeView(self, label, entry)

    def __getitem__(self, key: str | Node) -> NodeView:
        found = super().__getitem__(key)
        assert isinstance(found, NodeView)
        return found

    def __repr__(self) -> str:
        ready = sum(view.finished for view in self.nodes)
        return f"<Run {self.name!r}: {ready} of {len(self.nodes)} nodes are finished, store {self.store}>"

    def _repr_html_(self) -> str:
        """Return the funnel as HTML, for notebooks."""
        from pipeline.quantities import number, size
        from pipeline.report.collect import funnel
        from siftloom.notebook import html_table

        rows = [
            (step.label, *("" if value is None else show(value) for value, show in (
                (step.documents, number), (step.text_bytes, size), (step.became, number))))
            for step in funnel(self)
        ]  # fmt: skip
        return html_table(self.name, ("after", "documents", "text", "tokens"), rows)

    def report(self, figures: Sequence[Mapping[str, Any]] = (), *, to: Path | None = None) -> Path:
        """Write the HTML report, with figures of the whole run beside those of its nodes, into the store or to a file.
        Return its local path.
        """
        from pipeline.report.collect import collect
        from pipeline.report.page import render
        from siftloom.ask.groups import groups

        page = render(collect(self, figures=[*groups(self), *figures])).encode()
        if to is not None:
            with explained(to.parent, "folder"):
                to.write_bytes(page)
            return to
        name = f"runs/{self.name}/report.html"
        self.store.write(name, page)
        return self.store.local(name)


def open_run(store: str | Address, name: str) -> Run:
    """Return the run of a name in a store; `name` alone means the newest of `name`, `name@2`, ..., `name@1` the first.
    Raises UserError where there is none.
    """
    return Run(*reader.locate(store, name))


def execute(
    graph: Graph, *, name: str, store: str | Address, options: Options, recipe: str | None, watcher: Any
) -> Run:
    """Run a graph, or go on with it, and record the versions of `LIBRARIES`. Raises what `pipeline.driver` raises."""
    from pipeline.driver.execute import run

    options = replace(options, packages=LIBRARIES)
    found = run(graph, name=name, store=store, options=options, recipe=recipe, watcher=watcher)
    return Run(found.store, found.name, found.sources).attach(graph.names)
