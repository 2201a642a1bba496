"""Helper actors of Ray Data that fail: a line for each, in the place of a trace for each call."""

from __future__ import annotations

import logging
import time

from pipeline.ray_runtime.unhandled import LOGGER, Unhandled


def test_a_helper_that_forgot_a_data_set_is_one_line(local_ray, caplog):
    from ray.data._internal.stats import get_or_create_stats_actor

    lines: list[str] = []
    told = Unhandled(lines.append)
    told.open()
    try:
        with caplog.at_level(logging.ERROR, LOGGER):
            # what Ray Data calls of an actor that was started anew in the middle of a pass; nobody keeps the reference
            actor = get_or_create_stats_actor()
            for _ in range(3):
                actor.update_dataset.remote("of the actor before", {})
            while not lines:
                time.sleep(0.05)
            logging.getLogger(LOGGER).error("something else")
    finally:
        told.close()
    assert lines == [
        "a helper of Ray has failed (_StatsActor: KeyError: 'of the actor before'); the run goes on, and no result "
        "depends on it"
    ]
    assert [record.getMessage() for record in caplog.records] == ["something else"]
