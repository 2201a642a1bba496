"""Plans: which pass each phase joins, what is said of every node, and that nothing is started or written."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import whole, write_corpus
from nodes import Common, Lines, Long, Strip, Tally, Twins, Vowels

from pipeline.contract import Context, Node, Resources, RowNode, RowPhase
from pipeline.driver.execute import Options, run
from pipeline.driver.plan import plan
from pipeline.driver.schedule import Schedule
from pipeline.graph import build

ROOT = Path(__file__).parents[3]


@pytest.fixture
def paths(tmp_path):
    return write_corpus(tmp_path / "in", files=2, lines=20)


def passes(target: Node, tmp_path: Path) -> dict[str, tuple[int, ...]]:
    return {entry.name: entry.passes for entry in plan(build([target]), str(tmp_path / "store")).entries}


def test_phases_over_one_base_share_a_pass_and_an_exchange_cuts_it(paths, tmp_path):
    found = {e.name: e.passes for e in plan(whole(paths), str(tmp_path / "store")).entries}
    assert found == {
        "docs": (), "long": (1,), "strip": (1,), "vowels": (1,), "twins": (1, 2), "tally": (), "common": (3,),
        "count": (),
    }  # fmt: skip


def test_what_waits_for_a_mask_joins_its_pass(paths, tmp_path):
    twins = Twins(docs=Long(docs=Lines(paths=paths)))
    found = passes(Strip(docs=Vowels(docs=twins)), tmp_path)
    assert found == {"lines": (), "long": (1,), "twins": (1, 2), "vowels": (2,), "strip": (2,)}


def test_two_exchanges_in_a_row_make_three_passes(paths, tmp_path):
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Later(Twins):
        def adds(self):
            return {"copy_of": "string"}

    first = Twins(docs=Lines(paths=paths))
    assert passes(Later(docs=first), tmp_path) == {"lines": (), "twins": (1, 2), "later": (2, 3)}


def test_independent_bases_share_passes(paths, tmp_path):
    other = Strip(docs=Lines(paths=(f"{paths[0]}/part-00.txt",)))
    found = passes(Vowels(docs=(Long(docs=Lines(paths=(f"{paths[0]}/part-01.txt",))), other)), tmp_path)
    assert {found["strip"], found["long"], found["vowels"]} == {(1,)}


@dataclass(frozen=True, kw_only=True, eq=False)
class OnGpu(RowNode):
    docs: Node
    own_pass: bool = False

    def open(self, ctx: Context):
        raise AssertionError("a plan runs nothing")

    def phases(self):
        return (RowPhase(open=self.open, needs=("text",), resources=Resources(gpus=1), own_pass=self.own_pass),)


def test_phases_of_other_resources_share_a_pass(paths, tmp_path):
    found = passes(Vowels(docs=OnGpu(docs=Long(docs=Lines(paths=paths)))), tmp_path)
    assert found == {"lines": (), "long": (1,), "on_gpu": (1,), "vowels": (1,)}


def test_a_phase_may_have_a_pass_of_its_own(paths, tmp_path):
    found = passes(Vowels(docs=OnGpu(docs=Long(docs=Lines(paths=paths)), own_pass=True)), tmp_path)
    assert found == {"lines": (), "long": (1,), "on_gpu": (2,), "vowels": (3,)}


def test_a_model_that_is_trained_on_the_rows_is_applied_in_a_later_pass(paths, tmp_path):
    docs = Long(docs=Lines(paths=paths))
    found = passes(Vowels(docs=Common(docs=docs, tally=Tally(docs=docs))), tmp_path)
    assert found == {"lines": (), "long": (1,), "tally": (), "common": (2,), "vowels": (2,)}


def test_nothing_is_ready_when_all_is_done_and_everything_in_order_when_nothing_is():
    docs = Lines(paths=("a",))
    twins = Twins(docs=Long(docs=docs))
    graph = build([twins])
    done: set[tuple[Node, str]] = set()
    finished: set[Node] = set()
    schedule = Schedule(graph, lambda node, phase: (node, phase) in done, lambda node: node in finished)
    seen = []
    while len(finished) < len(graph.nodes):
        ready = schedule.ready_tasks() or schedule.ready_pass()
        assert ready or schedule.ready_to_finish()
        seen.append([f"{graph.names[node]}.{phase.name}" for node, phase in ready])
        done |= {(node, phase.name) for node, phase in ready}
        finished |= set(schedule.ready_to_finish())
    assert [names for names in seen if names] == [
        ["lines.shards"], ["long.rows", "twins.keys"], ["twins.copies"], ["twins.mask"],
    ]  # fmt: skip
    assert schedule.ready_tasks() == schedule.ready_pass() == schedule.ready_to_finish() == []


def test_a_busy_phase_is_not_handed_out_twice():
    docs = Lines(paths=("a",))
    schedule = Schedule(build([Long(docs=docs)]), lambda *_: False, lambda _: False)
    assert schedule.ready_tasks()
    assert schedule.ready_tasks({(docs, "shards")}) == []


def test_a_plan_writes_nothing_and_says_so_of_unknown_files(paths, tmp_path):
    entries = plan(whole(paths), str(tmp_path / "store"), "whole").entries
    assert not (tmp_path / "store").exists()
    assert {entry.action for entry in entries} == {"run"}
    assert {entry.fingerprint for entry in entries} == {None}
    assert {entry.why for entry in entries} == {"not run yet"}
    assert all(entry.bytes > 0 and entry.memory > 0 for entry in entries)


def test_a_finished_graph_costs_nothing(finished):
    found = plan(finished.graph(), str(finished.store), "whole")
    assert found.bytes == found.memory == 0
    assert {entry.why for entry in found.entries} == {"finished"}
    assert all(len(entry.fingerprint) == 64 for entry in found.entries)


def test_a_half_done_node_says_how_far_it_is(copy):
    view = copy.open()["vowels"]
    key = view.keys("rows")[2]
    (copy.store / view.folder / "manifest.json").unlink()
    (copy.store / view.folder / "receipts" / "rows" / f"{key}.json").unlink()
    entries = copy.plan()
    assert (entries["vowels"].action, entries["vowels"].why) == ("resume", "rows: 3 of 4 done")
    assert entries["twins"].action == "resume"
    assert "kept if what it read comes back unchanged" in entries["twins"].why
    assert entries["strip"].action == "reuse"


def test_a_store_without_the_run_says_never_run(finished, tmp_path):
    named = plan(finished.graph(), str(finished.store), "another").entries
    assert {entry.action for entry in named} == {"reuse"}
    changed = plan(finished.graph(common={"best": 1}), str(finished.store), "another").entries
    assert {entry.name: entry.why for entry in changed if entry.action == "run"} == {
        "common": "not run yet", "count": "not run yet",
    }  # fmt: skip


def test_compact_is_advised_when_most_rows_are_gone_and_text_is_still_to_be_read(copy):
    assert not any(entry.notices for entry in copy.plan(vowels={"letters": "xyz"}).values())
    copy.run(long={"min_chars": 28})
    assert not any(entry.notices for entry in copy.plan(long={"min_chars": 28}).values())
    entries = copy.plan(long={"min_chars": 28}, vowels={"letters": "xyz"})
    (notice,) = entries["long"].notices
    assert re.fullmatch(r"\d+% of its rows are alive and 3 text passes follow: put a `compact` after it", notice)


def test_planning_imports_nothing_heavy(paths, tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from corpus import whole\nfrom pipeline.driver.plan import plan\n"
        "plan(whole((sys.argv[3],)), sys.argv[4], 'whole')\n"
        "print(sorted({'ray', 'torch', 'pyarrow', 'numba', 'pandas'} & set(sys.modules)))"
    )
    arguments = [str(ROOT), str(Path(__file__).parents[1]), paths[0], str(tmp_path / "store")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", ["lines", "strip"])
def test_a_node_that_is_nearly_done_needs_space_for_the_rest_only(tmp_path, kind):
    """A run with nine of ten shards done was refused: the plan asked for space for all ten."""
    paths = write_corpus(tmp_path / "in", files=10, lines=50)
    graph, store = build([Strip(docs=Lines(paths=paths))]), str(tmp_path / "store")
    run(graph, name="run", store=store, options=Options(here=True))
    (folder,) = (tmp_path / "store" / "nodes").glob(f"{kind}-*")
    written = sum(path.stat().st_size for path in folder.glob("data/**/*") if path.is_file())
    (folder / "manifest.json").unlink()
    receipt = max(folder.glob("receipts/*/*.json"))
    for path in [receipt, *folder.glob(f"data/*/{receipt.stem}.*")]:
        path.unlink()
    entry = next(entry for entry in plan(graph, store).entries if entry.name == kind)
    assert entry.action == "resume"
    assert 0 < entry.bytes < written / 4
