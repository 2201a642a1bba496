"""How many tasks are in flight at once, on the suite's Ray of two CPUs."""

from __future__ import annotations

import itertools
import time

import pytest

from pipeline.errors import SourceChanged
from pipeline.ray_runtime.tasks import Width, digest_files, in_flight


def each(task, count: int):
    """Begins a task for every number in turn."""
    numbers = iter(range(count))

    def begin():
        number = next(numbers, None)
        return None if number is None else (number, task.remote(number))

    return begin


pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.mark.parametrize(("cpus", "width"), [(None, 4), (1, 1), (2, 4), (16, 4)])
def test_the_width_is_twice_the_cluster_unless_the_run_may_use_less(cpus, width):
    assert Width(cpus)() == width


def test_the_width_follows_a_cluster_that_grows(monkeypatch):
    width = Width(None)
    before = width()
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 8.0})
    assert width() == before  # not asked again at once: it is a call to the head
    width._due = time.monotonic()
    assert width() == 16


def test_one_at_a_time_where_that_is_the_width():
    import ray

    @ray.remote(num_cpus=1)
    def span(number: int) -> tuple[float, float]:
        start = time.time()
        time.sleep(0.05)
        return start, time.time()

    spans = [value for _, value in in_flight(each(span, 4), lambda: 1, lambda: False)]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@pytest.mark.long
def test_tasks_are_side_by_side_where_the_width_allows(tmp_path):
    import ray

    @ray.remote(num_cpus=1)
    def meet(number: int) -> int:
        (tmp_path / str(number)).touch()
        while not (tmp_path / str(number ^ 1)).exists():
            time.sleep(0.01)
        return number

    found = dict(in_flight(each(meet, 4), lambda: 2, lambda: False))
    assert found == {number: number for number in range(4)}


def test_a_stop_begins_no_further_task_and_awaits_those_in_flight():
    import ray

    @ray.remote(num_cpus=1)
    def task(number: int) -> int:
        return number

    done = []
    for number, value in in_flight(each(task, 100), lambda: 2, lambda: len(done) >= 3):
        assert number == value
        done.append(number)
    assert len(done) == 4  # the third was taken while one more was under way


def test_what_the_caller_gives_back_is_begun_too():
    import ray

    @ray.remote(num_cpus=1)
    def task(number: int) -> int:
        return number

    waiting = [5]

    def begin():
        return (waiting[-1], task.remote(waiting.pop())) if waiting else None

    done = []
    for number, _ in in_flight(begin, lambda: 2, lambda: False):
        done.append(number)
        waiting += [number - 1] * (number > 0)
    assert done == [5, 4, 3, 2, 1, 0]


def test_what_ended_a_task_is_named():
    import ray

    @ray.remote(num_cpus=1)
    def task(number: int) -> int:
        raise ValueError("not well")

    ((_, found),) = in_flight(each(task, 1), lambda: 2, lambda: False)
    assert str(found) == "ValueError: not well"


def test_a_file_that_has_changed_is_named_without_a_trace(tmp_path):
    (tmp_path / "a.txt").write_text("12345")
    with pytest.raises(SourceChanged) as caught:
        digest_files([(str(tmp_path / "a.txt"), 5), (str(tmp_path / "b.txt"), 5)])
    assert str(caught.value).startswith(f"{tmp_path / 'b.txt'}: no file")
    assert "Traceback" not in str(caught.value)
