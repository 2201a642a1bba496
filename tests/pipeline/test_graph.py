"""Graphs: order, names, chains over bases, and every way in which one can be wrong."""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from nodes import Common, Lines, Long, Strip, Tally, Twins, Vowels

from pipeline.contract import Columns, Node, RowNode
from pipeline.driver.plan import plan
from pipeline.errors import GraphError, RecipeError
from pipeline.graph import build
from pipeline.results.binding import Binding, Place

sys.path.insert(0, str(Path(__file__).parent / "store"))
from ledgers import digested


@pytest.fixture
def docs() -> Lines:
    return Lines(paths=("a",))


def test_inputs_come_before_what_uses_them(docs):
    long = Long(docs=docs)
    tally = Tally(docs=long)
    common = Common(docs=long, tally=tally)
    graph = build([common, tally])
    assert graph.nodes == [docs, long, tally, common]
    assert graph.ancestors(common) == {docs, long, tally}


@dataclass(frozen=True, kw_only=True, eq=False)
class Same(RowNode):
    """Looks at rows and changes nothing."""

    docs: Node
    number: int = 0

    def open(self, ctx):
        return lambda table: Columns(added={})


def test_a_chain_longer_than_the_stack_is_planned_named_and_sent_to_workers(tmp_path):
    """400 nodes behind one another were a RecursionError."""
    (tmp_path / "a").write_text("one\n")
    node: Any = Lines(paths=(str(tmp_path / "a"),))
    for number in range(1000):
        node = Same(docs=node, number=number)
    graph = build([node])
    assert [getattr(one, "number", None) for one in graph.nodes] == [None, *range(1000)]
    assert len(plan(graph, str(tmp_path / "store")).entries) == 1001
    ledger = digested(graph, tmp_path / "store")
    assert len({ledger.fingerprint(one) for one in reversed(graph.nodes)}) == 1001
    base, *_, before, last = graph.nodes
    assert ledger.rule(last, graph.phases(last)[0]) != ledger.rule(before, graph.phases(before)[0])
    assert ledger.score_rule(last, base) != ledger.score_rule(before, base)
    binding = Binding("", Place(node, ledger.fingerprint(node) or ""), {}, None)
    sent: Any = pickle.loads(cloudpickle.dumps(binding))
    assert (sent.place.node.number, sent.place.node.docs.number) == (999, 998)
    assert vars(sent).keys() == vars(binding).keys()


def test_nodes_are_named_by_kind_and_number_unless_named(docs):
    first, second = Strip(docs=docs), Strip(docs=docs, what="x")
    third = Strip(docs=Vowels(docs=first))
    graph = build([second, third], {"strip_2": docs, "third": third})
    assert [graph.names[node] for node in (docs, second, first, third)] == ["strip_2", "strip", "strip_3", "third"]
    assert graph.names[third.docs] == "vowels"


def test_a_cycle_is_named(docs):
    long = Long(docs=docs)
    vowels = Vowels(docs=long)
    object.__setattr__(long, "docs", vowels)
    with pytest.raises(GraphError, match="cycle: vowels -> long -> vowels"):
        build([vowels])


def test_something_else_than_a_node_is_refused():
    with pytest.raises(GraphError, match="a str where a node belongs"):
        build(["docs"])


def test_a_missing_input_and_one_without_rows_are_named(docs):
    with pytest.raises(RecipeError, match=r"^Long\.docs: an empty value; expected a node that gives documents"):
        Long(docs=None)
    with pytest.raises(GraphError, match="'tally', which carries no rows"):
        build([Long(docs=Tally(docs=docs))])


def test_a_column_added_twice_names_both_nodes(docs):
    with pytest.raises(GraphError, match=r"long_2: the column 'chars', which 'long' has added already"):
        build([Long(docs=Strip(docs=Long(docs=docs)))])


@dataclass(frozen=True, kw_only=True, eq=False)
class NeedsCharts(RowNode):
    docs: Node
    needs = ("charts",)

    def open(self, ctx):
        return lambda table: Columns()


def test_a_missing_column_comes_with_the_nearest_name(docs):
    with pytest.raises(GraphError, match=r"no column 'charts'.*did you mean 'chars'"):
        build([NeedsCharts(docs=Long(docs=docs))])


def test_branches_of_one_base_must_be_chained(docs):
    branches = (Long(docs=docs), Vowels(docs=docs))
    with pytest.raises(GraphError, match="two branches over the same base 'lines'"):
        build([Tally(docs=branches, place="task"), Long(docs=branches, unit="byte")])


def test_a_branch_and_its_ancestor_are_one_chain(docs):
    long = Long(docs=docs)
    both = Vowels(docs=(docs, long))
    assert build([both]).chains(both) == {docs: (long, both)}


def test_several_bases_keep_their_order_and_their_own_chains(docs):
    other = Lines(paths=("b",))
    joined = Vowels(docs=(Long(docs=other), docs))
    chains = build([joined]).chains(joined)
    assert list(chains) == [other, docs]
    assert [len(chain) for chain in chains.values()] == [2, 1]


def test_a_node_without_a_row_phase_passes_no_rows_on(docs):
    tally = Tally(docs=docs)
    assert build([tally]).chains(tally) == {}


def test_the_text_is_the_nearest_changed_one(docs):
    strip = Strip(docs=Long(docs=docs))
    twins = Twins(docs=strip)
    graph = build([twins])
    providers = graph.providers(graph.chains(twins)[docs], docs)
    assert providers["text"] is strip
    assert providers["chars"] is strip.docs
    assert providers["id"] is docs
