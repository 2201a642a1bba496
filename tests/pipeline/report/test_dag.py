"""The graph's layout: inputs above their readers, and no line hidden behind another."""

from __future__ import annotations

import report_sample
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.dag import figure, layout, sentence
from pipeline.report.data import NodeReport


def node(label: str, inputs: tuple[str, ...]) -> NodeReport:
    return NodeReport(label=label, kind="kind", fingerprint="0" * 64, action="run", inputs=inputs)


@st.composite
def graphs(draw_from) -> list[NodeReport]:
    size = draw_from(st.integers(1, 24))
    nodes = []
    for i in range(size):
        ups = draw_from(st.lists(st.integers(0, i - 1), max_size=4, unique=True)) if i else []
        nodes.append(node(f"n{i}", tuple(f"n{up}" for up in ups)))
    return nodes


@given(graphs())
def test_every_line_has_its_lane_for_itself(nodes):
    plan = layout(nodes)
    rows = {each.label: row for row, each in enumerate(plan.nodes)}
    assert sorted(rows) == sorted(each.label for each in nodes)
    assert {(plan.nodes[up].label, plan.nodes[row].label) for up, row, _ in plan.edges} == {
        (label, each.label) for each in nodes for label in each.inputs
    }
    assert all(up < row for up, row, _ in plan.edges)
    for row, lane in enumerate(plan.lanes):
        reach = max((down for up, down, _ in plan.edges if up == row), default=row)
        inside = [other for other in range(row + 1, reach) if plan.lanes[other] == lane]
        assert not inside, "a node sits on the line of another"


@given(graphs())
def test_the_graph_is_no_wider_than_what_is_awaited_at_once(nodes):
    plan = layout(nodes)
    last = {up: row for up, row, _ in plan.edges}
    awaited = max(sum(up < row <= last.get(up, up) for up in range(row)) + 1 for row in range(len(nodes)))
    assert max(plan.lanes) + 1 <= awaited


def test_a_chain_is_one_straight_line():
    chain = [node("a", ()), node("b", ("a",)), node("c", ("b",))]
    assert layout(chain).lanes == (0, 0, 0)


def test_the_figure_names_every_node_with_its_action_and_the_sentence_what_it_reads():
    plan = layout(report_sample.report().nodes)
    drawn = figure(plan)
    assert sorted(drawn["names"]) == sorted(node.label for node in report_sample.report().nodes)
    assert drawn["actions"].count("resume") == 1
    assert drawn["actions"].count("reuse") == 4
    assert len(drawn["lanes"]) == 20
    words = sentence(plan)
    assert "20 nodes" in words
    assert "dense from rows" in words
