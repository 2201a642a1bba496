"""Files that are damaged, and what becomes of them: the run ends, or they are left out whole.

Whole, because nobody knows of the rows before the damage how many there are, nor that they are right: a library gives
more or fewer of them, and gzip knows of a wrong bit at the end of its member. What is left out is counted and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pipeline.contract import Context, Result, Source, shard_facts
from pipeline.errors import SourceDamaged
from stages.read.streams import Watched

COUNT = "damaged_files"  # in the counts of a task, and of the facts that name them:
FACT = "damaged"
NAMED = 100  # files that the facts of a task name; the side file names all


T = TypeVar("T")


class _Again(Exception):
    """A file of the task is known to be damaged now."""


class Damage:
    """The damaged files of one task. `files`: place in the listing -> (file, what is wrong with it)."""

    def __init__(self, ctx: Context, skip: bool, digest: Callable[[Source], str | None]) -> None:
        """`skip`: leave them out; else the first one is an error. `digest`: what a file is held against."""
        self.ctx, self.skip, self.digest = ctx, skip, digest
        self.files: dict[int, tuple[Source, SourceDamaged]] = {}

    def without(self, work: Callable[[], T]) -> T:
        """Return what `work` returns once it meets no damaged file any more; it starts anew after each."""
        while True:
            try:
                return work()
            except _Again:
                pass

    @contextmanager
    def of(self, source: Source) -> Iterator[None]:
        """Take damage that is found inside for that of a file."""
        try:
            yield
        except SourceDamaged as error:
            if not self.skip:
                raise
            with self.ctx.open_source(source) as stream:  # raises SourceChanged for one that is being written
                Watched(stream, source, self.digest(source)).drain()
            self.files[source.index] = source, error
            raise _Again from error

    def sound(self, sources: Iterable[Source]) -> Iterator[Source]:
        """Those of some files that are not known to be damaged."""
        return (source for source in sources if source.index not in self.files)

    def entries(self) -> list[dict[str, Any]]:
        """What is said of each file: its digest, the byte at or before which the damage is, and what was found. Not its
        name, as files of equal bytes share tasks, whatever they are called.
        """
        return [
            {"digest": source.digest, "byte": error.byte, "found": error.found} for source, error in self.files.values()
        ]

    def counts(self) -> dict[str, int]:
        return {COUNT: len(self.files)} if self.files else {}

    def facts(self) -> dict[str, Any]:
        return {FACT: self.entries()[:NAMED]} if self.files else {}


def left_out(survey: Result) -> Result | None:
    """The result of the only part of a file that its survey found damaged; None of a whole file."""
    files = survey.facts.get(FACT)
    return Result({"rows": 0, "kept": 0, COUNT: len(files)}, {**shard_facts([]), FACT: files}) if files else None


def table(facts: Iterable[Mapping[str, Any]], sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
    """The table of the report, where the facts of tasks name a damaged file of these sources."""
    names = {source.digest: source.name for source in sources}
    rows = [
        [names[entry["digest"]], "" if entry["byte"] is None else entry["byte"], entry["found"]]
        for each in facts
        for entry in each.get(FACT, ())
    ]
    if rows:
        title, columns = "Files that are damaged and left out", ["file", "at or before byte", "what was found"]
        yield {"kind": "table", "title": title, "columns": columns, "rows": sorted(rows, key=str)[:NAMED]}
