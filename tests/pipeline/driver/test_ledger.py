"""Identities of a graph's nodes in a store: what moves a score key, and what may not be given to one input."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import pytest
from corpus import write_corpus
from nodes import Lines, Long, Vowels

from pipeline.contract import Columns, Context, Node, RowNode, file, sources
from pipeline.driver.ledger import Ledger
from pipeline.driver.prepare import digest_sources
from pipeline.errors import GraphError, SourceError
from pipeline.files.objects import LocalStore
from pipeline.graph import Graph, build


@dataclass(frozen=True, kw_only=True, eq=False)
class Listed(RowNode):
    """Scores by a file of words."""

    docs: Node
    words: tuple[str, ...] = sources()

    def adds(self):
        return {"listed": "int32"}

    def open(self, ctx: Context):
        return lambda table: Columns(added={"listed": [0] * len(table)})


def digested(graph: Graph, root) -> Ledger:
    ledger = Ledger(graph, LocalStore(str(root)))
    digest_sources(ledger, lambda: None)
    return ledger


def test_a_file_that_changes_at_its_path_moves_the_score_key(tmp_path):
    paths = write_corpus(tmp_path / "in", files=1, lines=3)
    words = tmp_path / "words.txt"

    def key(text: str) -> str | None:
        words.write_text(text)
        node = Listed(docs=Lines(paths=paths), words=(str(words),))
        return digested(build([node]), tmp_path / "store").score_key(node)

    assert key("tide") == key("tide")
    assert key("tide") != key("moon")


def test_the_key_of_scores_of_a_text_holds_all_that_made_the_text(tmp_path):
    """`line_dedup` looks at every document that is alive, and its thresholds decide what it leaves of a text."""
    from stages.lines.line_dedup import LineDedup

    paths = write_corpus(tmp_path / "in", files=1, lines=3)

    def key(min_chars: int, min_copies: int) -> str | None:
        kept = LineDedup(docs=Long(docs=Lines(paths=paths), min_chars=min_chars), min_copies=min_copies)
        node = Vowels(docs=kept)
        return digested(build([node]), tmp_path / "store").score_key(node)

    assert key(4, 2) == key(4, 2) is not None
    assert len({key(4, 2), key(9, 2), key(4, 3)}) == 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged(RowNode):
    """Scores by a model in one file."""

    docs: Node
    model: str = file("")

    def open(self, ctx: Context):
        return lambda table: Columns()


def test_a_field_of_one_file_is_identified_by_its_bytes(tmp_path):
    paths = write_corpus(tmp_path / "in", files=1, lines=3)
    for name, text in (("a.bin", "one"), ("b.bin", "one"), ("c.bin", "other")):
        (tmp_path / name).write_text(text)

    def fingerprint(model: str) -> str | None:
        node = Judged(docs=Lines(paths=paths), model=model and str(tmp_path / model))
        return digested(build([node]), tmp_path / "store").fingerprint(node)

    assert fingerprint("a.bin") == fingerprint("b.bin")
    assert len({fingerprint("a.bin"), fingerprint("c.bin"), fingerprint("")}) == 3
    with pytest.raises(SourceError, match=r"judged\.model: 3 files; expected one file"):
        fingerprint("*.bin")


def test_equal_files_in_equal_nodes_cannot_be_one_input(tmp_path):
    paths = write_corpus(tmp_path / "in", files=1, lines=3)
    shutil.copytree(tmp_path / "in", tmp_path / "again")
    one, two = Lines(paths=paths), Lines(paths=(str(tmp_path / "again"),))
    both = build([Long(docs=(one, two))], {"web": one, "wiki": two})
    with pytest.raises(GraphError, match=r"long\.docs: the same documents twice: 'web' and 'wiki'.*leave 'wiki' out"):
        digested(both, tmp_path / "store").check_bases()
    apart = build([Long(docs=one), Long(docs=two, min_chars=7)], {"web": one, "wiki": two})
    digested(apart, tmp_path / "store").check_bases()


@dataclass(frozen=True, kw_only=True, eq=False)
class Against(RowNode):
    """Reads one node's rows, and another as a whole."""

    docs: Node
    other: Node

    def open(self, ctx: Context):
        return lambda table: Columns()


def test_a_shape_leaves_out_the_files_behind_the_rows_and_nothing_else(tmp_path):
    from stages.dedup.exact import ExactDedup
    from stages.read.read import Read

    (tmp_path / "in").mkdir()

    def shape(make, files: int = 2) -> str | None:
        paths = tuple(str(tmp_path / "in" / f"{number}.txt") for number in range(files))
        for path in paths:
            with open(path, "w", encoding="utf-8") as out:
                out.write(f"text {path[-5]}")
        node = make(Read(paths=paths))
        return digested(build([node]), tmp_path / "store").shape(node)

    def plain(docs: Node) -> Node:
        return ExactDedup(docs=Long(docs=docs, min_chars=3))

    def both(docs: Node) -> Node:
        return Against(docs=docs, other=docs)

    assert shape(plain) == shape(plain, files=3) is not None
    assert shape(plain) != shape(lambda docs: ExactDedup(docs=Long(docs=docs, min_chars=4)))
    assert shape(plain) != shape(lambda docs: ExactDedup(docs=Long(docs=docs, min_chars=3), match="words"))
    # what is read as a whole counts with all its files, also where it is the node whose rows are read
    assert shape(both) == shape(both) != shape(both, files=3)
