"""When a process of a training under Ray has died: what is said of it, and what it held is freed."""

from __future__ import annotations

import re
from typing import Any, cast

from pipeline.errors import UserError

CAUSE = re.compile(r"died|killed|memory|crash|unavailable", re.IGNORECASE)
WHERE = re.compile(r"^\s*(?:pid: (?P<pid>\d+)|ip: (?P<ip>\S+))", re.MULTILINE)


def death_of(what: str, error: BaseException, max_failures: int) -> UserError:
    """Return the error of a training whose process `what` has died: one sentence, where Ray's own has a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = next((line for line in reversed(lines) if CAUSE.search(line)), type(error).__name__)
    cause = cause.partition(" Some common causes")[0].rstrip(".")
    found = {key: value for match in WHERE.finditer(str(error)) for key, value in match.groupdict().items() if value}
    where = f" (process {found['pid']} at {found['ip']})" if len(found) == 2 else ""
    return UserError(
        "Ray", f"{what}{where} has died: {cause}", f"to lose at most {max_failures} (max_failures)",
        "run again: it goes on from its last checkpoint",
    )  # fmt: skip


def free_group(controller: str) -> None:
    """Free the CPUs and GPUs that the group of a dead controller holds, and end its workers.

    Ray Train leaves that to an actor which asks the dashboard whether the controller lives. A local Ray has none, and
    the next group would wait for this one's CPUs.
    """
    import ray
    from ray.core.generated import gcs_pb2
    from ray.util import remove_placement_group
    from ray.util.placement_group import PlacementGroup

    private, table = cast("Any", ray), cast("Any", gcs_pb2).PlacementGroupTableData
    for row in private._private.state.state._connect_and_get_accessor().get_placement_group_table():
        group = table.FromString(row)
        if group.creator_actor_id.hex() == controller and group.state != table.REMOVED:
            remove_placement_group(PlacementGroup(private.PlacementGroupID(group.placement_group_id)))
