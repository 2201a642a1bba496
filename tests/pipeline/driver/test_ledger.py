"""Identities of a graph's nodes in a store: what moves a rule, and what may not be given to one input."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass

import pytest
from corpus import write_corpus
from ledgers import digested
from nodes import Lines, Long, Twins, Vowels

from pipeline.contract import Columns, Context, Node, RowNode, file, sources
from pipeline.driver.ledger import Ledger
from pipeline.errors import GraphError, SourceError
from pipeline.graph import build


@dataclass(frozen=True, kw_only=True, eq=False)
class Listed(RowNode):
    """Scores by a file of words."""

    docs: Node
    words: tuple[str, ...] = sources()

    def adds(self):
        return {"listed": "int32"}

    def open(self, ctx: Context):
        return lambda table: Columns(added={"listed": [0] * len(table)})


def score_rule(ledger: Ledger, node: Node) -> str | None:
    (base,) = ledger.graph.input_chains(node)
    return ledger.score_rule(node, base)


def test_a_file_that_changes_at_its_path_moves_the_rule_of_scores(tmp_path):
    paths = write_corpus(tmp_path / "in", files=1, lines=3)
    words = tmp_path / "words.txt"

    def key(text: str) -> str | None:
        words.write_text(text)
        node = Listed(docs=Lines(paths=paths), words=(str(words),))
        return score_rule(digested(build([node]), tmp_path / "store"), node)

    assert key("tide") == key("tide")
    assert key("tide") != key("moon")


def test_the_rule_of_scores_of_a_text_holds_all_that_made_the_text(tmp_path):
    """`line_dedup` looks at every document that is alive, and its thresholds decide what it leaves of a text."""
    from stages.lines.line_dedup import LineDedup

    paths = write_corpus(tmp_path / "in", files=1, lines=3)

    def key(min_chars: int, min_copies: int) -> str | None:
        kept = LineDedup(docs=Long(docs=Lines(paths=paths), min_chars=min_chars), min_copies=min_copies)
        node = Vowels(docs=kept)
        return score_rule(digested(build([node]), tmp_path / "store"), node)

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


def test_a_rule_says_nothing_of_the_rows_and_all_of_the_rest(tmp_path):
    from stages.dedup.exact import ExactDedup
    from stages.read.read import Read

    (tmp_path / "in").mkdir()

    def rule(make, files: int = 2) -> str | None:
        paths = tuple(str(tmp_path / "in" / f"{number}.txt") for number in range(files))
        for path in paths:
            with open(path, "w", encoding="utf-8") as out:
                out.write(f"text {path[-5]}")
        node = make(Read(paths=paths))
        return digested(build([node]), tmp_path / "store").rule(node, node.phases()[0])

    def plain(docs: Node) -> Node:
        return ExactDedup(docs=Long(docs=docs, min_chars=3))

    def both(docs: Node) -> Node:
        return Against(docs=docs, other=docs)

    assert rule(plain) == rule(plain, files=3) is not None
    assert rule(plain) == rule(lambda docs: ExactDedup(docs=docs, keep="longest"))  # the keys of both are one work
    assert rule(plain) != rule(lambda docs: ExactDedup(docs=docs, match="words"))
    # what is read as a whole counts with all its files, also where it is the node whose rows are read
    assert rule(both) == rule(both) != rule(both, files=3)
    # of a base that names its tasks after what they read neither files nor limit count
    assert rule(lambda docs: docs) == rule(lambda docs: dataclasses.replace(docs, limit=1), files=3) is not None
    assert rule(lambda docs: docs) != rule(lambda docs: dataclasses.replace(docs, shard_bytes=150))


def test_a_rule_without_rows_of_its_own_holds_the_inputs_and_the_fields_of_the_phases_so_far(tmp_path):
    docs = Lines(paths=write_corpus(tmp_path / "in", files=1, lines=3))

    def rule(node: Node, name: str = "keys") -> str | None:
        ledger = digested(build([node]), tmp_path / "store")
        return ledger.rule(node, next(phase for phase in node.phases() if phase.name == name))

    first = rule(Twins(docs=docs))
    assert first == rule(Twins(docs=docs, keep_last=True)) is not None
    assert len({first, rule(Twins(docs=docs, ranges=4)), rule(Twins(docs=Long(docs=docs)))}) == 3
    assert rule(Twins(docs=docs), "copies") is None  # it does not say which fields it reads
